"""The notes of schedules, and what schedules need to know about runs. See `Schedules`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.schedule_rules import ScheduleNote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crawlerd.frontier.sql.database_contract import Database


_NAMES = ScheduleNote.__struct_fields__
_COLUMNS = ", ".join(_NAMES)
_NOTE = f"""INSERT INTO schedule(import, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (import) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _NAMES)}"""  # noqa: S608 - our own names
# Where no full run has ended, there is no sync point, and the next run is full anyway.
_FULL_SINCE = """SELECT max(started_at) FROM run
WHERE import = ? AND "full" = 1 AND state IN ('completed', 'completed with dead letters') AND ad_hoc IS NULL"""


def put_note(db: Database, import_name: str, note: ScheduleNote) -> None:
    """Stores a note. Call it in a transaction."""
    db.execute(_NOTE, (import_name, *msgspec.structs.astuple(note)))


def schedule_note(read: Callable[..., list[Any]], import_name: str) -> ScheduleNote | None:
    """See `Schedules`. read: runs a statement with bindings."""
    rows = read(f"SELECT {_COLUMNS} FROM schedule WHERE import = ?", import_name)  # noqa: S608 - our own names
    return ScheduleNote(**dict(zip(_NAMES, rows[0], strict=True))) if rows else None


def schedule_notes(read: Callable[..., list[Any]], names: Sequence[str]) -> dict[str, ScheduleNote]:
    """See `FrontierReader`. read: runs a statement with bindings."""
    which = "SELECT value FROM json_each(?)"
    rows = read(f"SELECT import, {_COLUMNS} FROM schedule WHERE import IN ({which})", json.dumps(list(names)))  # noqa: S608 - our own names
    return {name: ScheduleNote(**dict(zip(_NAMES, note, strict=True))) for name, *note in rows}


def full_since(read: Callable[..., list[Any]], import_name: str) -> float | None:
    """See `Schedules`. read: runs a statement with bindings."""
    ((at,),) = read(_FULL_SINCE, import_name)
    return None if at is None else float(at)
