"""Checks a frontier: its file, and every invariant of its rows."""

from __future__ import annotations

from contextlib import closing, contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import apsw

from crawlerd.core.errors import FrontierError
from crawlerd.frontier.sqlite.database import open_readable, storage_errors
from crawlerd.frontier.sqlite.invariants import INVARIANTS, SCAN, Invariant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLES = 5  # rows that are shown of one broken invariant; more are only counted


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
        database.execute(SCAN)
        return [line for invariant in INVARIANTS for line in _broken(database, invariant)]


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


def _broken(database: apsw.Connection, invariant: Invariant) -> Iterator[str]:
    rows = database.execute(invariant.rows)
    for row in islice(rows, EXAMPLES):
        yield invariant.broken.format(*row)
    more = sum(1 for _ in rows)
    if more:
        yield f"… and {more:,} more like this one"


@contextmanager
def _reading(path: Path) -> Iterator[apsw.Connection]:
    with closing(open_readable(path)) as database, storage_errors(path, database):
        try:
            yield database
        except apsw.SQLError as error:
            raise FrontierError(f"{path} is a database, but not a frontier: {error}") from None
