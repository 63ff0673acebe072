"""Updates the counters of groups, and writes what `crawlerd.frontier.group_end` decides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from crawlerd.core.output import NAMED_LETTERS
from crawlerd.frontier.group_end import Counted, Letter, bring_back, end_groups
from crawlerd.frontier.sql.dead_rows import bury

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from crawlerd.frontier.change import Change

    Execute = Callable[[str, Iterable[Sequence[object]]], list[Any]]

RETRY = """
WITH RECURSIVE again(seq) AS (
    SELECT seq FROM dead WHERE seq IN (SELECT value->>0 FROM json_each(?)) AND seq NOT IN (SELECT id FROM gather)
        AND run NOT IN (SELECT id FROM run WHERE state = 'cancelled')
    UNION
    SELECT gather.id FROM again JOIN dead USING (seq) JOIN gather ON gather.id = dead.grp WHERE gather.open = 0
)
DELETE FROM dead WHERE seq IN (SELECT seq FROM again)
RETURNING bucket, priority, seq, run, kind, payload, grp, seq IN (SELECT id FROM gather), chain,
    (SELECT name FROM kind WHERE kind.id = dead.kind)
"""
COUNT = """
UPDATE gather SET open = open + j.value->>1, dead = dead + j.value->>2 FROM json_each(?) AS j
WHERE gather.id = j.value->>0
RETURNING id, run, parent, open, dead, if_dead, bucket, priority, kind, payload,
    (SELECT name FROM kind WHERE kind.id = gather.kind), submitted = 2
"""
# These letters are directly in the group: inner groups have ended, and their letters were moved to it.
LETTERS = f"""
SELECT j.value->>0, (SELECT json_group_array(letter.text) FROM (
    SELECT kind.name || ': ' || dead.error AS text FROM dead JOIN kind ON kind.id = dead.kind
    WHERE dead.grp = j.value->>0 AND dead.grp > 0 ORDER BY dead.seq LIMIT {NAMED_LETTERS}) AS letter)
FROM json_each(?) AS j
"""  # noqa: S608 - our own number
# The dead letters of a group that has ended count in the outer group.
CLOSE = (
    "DELETE FROM gather WHERE id IN (SELECT value->>0 FROM json_each(?))",
    "UPDATE gather SET parent = j.value->>1 FROM json_each(?) AS j "
    "WHERE gather.parent = j.value->>0 AND gather.parent > 0",
    "UPDATE dead SET grp = j.value->>1 FROM json_each(?) AS j WHERE grp = j.value->>0 AND grp > 0",
)


def settle(change: Change, execute: Execute) -> None:
    """Updates the counters of groups and ends groups, again and again until no other group ends."""
    while change.groups:
        members = change.take_groups()
        rows = execute(COUNT, ((group, each.open, each.dead) for group, each in members.items()))
        counted = [Counted(*row) for row in rows]
        if told := [each for each in counted if each.tells]:
            bury(change, execute)
            letters = {group: json.loads(found) for group, found in execute(LETTERS, ((each.id,) for each in told))}
            counted = [each.telling(letters[each.id]) if each.id in letters else each for each in counted]
        over = end_groups(change, counted)
        if over:
            bury(change, execute)
            for statement in CLOSE:
                execute(statement, over)


def retry(numbers: Sequence[int], change: Change, execute: Execute) -> int:
    """Makes dead letters ready again, and lets groups that have failed because of them wait again. Returns how many."""
    rows = execute(RETRY, ((number,) for number in numbers))
    bring_back(change, [Letter(*row) for row in rows])
    return len(rows)
