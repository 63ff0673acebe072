"""The end of a run: which runs are over, in which state, and what of their cursors is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.frontier.sqlite import doubts

if TYPE_CHECKING:
    from crawlerd.frontier.change import Change
    from crawlerd.frontier.sqlite.groups import Execute

# A cursor belongs to the stream that its name begins with, up to a colon, and to those that it names behind that, with
# commas; one that belongs to none may be of any. Nothing is published that may be of what is doubted, nor what is of a
# stream of which something was denied: no later run would ask for that again. What others have submitted to the run
# does not count: the sync points say nothing of it.
PUBLISH = """
INSERT INTO cursor SELECT run.import, run.sink, staged.stream, staged.value FROM json_each(?) AS j
JOIN run ON run.id = j.value->>0 JOIN staged ON staged.run = run.id
WHERE run.id = (SELECT max(id) FROM run AS r WHERE r.import = run.import AND r.ad_hoc IS NULL) AND run.dropped = 0
AND NOT EXISTS (SELECT 1 FROM dead WHERE dead.run = run.id AND NOT kept
    AND NOT EXISTS (SELECT 1 FROM gather WHERE gather.id = dead.grp AND submitted > 0) AND (
    NOT denied OR instr(',' || replace(staged.stream, ':', ',') || ',', ',' || dead.stream || ',')
))
AND NOT EXISTS (
    SELECT 1 FROM doubt JOIN (SELECT substr(staged.stream, 1, instr(staged.stream || ':', ':') - 1) AS its)
    WHERE doubt.run = run.id
    AND (doubt.stream = its OR NOT EXISTS (SELECT 1 FROM tally WHERE tally.run = run.id AND tally.stream = its))
)
ON CONFLICT DO UPDATE SET value = excluded.value
"""


def end_runs(change: Change, execute: Execute) -> list[int]:
    """Ends the runs that have nothing open any more. A clean end publishes the run's cursors, unless the import has
    been run again since, or it was an ad hoc run. It is clean as well where all dead letters were denied, but for
    their streams. A dead letter that was dropped counts: what it was about is missing."""
    ended = execute(
        "UPDATE run SET ended_at = j.value->>1, state = CASE WHEN dead + dropped = 0 THEN 'completed' "
        "WHEN done = 0 THEN 'failed' ELSE 'completed with dead letters' END "
        "FROM json_each(?) AS j WHERE run.id = j.value->>0 AND open = 0 AND state = 'running' "
        "RETURNING run.id, state",
        ((run, change.now) for run in change.runs),
    )
    doubts.note(ended, execute)
    execute(PUBLISH, ended)
    execute(
        "DELETE FROM staged WHERE run IN (SELECT value->>0 FROM json_each(?))",
        ((run,) for run, state in ended if state == "completed"),
    )
    return [run for run, _ in ended]
