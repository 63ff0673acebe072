"""The persist-queue sink: records as items of a queue that another program consumes with that library alone."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from persistqueue import SQLiteAckQueue
from persistqueue.serializers import json

from crawlerd.files.making import make_directory
from crawlerd.sink import SinkError
from crawlerd.sinks.changes import Changes
from crawlerd.sinks.deliveries import RowSink
from crawlerd.sinks.file_errors import FILE_MODE, directory_mode, file_failure
from crawlerd.sinks.sqlite.rows import SqliteRows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DATABASE, TABLE = "data.db", "ack_queue_default"  # the library's names
_PUT = f"INSERT INTO {TABLE} (data, timestamp, status) VALUES (?, ?, 0)"  # noqa: S608 - as `SQLiteAckQueue.put` does


def queue_sink(path: Path, mode: int = FILE_MODE) -> RowSink:
    """A directory that `persistqueue.SQLiteAckQueue(path, serializer=persistqueue.serializers.json)` opens; see
    `Changes` for its items, in the order in which they were written.

    Items enter the library's own table in the transaction that remembers their digests, so each is put exactly once. A
    consumer that dies between its work and its `ack` gets the item again, as the library has it. The library knows one
    consumer only, keeps what was acknowledged until `clear_acked_data` is called, and looks for items that another
    process has put every 10 seconds, or at each `get(block=False)`.

    The directory is made; its parent must exist. SinkError when it cannot be used. mode: rights of the files; whoever
    consumes the queue must be able to write them.
    """
    try:
        make_directory(path, directory_mode(mode))
    except OSError as error:
        raise file_failure(path, error, directory=True) from None
    rows = SqliteRows(path / DATABASE, mode)
    try:
        with rows.database.transaction():
            execute = rows.database.connection.execute
            if execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (TABLE,)).get is None:
                for statement in _schema():
                    execute(statement)
    except BaseException:
        rows.database.close()
        raise

    def put(table: str, lines: Sequence[bytes]) -> None:
        now = time.time()
        rows.database.connection.executemany(_PUT, [(line, now) for line in lines])

    return RowSink(rows, Changes(rows, put))


def _schema() -> list[str]:
    """What the library's own database consists of, as it makes it itself, elsewhere: its SQLite would follow a link
    that somebody has put into the queue's directory, and gives the file whatever rights the umask leaves."""
    try:
        with TemporaryDirectory(prefix="crawlerd-") as folder:
            queue = SQLiteAckQueue(folder, auto_resume=False, serializer=json)
            queue.close()
            with closing(sqlite3.connect(f"{folder}/{DATABASE}")) as made:
                rows = made.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
                return [sql for (sql,) in rows]
    except (OSError, sqlite3.Error) as error:
        raise SinkError(f"a new queue cannot be tried out in a temporary directory: {error}") from None
