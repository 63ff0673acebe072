"""Checks a frontier: its file, and every invariant of its rows."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import apsw

from crawlerd.core.errors import FrontierError
from crawlerd.frontier.sql.invariants import ENTRIES, INVARIANTS, SCAN, broken_lines
from crawlerd.frontier.sqlite.database import open_readable, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def check(path: Path, *, full: bool = False) -> list[str]:
    """Checks a frontier or a backup. Returns a line for each fault; no lines when every invariant holds.

    Changes nothing, and works while a daemon runs; the daemon's log grows while this reads, which takes two seconds for
    a million tasks.
    full: also compare every index with its table.
    Raises FrontierError when it is not a frontier, or cannot be read at all.
    """
    with _reading(path) as database:
        damage = damage_of(database, full=full)
        if damage:
            return [f"the file is damaged: {line}" for line in damage]
        database.execute("BEGIN")
        database.execute(ENTRIES + SCAN.format(temporary="temp."))
        return [line for invariant in INVARIANTS for line in broken_lines(invariant, database.execute(invariant.rows))]


def damage_of(database: apsw.Connection, *, full: bool) -> list[str]:
    """The faults that SQLite itself finds in the file. A badly damaged file may end its check early."""
    lines: list[str] = []
    try:
        for (text,) in database.execute("PRAGMA integrity_check" if full else "PRAGMA quick_check"):
            lines += (line for line in text.splitlines() if line != "ok" and not line.startswith("***"))
    except apsw.CorruptError:
        if not lines:
            raise
    return lines


@contextmanager
def _reading(path: Path) -> Iterator[apsw.Connection]:
    with closing(open_readable(path)) as database, storage_errors(path, database):
        try:
            yield database
        except apsw.SQLError as error:
            raise FrontierError(f"{path} is a database, but not a frontier: {error}") from None
