"""Checks a sink's database: its file, its rows against the totals of the runs, and its views."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import apsw

from crawlerd.sink import SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_MILLISECONDS = 10_000
SHOWN = 10  # lines about one kind of damage

# For each stream whose tables were counted from their first row on: the number of existing records, and the sum of what
# runs have added.
_COUNTS = """
SELECT stream, (SELECT coalesce(sum(new - tombstoned), 0) FROM _crawlerd_tally AS t WHERE t.stream = s.stream),
       json_group_array(name)
FROM _crawlerd_stream AS s GROUP BY stream HAVING min(counted) = 1"""


def check(path: Path) -> list[str]:
    """Problems of a sink's database, one line each. Changes nothing, and works while the database is written.

    Raises SinkError if it cannot be read at all.
    """
    log = path.with_name(f"{path.name}-wal")
    try:
        try:
            return _check(str(path), apsw.SQLITE_OPEN_READONLY)
        except (apsw.ReadOnlyError, apsw.CantOpenError):  # SQLite needs to create a log, and is not allowed to
            if log.exists():
                raise
        address = f"file:{quote(str(path.absolute()))}?immutable=1"
        found = _check(address, apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return [f"the file is damaged: {error}"]
    except apsw.Error as error:
        raise SinkError(f"cannot read {path}: {error}; run this as the daemon's user") from None
    if log.exists():
        raise SinkError(f"{path} was written while it was read; run this as the daemon's user")
    return found


def _check(name: str, flags: int) -> list[str]:
    with closing(apsw.Connection(name, flags=flags)) as database:
        database.set_busy_timeout(BUSY_MILLISECONDS)
        damage = [line for line in _integrity(database) if line != "ok"]
        if damage:
            return [f"the file is damaged: {line}" for line in damage[:SHOWN]]
        database.execute("BEGIN")  # compare the state of one moment
        return [*_rows(database), *_views(database)]


def _integrity(database: apsw.Connection) -> Iterator[str]:
    for (text,) in database.execute("PRAGMA integrity_check"):
        yield from str(text).splitlines()


def _rows(database: apsw.Connection) -> Iterator[str]:
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not {"_crawlerd_stream", "_crawlerd_tally"} <= tables:
        return
    for (name,) in _all(database, "SELECT name FROM _crawlerd_stream"):
        if name not in tables:
            yield f"the table {name} is missing"
    for stream, expected, listed in _all(database, _COUNTS):
        names = [name for (name,) in _all(database, "SELECT value FROM json_each(?)", listed)]
        if not tables.issuperset(names):
            continue
        counts = (_all(database, f'SELECT count(*) FROM "{name}" WHERE deleted_at IS NULL') for name in names)  # noqa: S608 - names of ours
        found = sum(count for ((count,),) in counts)
        if found != expected:
            yield f"{stream}: {found:,} records are there, but the runs have left {expected:,}"


def _views(database: apsw.Connection) -> Iterator[str]:
    for (name,) in _all(database, "SELECT name FROM sqlite_schema WHERE type = 'view'"):
        if not str(name).endswith("_view"):
            continue
        try:
            _all(database, f'SELECT * FROM "{name}" LIMIT 100')  # noqa: S608 - a name of the schema
        except apsw.SQLError as error:
            yield f"the view {name} cannot be read: {error}"


def _all(database: apsw.Connection, statement: str, *bindings: Any) -> list[tuple[Any, ...]]:
    return list(database.execute(statement, bindings))
