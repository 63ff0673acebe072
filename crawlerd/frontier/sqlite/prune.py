"""Runs that have ended long ago leave the frontier, in slices, so that no transaction stalls the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import apsw

# Kept whatever their age: what is under way, has dead letters or tasks to be removed, is the newest of its import, or
# the last full one, by which long runs are known.
_OLD = """
WITH mine AS (SELECT id, state, "full", ended_at, dead, open FROM run WHERE import = ?1)
SELECT id FROM mine
WHERE state <> 'running' AND dead = 0 AND open = 0
AND (id <= (SELECT id FROM mine ORDER BY id DESC LIMIT 1 OFFSET ?2) OR ended_at < ?3)
AND id <> (SELECT max(id) FROM mine)
AND id <> coalesce((SELECT max(id) FROM mine WHERE "full" AND state LIKE 'completed%'), 0)
AND NOT EXISTS (SELECT 1 FROM seen WHERE run = mine.id) AND NOT EXISTS (SELECT 1 FROM queue WHERE run = mine.id)
ORDER BY id LIMIT ?4
"""
_TABLES = ("tally", "doubt", "whole", "borrowed", "staged")


def prune(db: apsw.Connection, import_name: str, count: int, before: float, most: int) -> int:
    """See `Frontier.prune_runs`."""
    runs = [run for (run,) in db.execute(_OLD, (import_name, count, before, most))]
    for run in runs:
        for table in _TABLES:
            db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))  # noqa: S608 - our own names
        db.execute("DELETE FROM run WHERE id = ?", (run,))
    return len(runs)
