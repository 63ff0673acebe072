"""What is counted of commits, sinks and runs: on the store's thread, without a lock; others read it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from crawlerd.core.bounded_counts import WRITE_BOUNDS, BoundedCounts
from crawlerd.core.metric_labels import RecordChange, RunResult
from crawlerd.sink import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crawlerd.engine.sink_writer import Target
    from crawlerd.frontier.contract import Frontier

NOTHING = Totals()


class CommitCounts:
    """Since the process began.

    commits: of groups.
    outcomes: in them.
    durations: seconds of each.
    enqueued: tasks that became ready for the first time, by source.
    runs: that have ended, by source and result.
    records: what sinks did with them, by source and change.
    stored, written: seconds that attempts waited for their commit, and for sinks.
    """

    def __init__(self) -> None:
        self.commits = self.outcomes = 0
        self.durations = BoundedCounts(WRITE_BOUNDS)
        self.enqueued: Counter[str] = Counter()
        self.runs: Counter[tuple[str, RunResult]] = Counter()
        self.records: Counter[tuple[str, RecordChange]] = Counter()
        self._writes: dict[str, BoundedCounts] = {}
        self.stored = self.written = 0.0
        self._totals: dict[int, dict[str, Totals]] = {}  # of runs under way
        self._held, self._held_at = 0, 0.0

    def committed(self, outcomes: int, seconds: float) -> None:
        """One group commit."""
        self.commits += 1
        self.outcomes += outcomes
        self.durations.add(seconds)

    def waited(self, attempts: int, seconds: float, sink_seconds: float) -> None:
        """Attempts whose outcomes are committed.

        seconds: of all together, from the moments when their outcomes were received.
        sink_seconds: of these, as many for each attempt as the sinks took.
        """
        of_sinks = min(seconds, attempts * sink_seconds)
        self.written += of_sinks
        self.stored += seconds - of_sinks

    def wrote(self, sink: str, seconds: float) -> None:
        """A group of records."""
        self.writes(sink).add(seconds)

    def writes(self, sink: str) -> BoundedCounts:
        """Seconds of each write of a group into a sink of this name. From any thread: all get the same ones."""
        return self._writes.get(sink) or self._writes.setdefault(sink, BoundedCounts(WRITE_BOUNDS))

    def hold(self, outcomes: int, now: float) -> None:
        """From now on, as many wait for sinks that refuse. now: monotonic seconds."""
        self.written += self._held * (now - self._held_at)
        self._held, self._held_at = outcomes, now

    def changed(
        self,
        totals: Mapping[tuple[int, str], Totals],
        targets: Mapping[int, Target],
        before: Callable[[int], dict[str, Totals]],
    ) -> None:
        """What sinks have said after a write. before: the totals of a run that goes on from an earlier process."""
        for (run, stream), now in totals.items():
            if run not in targets:
                continue
            known = self._totals.get(run)
            if known is None:
                known = self._totals[run] = before(run)
            last, known[stream] = known.get(stream, NOTHING), now
            for change, grown in zip(RecordChange, _grown(last, now), strict=True):
                if grown > 0:  # a key that is written again may go from one to another
                    self.records[targets[run].source, change] += grown

    def ended(self, run: int, source: str, result: RunResult) -> None:
        self._totals.pop(run, None)
        self.runs[source, result] += 1


class RunEnds:
    """Counts how runs end, on the store's thread."""

    def __init__(self, frontier: Frontier, source: Callable[[int], str], counts: CommitCounts) -> None:
        """source: of an account, by its number."""
        self._frontier, self._source, self._counts = frontier, source, counts

    def __call__(self, runs: Sequence[int]) -> None:
        for number in runs:
            try:
                run = self._frontier.run(number)
            except KeyError:  # it was forgotten at once
                continue
            if run.state != "running":
                result = RunResult(run.state.replace(" ", "_"))
                self._counts.ended(number, self._source(run.account), result)


def _grown(last: Totals, now: Totals) -> tuple[int, int, int, int]:
    """In the order of `RecordChange`."""
    return (
        now.new - last.new,
        now.changed - last.changed,
        now.unchanged - last.unchanged,
        now.tombstoned - last.tombstoned,
    )
