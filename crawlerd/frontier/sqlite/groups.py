"""Groups of tasks: how they are counted, and what becomes of the task that waits for the end of one."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from crawlerd.core.outcome import Bury
from crawlerd.core.task import Task
from crawlerd.frontier.change import Members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from crawlerd.frontier.change import Change

    Execute = Callable[[str, Iterable[Sequence[object]]], list[Any]]

# The `then` of a group that has failed comes back with any of the group's other letters, in all groups around it; not
# by itself, since its group is still not what it needs.
RETRY = """
WITH RECURSIVE again(seq) AS (
    SELECT seq FROM dead WHERE seq IN (SELECT value->>0 FROM json_each(?)) AND seq NOT IN (SELECT id FROM gather)
        AND run NOT IN (SELECT id FROM run WHERE state = 'cancelled')
    UNION
    SELECT gather.id FROM again JOIN dead USING (seq) JOIN gather ON gather.id = dead.grp WHERE gather.open = 0
)
DELETE FROM dead WHERE seq IN (SELECT seq FROM again)
RETURNING bucket, priority, seq, run, kind, payload, grp, seq IN (SELECT id FROM gather)
"""
COUNT = """
UPDATE gather SET open = open + j.value->>1, dead = dead + j.value->>2 FROM json_each(?) AS j
WHERE gather.id = j.value->>0
RETURNING id, run, parent, open, dead, if_dead, bucket, priority, kind, payload,
    (SELECT name FROM kind WHERE kind.id = gather.kind)
"""
# What is dead in a group that is over counts in the one around it.
CLOSE = (
    "DELETE FROM gather WHERE id IN (SELECT value->>0 FROM json_each(?))",
    "UPDATE gather SET parent = j.value->>1 FROM json_each(?) AS j "
    "WHERE gather.parent = j.value->>0 AND gather.parent > 0",
    "UPDATE dead SET grp = j.value->>1 FROM json_each(?) AS j WHERE grp = j.value->>0 AND grp > 0",
)


def settle(change: Change, execute: Execute) -> None:
    """Writes what has happened to groups. Where nothing is open any more, the task that waited becomes ready, or dead.

    An inner group counts as open in the one around it until then, so that they settle from within.
    """
    while change.groups:
        counted, change.groups = change.groups, defaultdict(Members)
        over: list[tuple[int, int]] = []
        for group, run, parent, opened, dead, if_dead, bucket, priority, kind, payload, name in execute(
            COUNT, ((group, members.open, members.dead) for group, members in counted.items())
        ):
            if opened:
                continue
            change.runs[run].waiting -= 1
            if dead and if_dead == "fail":
                change.runs[run].open -= 1
                if parent:
                    change.groups[parent].open -= 1
                then = Task(group, bucket, priority, run, name, 0, payload, group=parent)
                change.bury(then, kind, Bury(f"not run: {dead} dead letters in its group; it waits for those retried"))
                continue
            if dead and if_dead == "skip":
                change.runs[run].open -= 1
                if parent:
                    change.groups[parent].open -= 1
            else:
                change.make_ready(bucket, priority, group, run, kind, 0, payload, parent)
            if parent and dead:
                change.groups[parent].dead += dead
            over.append((group, parent))
        if over:
            bury(change, execute)
            for statement in CLOSE:
                execute(statement, over)


def bury(change: Change, execute: Execute) -> None:
    """Writes the dead letters gathered so far."""
    execute(
        "INSERT INTO dead SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, "
        "value->>7, value->>8, value->>9, value->>10, value->>11 FROM json_each(?)",
        change.dead,
    )
    change.dead = []


def retry(numbers: Sequence[int], change: Change, execute: Execute) -> int:
    """Dead letters become ready again, and groups that have failed for them wait again. How many there were."""
    rows = execute(RETRY, ((number,) for number in numbers))
    for bucket, priority, seq, run, kind, payload, group, waits in rows:
        if waits:
            change.runs[run].waiting += 1
        else:
            change.make_ready(bucket, priority, seq, run, kind, 0, payload, group)
        change.runs[run].open += 1
        change.runs[run].dead -= 1
        if group:
            change.groups[group].open += 1
            change.groups[group].dead -= 1
    return len(rows)
