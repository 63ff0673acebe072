"""Whether a frontier on PostgreSQL is sound."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from crawlerd.frontier.postgresql import migrations
from crawlerd.frontier.postgresql.dialect import plain
from crawlerd.frontier.postgresql.session import connect, errors
from crawlerd.frontier.sql.invariants import INVARIANTS, SCAN, broken_lines

if TYPE_CHECKING:
    from crawlerd.frontier.postgresql.session import Place

_ENTRIES = """
CREATE TEMP VIEW staged_entry AS
    SELECT id, first + entry.number - 1 AS place, (entry.value->>1)::bigint AS inside,
        (entry.value->>2)::bigint AS members
    FROM stage CROSS JOIN LATERAL json_array_elements(stage.entries::json) WITH ORDINALITY AS entry(value, number);
"""
# All is read, and the plans are for that.
_SCANNING = """
SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on;
SET LOCAL enable_material = on; SET LOCAL enable_bitmapscan = on; SET LOCAL join_collapse_limit = 8;
SET LOCAL from_collapse_limit = 8; SET LOCAL plan_cache_mode = auto;
"""


def check(place: Place) -> list[str]:
    """What is wrong with it, a line each; nothing when every invariant holds. Changes nothing; works alongside the
    daemon. FrontierError when there is none or it cannot be read."""
    with errors(place), closing(connect(place, patient=True)) as session:
        migrations.check_version(place, session)
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        for each in (_SCANNING + _ENTRIES + SCAN.format(temporary="")).split(";\n"):
            for statement in each.split("; "):
                if statement.strip():
                    session.execute(statement.encode())
        lines = [
            line
            for invariant in INVARIANTS
            for line in broken_lines(invariant, iter(session.execute(plain(invariant.rows).encode())))
        ]
        session.execute("ROLLBACK")
        return lines
