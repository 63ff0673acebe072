"""Gives an import another name: renames it in all tables of the frontier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.frontier.sql.pause_rows import note_act

if TYPE_CHECKING:
    from crawlerd.frontier.reports import Act
    from crawlerd.frontier.sql.database_contract import Database

_TABLES = ("run", "cursor", "scope", "origin", "setup", "last_full")
_RECEIVER = "the receiver of import "
_MAKE_ROOM = """DELETE FROM schedule WHERE import = ?1
AND EXISTS (SELECT 1 FROM schedule AS old WHERE old.import = ?2)"""


def rename_import(db: Database, old: str, new: str, act: Act) -> str | None:
    """Call it in a transaction. Returns None; or, having written nothing, why it cannot be done."""
    for name in (old, new):
        if db.execute("SELECT EXISTS (SELECT 1 FROM run WHERE import = ? AND state = 'running')", (name,)).get:
            return f"a run of import {name} is under way: let it end under that name first"
    if not _known(db, old):
        return f"import {old} has no history, or there is no import of that name"
    if _known(db, new):
        return f"import {new} has a history of its own"
    for table in _TABLES:
        db.execute(f"UPDATE {table} SET import = ? WHERE import = ?", (new, old))  # noqa: S608 - our own names
    db.execute(
        "UPDATE operation SET which = json_set(which, '$.import', ?) "
        "WHERE state = 'running' AND which ->> 'import' = ?",
        (new, old),
    )
    # The new name may have been looked at already.
    db.execute(_MAKE_ROOM, (new, old))
    db.execute("UPDATE schedule SET import = ? WHERE import = ?", (new, old))
    db.execute("UPDATE pause SET name = ? WHERE kind = 'import' AND name = ?", (new, old))
    db.execute(
        "UPDATE sink SET name = ?3 || ?2, identity = ?2 || substr(identity, length(?1) + 1) WHERE name = ?3 || ?1",
        (old, new, _RECEIVER),
    )
    note_act(db, act)
    return None


def _known(db: Database, name: str) -> bool:
    return any(
        db.execute(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE import = ?)", (name,)).get  # noqa: S608 - our own names
        for table in _TABLES
    ) or bool(db.execute("SELECT EXISTS (SELECT 1 FROM pause WHERE kind = 'import' AND name = ?)", (name,)).get)
