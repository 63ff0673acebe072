"""Whether a frontier is sound: its file, and every invariant of its rows."""

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

EXAMPLES = 5  # of one broken invariant, before the rest is only counted


def check(path: Path, *, full: bool = False) -> list[str]:
    """What is wrong with a frontier or a backup of one, a line each; nothing when every invariant holds.

    Changes nothing; works beside the daemon, whose log grows as long as this reads: two seconds for a million tasks.
    full: compares every index with its table as well. FrontierError when it is no frontier or cannot be read at all.
    """
    with _reading(path) as database:
        damage = damage_of(database, full=full)
        if damage:
            return [f"the file is damaged: {line}" for line in damage]
        database.execute("BEGIN")
        database.execute(SCAN)
        return [line for invariant in INVARIANTS for line in _broken(database, invariant)]


def damage_of(database: apsw.Connection, *, full: bool) -> list[str]:
    """What SQLite finds itself, which may be too much for it to get to the end."""
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
