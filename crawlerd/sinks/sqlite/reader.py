"""Reads the objects of an SQLite sink, for commands that show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw

from crawlerd.core.lenient_json import parsed
from crawlerd.sink import SinkError
from crawlerd.source import STREAM_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_MILLISECONDS = 5_000


def objects(path: Path, source: str, stream: str, account: str) -> Iterator[dict[str, Any]]:
    """An account's objects of one stream by id, without those known to be deleted; none if nothing was imported yet.
    Raises SinkError if the database cannot be read."""
    if not STREAM_NAME.fullmatch(source) or not STREAM_NAME.fullmatch(stream):
        raise SinkError(f"{source!r} and {stream!r} cannot name a table")
    if not path.exists():
        return
    try:
        database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            database.set_busy_timeout(BUSY_MILLISECONDS)
            table = f"{source}_{stream}"
            if database.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)).get is None:
                return
            rows = f'SELECT data FROM "{table}" WHERE account = ? AND deleted_at IS NULL ORDER BY id'  # noqa: S608 - a checked name
            for (data,) in database.execute(rows, (account,)):
                yield parsed(data if isinstance(data, bytes) else str(data).encode())
        finally:
            database.close()
    except (apsw.Error, ValueError) as error:
        raise SinkError(f"cannot read {path}: {error}") from error
