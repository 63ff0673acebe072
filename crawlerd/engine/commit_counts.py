"""Counts commits, writes of sinks and ends of runs. The store's thread counts, without a lock; any thread may read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from crawlerd.core.bounded_counts import WRITE_BOUNDS, BoundedCounts
from crawlerd.core.metric_labels import RecordChange, RunResult
from crawlerd.sink import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crawlerd.engine.sink_target import Target
    from crawlerd.frontier.contract import Frontier

NOTHING = Totals()


class CommitCounts:
    """The counts since the process began.

    commits: group commits.
    outcomes: outcomes in these commits.
    durations: seconds of each commit.
    enqueued: tasks that became ready for the first time, by source.
    runs: runs that have ended, by source and result.
    records: records that sinks have written, by source and change.
    stored, written: sums of seconds that attempts waited for their commit, and for sinks.
    """

    def __init__(self) -> None:
        self.commits = self.outcomes = 0
        self.durations = BoundedCounts(WRITE_BOUNDS)
        self.enqueued: Counter[str] = Counter()
        self.runs: Counter[tuple[str, RunResult]] = Counter()
        self.records: Counter[tuple[str, RecordChange]] = Counter()
        self._writes: dict[str, BoundedCounts] = {}
        self.stored = self.written = 0.0
        self._totals: dict[int, dict[str, Totals]] = {}  # last totals of runs under way, by run and stream
        self._held, self._held_at = 0, 0.0

    def committed(self, outcomes: int, seconds: float) -> None:
        """Counts one group commit."""
        self.commits += 1
        self.outcomes += outcomes
        self.durations.add(seconds)

    def waited(self, attempts: int, seconds: float, sink_seconds: float) -> None:
        """Counts the waits of attempts whose outcomes were committed.

        seconds: the sum of all waits, each from the receipt of the outcome to the commit.
        sink_seconds: how long the sinks took; a part of each wait.
        """
        of_sinks = min(seconds, attempts * sink_seconds)
        self.written += of_sinks
        self.stored += seconds - of_sinks

    def wrote(self, sink: str, seconds: float) -> None:
        """Counts one write of a group of records into a sink."""
        self.writes(sink).add(seconds)

    def writes(self, sink: str) -> BoundedCounts:
        """The seconds of writes into a sink. All callers, on any thread, get the same object."""
        return self._writes.get(sink) or self._writes.setdefault(sink, BoundedCounts(WRITE_BOUNDS))

    def hold(self, outcomes: int, now: float) -> None:
        """Sets how many outcomes wait for sinks that refuse, from now on. now: monotonic seconds."""
        self.written += self._held * (now - self._held_at)
        self._held, self._held_at = outcomes, now

    def changed(
        self,
        totals: Mapping[tuple[int, str], Totals],
        targets: Mapping[int, Target],
        before: Callable[[int], dict[str, Totals]],
    ) -> None:
        """Counts the records of a write, by the totals that the sinks have returned.

        before: returns the totals of a run that goes on from an earlier process.
        """
        for (run, stream), now in totals.items():
            if run not in targets:
                continue
            known = self._totals.get(run)
            if known is None:
                known = self._totals[run] = before(run)
            last, known[stream] = known.get(stream, NOTHING), now
            for change, grown in zip(RecordChange, _grown(last, now), strict=True):
                if grown > 0:  # a record that is written again may move from one count to another
                    self.records[targets[run].source, change] += grown

    def ended(self, run: int, source: str, result: RunResult) -> None:
        self._totals.pop(run, None)
        self.runs[source, result] += 1


class RunEnds:
    """Counts the results of runs. Used on the store's thread."""

    def __init__(self, frontier: Frontier, source: Callable[[int], str], counts: CommitCounts) -> None:
        """source: returns the source of an account, by the account's number."""
        self._frontier, self._source, self._counts = frontier, source, counts

    def __call__(self, runs: Sequence[int]) -> None:
        for number in runs:
            try:
                run = self._frontier.run(number)
            except KeyError:  # the run was forgotten as soon as it had ended
                continue
            if run.state != "running":
                result = RunResult(run.state.replace(" ", "_"))
                self._counts.ended(number, self._source(run.account), result)


def _grown(last: Totals, now: Totals) -> tuple[int, int, int, int]:
    """What was added to the totals, in the order of `RecordChange`."""
    return (
        now.new - last.new,
        now.changed - last.changed,
        now.unchanged - last.unchanged,
        now.tombstoned - last.tombstoned,
    )
