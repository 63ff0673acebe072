"""Forgets runs that ended long ago, in slices, so that no transaction takes long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from crawlerd.frontier.sql.figure_rows import TABLES as FIGURES

if TYPE_CHECKING:
    from crawlerd.frontier.sql.database_contract import Database

SLICE_SECONDS = 0.01  # after this time a transaction ends
SLICE_ROWS = 500  # most rows to delete at once from a table in which one run may have many
# Kept at any age: runs under way, runs with dead letters or with tasks to be removed, and the newest and the last full
# run of an import (by the latter, unusually long runs are found). Runs of submitted tasks, which may be many, are
# counted separately. Each part of the union is a range of an index of the runs that are not kept: no other runs are
# read, however many there are.
_GONE = "state <> 'running' AND dead = 0 AND open = 0"
_EMPTY = "NOT EXISTS (SELECT 1 FROM seen WHERE run = id) AND NOT EXISTS (SELECT 1 FROM queue WHERE run = id)"
_OLD = f"""
SELECT id FROM (
    SELECT id FROM (
        SELECT id FROM run INDEXED BY run_prunable WHERE import = ?1 AND submitted = 0 AND {_GONE} AND {_EMPTY}
        AND id <= (SELECT id FROM run INDEXED BY run_submitted WHERE import = ?1 AND submitted = 0
            ORDER BY id DESC LIMIT 1 OFFSET ?2)
        ORDER BY id LIMIT ?4 + 2
    ) UNION SELECT id FROM (
        SELECT id FROM run INDEXED BY run_prunable WHERE import = ?1 AND submitted = 1 AND {_GONE} AND {_EMPTY}
        AND id <= (SELECT id FROM run INDEXED BY run_submitted WHERE import = ?1 AND submitted = 1
            ORDER BY id DESC LIMIT 1 OFFSET ?2)
        ORDER BY id LIMIT ?4 + 2
    ) UNION SELECT id FROM (
        SELECT id FROM run INDEXED BY run_prunable_at WHERE import = ?1 AND {_GONE} AND {_EMPTY}
        AND ended_at < ?3 ORDER BY ended_at LIMIT ?4 + 2
    )
) AS old
WHERE id <> (SELECT max(id) FROM run WHERE import = ?1)
AND id <> coalesce((
    SELECT id FROM run INDEXED BY run_full WHERE import = ?1 AND "full" = 1
    AND state IN ('completed', 'completed with dead letters') ORDER BY id DESC LIMIT 1
), 0)
ORDER BY id LIMIT ?4
"""  # noqa: S608 - our own text
_TABLES = ("tally", "doubt", "whole", "staged", *FIGURES)
_WIDE = {"borrowed": "account", "figure": "what, a, b, c"}  # tables with many rows of one run, and their keys


def prune(db: Database, import_name: str, count: int, before: float, most: int) -> int:
    """See `Frontier.prune_runs`."""
    until = time.monotonic() + SLICE_SECONDS
    done = 0
    for (run,) in list(db.execute(_OLD, (import_name, count, before, most))):
        done += 1
        if not forget(db, run) or time.monotonic() > until:
            break
    return done


def forget(db: Database, run: int) -> bool:
    """Removes an ended run without tasks. Returns False when something of it is left for the next transaction."""
    for table, key in _WIDE.items():
        db.execute(
            f"DELETE FROM {table} WHERE run = ?1 AND ({key}) IN (SELECT {key} FROM {table} WHERE run = ?1 LIMIT ?2)",  # noqa: S608 - our own names
            (run, SLICE_ROWS),
        )
        if db.changes() == SLICE_ROWS:
            return False
    for table in _TABLES:
        db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))  # noqa: S608 - our own names
    db.execute("DELETE FROM gather WHERE run = ? AND submitted > 0", (run,))
    db.execute("DELETE FROM run WHERE id = ?", (run,))
    return True
