"""Reads and changes sync points for people: those of an import for its configured sink."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from crawlerd.frontier.sql.pause_rows import note_act
from crawlerd.frontier.sync_point_contract import RunUnderWay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crawlerd.frontier.reports import Act
    from crawlerd.frontier.sql.database_contract import Database

# A sink may have been replaced by another one of the same name: the one counts for which the import has sync points.
_SINK = """
SELECT id FROM sink WHERE name = ?2
ORDER BY EXISTS (SELECT 1 FROM cursor WHERE cursor.import = ?1 AND cursor.sink = sink.id) DESC, id DESC LIMIT 1
"""
# Sync points of sink 0 come from a version in which sinks had no numbers; the next run takes them over.
_POINTS = "SELECT stream, value FROM cursor WHERE import = ?1 AND sink IN (0, ?2) ORDER BY sink, stream"
_NAMED = "SELECT value->>0 FROM json_each(?2)"
_CLEAR = f"DELETE FROM cursor WHERE import = ?1 AND sink IN (0, ?3) AND stream IN ({_NAMED})"  # noqa: S608 - our own text
# A run whose dead letters are retried publishes its staged cursors, which would undo the change.
_UNSTAGE = f"""DELETE FROM staged WHERE run IN (SELECT id FROM run WHERE import = ?1) AND stream IN ({_NAMED})"""  # noqa: S608 - our own text
_SET = "INSERT INTO cursor SELECT ?1, ?3, value->>0, value->>1 FROM json_each(?2) WHERE value->>1 IS NOT NULL"


def sync_points(read: Callable[..., list[Any]], import_name: str, sink_name: str) -> dict[str, str] | None:
    """See `FrontierReader`. read: runs a statement with bindings."""
    rows = read(_SINK, import_name, sink_name)
    return dict(read(_POINTS, import_name, rows[0][0])) if rows else None


def change_sync_points(
    db: Database, import_name: str, sink_name: str, changes: Mapping[str, str | None], act: Act
) -> None:
    """See `SyncPointStore`. Call it in a transaction."""
    run = db.execute("SELECT min(id) FROM run WHERE import = ? AND state = 'running'", (import_name,)).get
    if run is not None:
        raise RunUnderWay(import_name, run)
    sink = db.execute(_SINK, (import_name, sink_name)).get
    rows = json.dumps(list(changes.items()))
    db.execute(_UNSTAGE, (import_name, rows))
    db.execute(_CLEAR, (import_name, rows, sink))
    db.execute(_SET, (import_name, rows, sink))
    note_act(db, act)
