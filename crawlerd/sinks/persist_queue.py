"""The persist-queue sink: records as items of a queue that another program consumes with only that library."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from crawlerd.files.making import make_directory
from crawlerd.sinks.ack_queue import DATABASE, PUT, TABLE, queue_schema
from crawlerd.sinks.changes import Changes
from crawlerd.sinks.deliveries import RowSink
from crawlerd.sinks.file_errors import FILE_MODE, directory_mode, file_failure
from crawlerd.sinks.sqlite.erasing import KeptLines
from crawlerd.sinks.sqlite.rows import SqliteRows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from crawlerd.core.erasure import Erased, Erasure


def queue_sink(path: Path, mode: int = FILE_MODE, retain_tombstones: float | None = None) -> RowSink:
    """A directory for `persistqueue.SQLiteAckQueue(path, serializer=persistqueue.serializers.json)`. For its items, see
    `Changes`; they are in the order in which they were written.

    Items enter the library's own table in the same transaction as their digests, so each is put exactly once. A
    consumer that dies between its work and its `ack` gets the item again, as the library does. The library supports
    only one consumer, keeps acknowledged items until `clear_acked_data` is called, and looks for items of other
    processes every 10 seconds, or at each `get(block=False)`.

    The directory is made; its parent must exist. Raises SinkError if it cannot be used.

    mode: permissions of the files; the consumer must be able to write them.
    retain_tombstones: see `RowSink`.
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
                for statement in queue_schema():
                    execute(statement)
    except BaseException:
        rows.database.close()
        raise

    def put(table: str, lines: Sequence[bytes]) -> None:
        now = time.time()
        rows.database.connection.executemany(PUT, [(line, now) for line in lines])

    items = KeptLines(TABLE, "data")

    def erase(which: Erasure) -> Erased:
        return items.erase(rows.database.connection.execute, which)

    return RowSink(rows, Changes(rows, put, erase), retain_tombstones)
