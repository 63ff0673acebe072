"""What one transaction will change, gathered in memory: pure, so that a group costs a handful of statements."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from crawlerd.core.outcome import Bury, Complete, Crash, Defer, Pause, Retry, after_crash

if TYPE_CHECKING:
    from crawlerd.core.outcome import Outcome
    from crawlerd.core.task import Task


@dataclass(slots=True)
class Counts:
    """Differences to the counters of a run."""

    open: int = 0
    delayed: int = 0
    done: int = 0
    dead: int = 0
    retried: int = 0
    throttled: int = 0
    records: int = 0

    def row(self) -> tuple[int, ...]:
        return (self.open, self.delayed, self.done, self.dead, self.retried, self.throttled, self.records)


@dataclass(slots=True)
class Tally:
    """What a change adds to the report of one stream of a run."""

    records: int = 0
    skipped: int = 0
    skip_reason: str | None = None


@dataclass(slots=True)
class Change:
    """Rows to write, as tuples in the order of their table's columns, and counters as differences."""

    now: float
    gone: list[tuple[int, int, int]] = field(default_factory=list)
    ready: list[tuple[int, int, int, int, int, int, str]] = field(default_factory=list)
    delayed: list[tuple[object, ...]] = field(default_factory=list)
    dead: list[tuple[object, ...]] = field(default_factory=list)
    crashed: list[tuple[int, int, int]] = field(default_factory=list)
    staged: list[tuple[int, str, str]] = field(default_factory=list)
    greatest: list[tuple[int, str, str]] = field(default_factory=list)
    buckets: Counter[int] = field(default_factory=Counter)
    runs: defaultdict[int, Counts] = field(default_factory=lambda: defaultdict(Counts))
    tallies: defaultdict[tuple[int, str], Tally] = field(default_factory=lambda: defaultdict(Tally))
    arrived: dict[int, tuple[int, int]] = field(default_factory=dict)

    def settle(self, task: Task, kind: int, outcome: Outcome) -> None:
        """What the outcome of a leased task changes, but for the children of a Complete."""
        counts, attempt = self.runs[task.run], task.attempt + 1
        match outcome:
            case Complete():
                self._take(task)
                counts.open -= 1
                counts.done += 1
                for batch in outcome.batches:
                    counts.records += batch.count
                    self.tallies[task.run, batch.stream].records += batch.count
                for skipped in outcome.skipped:
                    tally = self.tallies[task.run, skipped.stream]
                    tally.skipped += 1
                    tally.skip_reason = f"{skipped.key}: {skipped.reason}"
                self.staged += [(task.run, of, value) for of, value in outcome.cursors]
                self.greatest += [(task.run, of, value) for of, value in outcome.greatest]
            case Retry():
                self._take(task)
                self.delayed.append(
                    (
                        self.now + outcome.delay,
                        task.seq,
                        task.bucket,
                        task.priority,
                        task.run,
                        kind,
                        attempt,
                        outcome.error,
                        task.payload,
                    )
                )
                counts.delayed += 1
                counts.retried += 1
            case Bury():
                self._take(task)
                counts.open -= 1
                self.bury(task, kind, outcome)
            case Defer():
                counts.throttled += 1
            case Pause():
                pass
            case Crash():
                result = after_crash(task.crashes + 1, outcome)
                if isinstance(result, Bury):
                    self.settle(task, kind, result)
                else:
                    self.crashed.append((task.bucket, task.priority, task.seq))
                    self._arrive(task.bucket, task.priority, task.seq)
            case _:
                assert_never(outcome)

    def make_ready(self, bucket: int, priority: int, seq: int, run: int, kind: int, attempt: int, payload: str) -> None:
        self.ready.append((bucket, priority, seq, run, kind, attempt, payload))
        self.buckets[bucket] += 1
        self._arrive(bucket, priority, seq)

    def bury(self, task: Task, kind: int, outcome: Bury) -> None:
        """A dead letter, of a task that is not (or no longer) counted as open."""
        self.dead.append(
            (
                task.seq,
                task.run,
                task.bucket,
                task.priority,
                kind,
                task.attempt + 1,
                outcome.denied,
                outcome.stream or task.kind.rpartition(".")[2],
                outcome.error,
                task.payload,
                self.now,
            )
        )
        self.runs[task.run].dead += 1

    def _arrive(self, bucket: int, priority: int, seq: int) -> None:
        self.arrived[bucket] = min(self.arrived.get(bucket, (priority, seq)), (priority, seq))

    def _take(self, task: Task) -> None:
        self.gone.append((task.bucket, task.priority, task.seq))
        self.buckets[task.bucket] -= 1
