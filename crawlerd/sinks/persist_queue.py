"""The persist-queue sink: records as items of a queue that another program consumes with that library alone."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from persistqueue import SQLiteAckQueue
from persistqueue.serializers import json

from crawlerd.sink import SinkError, SyncFailed
from crawlerd.sinks.changes import Changes
from crawlerd.sinks.deliveries import RowSink
from crawlerd.sinks.files import file_failure
from crawlerd.sinks.sqlite.rows import SqliteRows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PUT = "INSERT INTO ack_queue_default (data, timestamp, status) VALUES (?, ?, 0)"  # as `SQLiteAckQueue.put` does


def queue_sink(path: Path) -> RowSink:
    """A directory that `persistqueue.SQLiteAckQueue(path, serializer=persistqueue.serializers.json)` opens; see
    `Changes` for its items, in the order in which they were written.

    Items enter the library's own table in the transaction that remembers their digests, so each is put exactly once. A
    consumer that dies between its work and its `ack` gets the item again, as the library has it. The library knows one
    consumer only, keeps what was acknowledged until `clear_acked_data` is called, and looks for items that another
    process has put every 10 seconds, or at each `get(block=False)`.

    The directory is made; its parent must exist. SinkError when it cannot be used.
    """
    try:
        path.mkdir(exist_ok=True)
        queue = SQLiteAckQueue(str(path), auto_resume=False, serializer=json)  # makes its table, in its own way
    except OSError as error:
        raise file_failure(path, error, directory=True) from None
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) in (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC):
            raise SyncFailed(f"the disk of {path} fails to sync ({error})") from None
        raise SinkError(f"{path} cannot be used as a queue: {error}") from None
    queue.close()  # before our own SQLite opens the file: two libraries in one process break each other's locks
    rows = SqliteRows(path / queue.db_file_name)

    def put(table: str, lines: Sequence[bytes]) -> None:
        now = time.time()
        rows.database.connection.executemany(_PUT, [(line, now) for line in lines])

    return RowSink(rows, Changes(rows, put))
