"""Collects in memory what a group of outcomes changes, so that one transaction with few SQL statements can write it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from crawlerd.core.outcome import DONE, Bury, Complete, Crash, Defer, Pause, Retry, after_crash
from crawlerd.frontier.figures import Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crawlerd.core.outcome import Sent
    from crawlerd.core.task import NewGather, NewTask, Task
    from crawlerd.frontier.contract import Settled
    from crawlerd.frontier.letter_contract import FirstLetter
    from crawlerd.frontier.waiting_contract import Block, Queue
    from crawlerd.sink import Totals

FEW = 4  # most new tasks of a queue that the dispatcher gets directly, without reading them from the database
Place = tuple[int, int, str, str]  # run, account, list, hash of the parent
ReadyRow = (
    tuple[int, int, int, int, int, int, str]
    | tuple[int, int, int, int, int, int, str, int]
    | tuple[int, int, int, int, int, int, str, int, int]
    | tuple[int, int, int, int, int, int, str, int, int, int]
)


@dataclass(slots=True)
class Counts:
    """What to add to the counters of a run."""

    open: int = 0
    delayed: int = 0
    waiting: int = 0
    done: int = 0
    dead: int = 0
    retried: int = 0
    throttled: int = 0
    records: int = 0

    def row(self) -> tuple[int, ...]:
        return (
            self.open,
            self.delayed,
            self.waiting,
            self.done,
            self.dead,
            self.retried,
            self.throttled,
            self.records,
        )


@dataclass(slots=True)
class Members:
    """What to add to the counters of a group."""

    open: int = 0
    dead: int = 0


@dataclass(slots=True)
class Tally:
    """What to add to the report of one stream of a run."""

    records: int = 0
    skipped: int = 0
    skip_reason: str | None = None
    marked: bool = False
    unmarked: int = 0
    unmarked_reason: str | None = None

    def row(self) -> tuple[object, ...]:
        return self.records, self.skipped, self.skip_reason, self.marked, self.unmarked, self.unmarked_reason


@dataclass(slots=True)
class Change:
    """The rows to write, as tuples in the order of their table's columns, and what to add to counters."""

    now: float  # Unix seconds
    # see `Frontier.commit`
    blocked: Mapping[int, Block] = field(default_factory=dict)
    learned: Mapping[str, object] = field(default_factory=dict)
    totals: Mapping[tuple[int, str], Totals] = field(default_factory=dict)
    # numbers of the tasks to remove from `ready`, by bucket, run and priority
    gone: defaultdict[tuple[int, int, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    # how many tasks are done, by run, kind, chain and bucket
    done: Counter[tuple[int, str, int, int]] = field(default_factory=Counter)
    # tasks that become ready: those in no group, those in a group, and those that were refused before or follow a task
    # of their kind
    ready: list[ReadyRow] = field(default_factory=list)
    grouped: list[ReadyRow] = field(default_factory=list)
    rare: list[ReadyRow] = field(default_factory=list)
    delayed: list[tuple[object, ...]] = field(default_factory=list)
    due: float = math.inf  # when the first of them is
    # columns of `dead`, followed by the name of the kind
    dead: list[tuple[Any, ...]] = field(default_factory=list)
    # the written dead letters that are the first of their kind in their run
    first_letters: list[FirstLetter] = field(default_factory=list)
    # rows of `attempt` without their numbers, and finished tasks that may have such rows
    attempts: list[tuple[object, ...]] = field(default_factory=list)
    succeeded: list[int] = field(default_factory=list)
    # (bucket, run, priority, seq) of tasks that have crashed once more
    crashed: list[tuple[int, int, int, int]] = field(default_factory=list)
    # (run, stream, value) of cursors. The last value of a stream in `staged` counts, and the greatest one in `greatest`
    staged: list[tuple[int, str, str]] = field(default_factory=list)
    greatest: list[tuple[int, str, str]] = field(default_factory=list)
    # new tasks and groups of (run, account, …, the group they are in)
    children: list[tuple[int, int, NewTask, int]] = field(default_factory=list)
    gathers: list[tuple[int, int, NewGather, int]] = field(default_factory=list)
    # portions that outcomes have sent ahead: (task, account, …)
    sent: list[tuple[Task, int, Sent]] = field(default_factory=list)
    # whether the list below a parent was read to its end
    parents: list[tuple[Place, bool]] = field(default_factory=list)
    # (run, account, stream, records seen so far, whether a sweep was held back)
    counted: list[tuple[int, int, str, int, bool]] = field(default_factory=list)
    # what to add to counters
    queues: Counter[Queue] = field(default_factory=Counter)
    runs: defaultdict[int, Counts] = field(default_factory=lambda: defaultdict(Counts))
    tallies: defaultdict[tuple[int, str], Tally] = field(default_factory=lambda: defaultdict(Tally))
    figures: Figures = field(default_factory=Figures)
    groups: defaultdict[int, Members] = field(default_factory=lambda: defaultdict(Members))
    # see `Committed`; a value of `fresh` is None when the tasks are many, or the queue had ready tasks before
    arrived: dict[Queue, tuple[int, int]] = field(default_factory=dict)
    fresh: dict[Queue, list[ReadyRow] | None] = field(default_factory=dict)
    borrowed: list[tuple[int, int]] = field(default_factory=list)
    enqueued: Counter[int] = field(default_factory=Counter)

    def take(self, group: Sequence[Settled], kind: Callable[[str], int]) -> None:
        """Takes the outcomes of a group of leased tasks. kind: returns the number of a kind's name."""
        key, stage, count = (-1, -1, -1), (-1, "", 0, 0), 0
        gone: list[int] = []
        last = gone  # of the tasks that `count` counts together
        for settled in group:
            task, outcome = settled.task, settled.outcome
            if outcome is DONE and not task.group:  # fast path: most tasks yield nothing; this halves their cost
                if task.priority != key[2] or task.run != key[1] or task.bucket != key[0]:
                    key = task.bucket, task.run, task.priority
                    gone = self.gone[key]
                gone.append(task.seq)
                if task.kind != stage[1] or gone is not last or task.chain != stage[2]:
                    self.done[stage] += count
                    stage, count, last = (task.run, task.kind, task.chain, task.bucket), 0, gone
                count += 1
                if task.attempt or task.crashes:
                    self.succeeded.append(task.seq)
            elif isinstance(outcome, Complete):
                self.complete(task, settled.account, outcome)
            else:
                self.settle(task, settled.account, kind(task.kind), outcome)
            if settled.made is not None:
                self.figures.attempt(task, settled.made, done=isinstance(outcome, Complete))
        self.done[stage] += count
        del self.done[-1, "", 0, 0]
        for (run, name, chain, bucket), count in self.done.items():
            self.figures.did(run, name, chain, bucket, count)
            self.runs[run].open -= count
            self.runs[run].done += count

    def settle(self, task: Task, account: int, kind: int, outcome: Retry | Bury | Defer | Pause | Crash) -> None:
        """Takes an outcome of a leased task other than `Complete`."""
        counts = self.runs[task.run]
        if isinstance(outcome, Bury | Crash) or (isinstance(outcome, Retry | Defer) and outcome.charged):
            self._note_attempt(task, outcome)
        match outcome:
            case Retry():
                self._delay(task, kind, outcome, refused=task.refused)
                counts.retried += 1
            case Bury():
                self.gone[task.bucket, task.run, task.priority].append(task.seq)
                counts.open -= 1
                self.figures.stage(task.run, task.kind, task.chain).open -= 1
                self.children += [(task.run, account, errand, 0) for errand in outcome.errands]
                if task.group:
                    self.groups[task.group].open -= 1
                self.bury(task, kind, outcome)
            case Defer():
                self._delay(task, kind, outcome, refused=task.refused + outcome.charged)
                counts.throttled += 1
            case Pause():
                pass
            case Crash():
                result = after_crash(task.crashes + 1, outcome)
                if isinstance(result, Bury):
                    self.attempts.pop()  # `bury` notes the attempt
                    self.settle(task, account, kind, result)
                else:
                    queue = task.bucket, task.run
                    self.crashed.append((*queue, task.priority, task.seq))
                    self._arrive(queue, task.priority, task.seq)
                    self.fresh[queue] = None
            case _:
                assert_never(outcome)

    def _note_attempt(self, task: Task, outcome: Retry | Bury | Defer | Crash) -> None:
        tried = None if isinstance(outcome, Crash) else outcome.tried
        request = (tried.seconds, tried.status or None, tried.method, tried.url) if tried else (None, None, "", "")
        self.attempts.append((task.seq, task.run, self.now, *request, outcome.error))

    def _delay(self, task: Task, kind: int, outcome: Retry | Defer, *, refused: int) -> None:
        """The task keeps its number and priority, and so its place among those that are ready."""
        self.gone[task.bucket, task.run, task.priority].append(task.seq)
        due = self.now + outcome.delay
        self.due = min(self.due, due)
        self.delayed.append(
            (
                due,
                task.seq,
                task.bucket,
                task.priority,
                task.run,
                kind,
                task.attempt + outcome.charged,
                outcome.error,
                task.payload,
                task.group,
                refused,
                task.chain,
            )
        )
        self.runs[task.run].delayed += 1

    def complete(self, task: Task, account: int, outcome: Complete) -> None:
        """Takes a `Complete` outcome of a leased task."""
        run = task.run
        self.gone[task.bucket, task.run, task.priority].append(task.seq)
        self.done[run, task.kind, task.chain, task.bucket] += 1
        if task.attempt or task.crashes:
            self.succeeded.append(task.seq)
        if task.group:
            self.groups[task.group].open -= 1
        if outcome is DONE:
            return
        if outcome.batches:
            for batch in outcome.batches:
                self.runs[run].records += batch.count
                self.tallies[run, batch.stream].records += batch.count
        if outcome.skipped:
            for skipped in outcome.skipped:
                tally = self.tallies[run, skipped.stream]
                if skipped.note:
                    tally.skip_reason = tally.skip_reason or skipped.reason
                    continue
                tally.skipped += 1
                tally.skip_reason = f"{skipped.key}: {skipped.reason}"
        if outcome.marked:
            for marked in outcome.marked:
                tally = self.tallies[run, marked.stream]
                tally.marked |= marked.found
                tally.unmarked += marked.unread
                tally.unmarked_reason = marked.why or tally.unmarked_reason
        if outcome.cursors:
            self.staged += [(run, of, value) for of, value in outcome.cursors]
        if outcome.greatest:
            self.greatest += [(run, of, value) for of, value in outcome.greatest]
        if outcome.children or outcome.gathers or outcome.errands or outcome.sent:
            self.figures.asks(task, outcome)
        if outcome.children:
            self.children += [(run, account, child, task.group) for child in outcome.children]
        if outcome.errands:
            self.children += [(run, account, errand, 0) for errand in outcome.errands]
        if outcome.gathers:
            self.gathers += [(run, account, gather, task.group) for gather in outcome.gathers]
        if outcome.parents:
            self.parents += [((run, account, of, hash), whole) for of, hash, whole in outcome.parents]
        if outcome.counted:
            self.counted += [(run, account, *each) for each in outcome.counted]
        if outcome.sent is not None:
            self._count_sent(task, account, outcome.sent)

    def _count_sent(self, task: Task, account: int, sent: Sent) -> None:
        """Counts all tasks and groups of a large outcome at once, before they become ready in slices: the run and the
        group must not end before that."""
        run = task.run
        self.sent.append((task, account, sent))
        self.runs[run].open += sent.count
        for kind, chain, count in sent.kinds:
            self.figures.stage(run, kind, chain).open += count
        if task.group:
            self.groups[task.group].open += sent.own
        for stream, count in sent.records:
            self.runs[run].records += count
            self.tallies[run, stream].records += count
        for stream, text in sent.notes:
            tally = self.tallies[run, stream]
            tally.skip_reason = tally.skip_reason or text
        for stream, count, text in sent.skipped:
            tally = self.tallies[run, stream]
            tally.skipped += count
            tally.skip_reason = text

    def make_ready(
        self,
        bucket: int,
        priority: int,
        seq: int,
        run: int,
        kind: int,
        attempt: int,
        payload: str,
        group: int,
        refused: int = 0,
        chain: int = 0,
    ) -> None:
        row: ReadyRow
        if refused or chain:
            self.rare.append(row := (bucket, run, priority, seq, kind, attempt, payload, group, refused, chain))
        elif group:
            self.grouped.append(row := (bucket, run, priority, seq, kind, attempt, payload, group))
        else:  # without the group's column: one column less saves a tenth of the time of a row
            self.ready.append(row := (bucket, run, priority, seq, kind, attempt, payload))
        queue = bucket, run
        self.queues[queue] += 1
        self._arrive(queue, priority, seq)
        fresh = self.fresh.setdefault(queue, [])
        if fresh is not None:
            if len(fresh) < FEW:
                fresh.append(row)
            else:
                self.fresh[queue] = None

    def opened(self, run: int, kind: str, chain: int, count: int) -> None:
        """Counts new tasks of a run."""
        if count:
            self.runs[run].open += count
            self.enqueued[run] += count
            self.figures.opened(run, kind, chain, count)

    def bury(self, task: Task, kind: int, outcome: Bury) -> None:
        """Adds a dead letter for a task that is not (or no longer) counted as open."""
        self.dead.append(
            (
                task.seq,
                task.run,
                task.bucket,
                task.priority,
                kind,
                task.attempt + outcome.charged,
                outcome.denied,
                outcome.stream or task.kind.rpartition(".")[2],
                outcome.error,
                task.payload,
                self.now,
                task.group,
                outcome.kept,
                task.chain,
                task.kind,
            )
        )
        self.runs[task.run].dead += 1
        self.figures.stage(task.run, task.kind, task.chain).dead += 1
        if task.group:
            self.groups[task.group].dead += 1

    def _arrive(self, queue: Queue, priority: int, seq: int) -> None:
        self.arrived[queue] = min(self.arrived.get(queue, (priority, seq)), (priority, seq))

    def take_groups(self) -> dict[int, Members]:
        """Returns what to add to the counters of groups, and begins to count from 0."""
        members, self.groups = self.groups, defaultdict(Members)
        return members

    def count(self) -> None:
        """Adds up the counters. Call it once, after everything was taken."""
        for (bucket, run, _), tasks in self.gone.items():
            self.queues[bucket, run] -= len(tasks)
