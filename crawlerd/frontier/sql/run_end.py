"""The end of a run: counts its tasks, decides which runs have ended and in which state, publishes their cursors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from crawlerd.frontier.sql import doubts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crawlerd.frontier.change import Change
    from crawlerd.frontier.sql.groups import Execute

MOST = 100_000  # most runs whose counts are remembered
# Returns how many tasks each run has open, and how many more make it a long one: NULL for any number.
COUNT = """UPDATE run SET open = open + j.value->>1, delayed = delayed + j.value->>2, waiting = waiting + j.value->>3,
done = done + j.value->>4, dead = dead + j.value->>5, retried = retried + j.value->>6,
throttled = throttled + j.value->>7, records = records + j.value->>8
FROM json_each(?) AS j WHERE run.id = j.value->>0 RETURNING run.id, open, warn_at - done"""

# A cursor belongs to the stream that its name begins with, up to a colon, and to the streams that follow the colon,
# separated by commas. A cursor of no stream may belong to any. Cursors are not published if they may belong to a stream
# in doubt, or to one with denied requests: no later run would read the missing records. Submitted tasks of the run do
# not count, since sync points say nothing about them.
PUBLISH = """
INSERT INTO cursor SELECT run.import, run.sink, staged.stream, staged.value FROM json_each(?) AS j
JOIN run ON run.id = j.value->>0 JOIN staged ON staged.run = run.id
WHERE run.id = (SELECT max(id) FROM run AS r WHERE r.import = run.import AND r.ad_hoc IS NULL) AND run.dropped = 0
AND NOT EXISTS (SELECT 1 FROM dead WHERE dead.run = run.id AND kept = 0
    AND NOT EXISTS (SELECT 1 FROM gather WHERE gather.id = dead.grp AND submitted > 0) AND (
    denied = 0 OR instr(',' || replace(staged.stream, ':', ',') || ',', ',' || dead.stream || ',') > 0
))
AND NOT EXISTS (
    SELECT 1 FROM doubt
    CROSS JOIN (SELECT substr(staged.stream, 1, instr(staged.stream || ':', ':') - 1) AS its) AS named
    WHERE doubt.run = run.id
    AND (doubt.stream = its OR NOT EXISTS (SELECT 1 FROM tally WHERE tally.run = run.id AND tally.stream = its))
)
ON CONFLICT (import, sink, stream) DO UPDATE SET value = excluded.value
"""


class RunCounts:
    """What is known of runs without asking the database: most commits end no run, and make none long."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, float]] = {}  # open tasks, and how many more tasks make the run a long one

    def forget(self) -> None:
        """Call when tasks were removed in another way than by a change."""
        self._known.clear()

    def could_end(self, change: Change) -> list[int]:
        """The runs that may have no open task any more."""
        return [run for run, counts in change.runs.items() if self._known.get(run, (0, 0))[0] + counts.open <= 0]

    def could_be_long(self, change: Change) -> list[int]:
        """The runs that may have become long by what they have done."""
        return [run for run, counts in change.runs.items() if counts.done and counts.done >= self._left(run)]

    def note(self, change: Change, counted: Iterable[tuple[int, int, int | None]]) -> None:
        """Call when the transaction has ended. counted: what `COUNT` has returned; may lack runs of the change."""
        for run in change.runs:
            self._known.pop(run, None)
        if len(self._known) > MOST:
            self.forget()
        self._known.update((run, (open_, math.inf if left is None else left)) for run, open_, left in counted if open_)

    def _left(self, run: int) -> float:
        return self._known.get(run, (0, 0.0))[1]


def end_runs(runs: Sequence[int], now: float, execute: Execute) -> list[int]:
    """Ends those of the runs that have no open tasks any more. A clean end publishes the run's cursors, unless the
    import has been run again since, or it was an ad hoc run. An end is clean without dead letters. Letters that were
    denied do not count, except for their streams; letters that were dropped do count, since their records are missing.
    """
    ended = execute(
        "UPDATE run SET ended_at = j.value->>1, state = CASE WHEN dead + dropped = 0 THEN 'completed' "
        "WHEN done = 0 THEN 'failed' ELSE 'completed with dead letters' END "
        "FROM json_each(?) AS j WHERE run.id = j.value->>0 AND open = 0 AND state = 'running' "
        "RETURNING run.id, state",
        ((run, now) for run in runs),
    )
    doubts.note(ended, execute)
    execute(PUBLISH, ended)
    execute(
        "DELETE FROM staged WHERE run IN (SELECT value->>0 FROM json_each(?))",
        ((run,) for run, state in ended if state == "completed"),
    )
    return [run for run, _ in ended]
