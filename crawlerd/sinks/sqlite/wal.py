"""The write-ahead log of a sink's database: moved into the database beside the transactions, and bounded."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from typing import TYPE_CHECKING
from weakref import WeakSet

import apsw

from crawlerd.sink import SinkError, SyncFailed

if TYPE_CHECKING:
    from pathlib import Path

CHECKPOINT_BYTES = 16 << 20  # size from which the log is moved into the database
AHEAD_BYTES = 128 << 20  # that transactions may add meanwhile before they wait
LITTLE_BYTES = 4 << 20  # that is moved between two of them
HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24  # SQLite's file format, 4.1
WAIT_SECONDS = 0.1  # how long readers are waited for then
MAX_BYTES = 1 << 30  # from which nothing is written before a checkpoint succeeds


_open: WeakSet[Wal] = WeakSet()


class Wal:
    """Of one connection; used by its thread.

    A thread of its own moves the log while transactions go on, which took a quarter of the writer's time, most of it
    waiting for the disk; and again, until what they have added meanwhile is little. That is moved between two of them,
    and the log starts anew. A program that keeps a read transaction open prevents that; at MAX_BYTES (plus one
    transaction) nothing is written until it ends, rather than fill the disk.
    """

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self._file = f"{path}-wal"
        self._page_bytes: int = connection.pragma("page_size")
        self._bytes = self._begun = self._moved = 0  # now, when the thread began last, and what it has moved
        self._checkpoint_at = CHECKPOINT_BYTES
        self._mover: threading.Thread | None = None
        self._failed: SyncFailed | None = None  # in the thread
        connection.pragma("journal_size_limit", 2 * CHECKPOINT_BYTES)
        connection.set_wal_hook(self._committed)
        _open.add(self)

    def _committed(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._bytes = pages * self._page_bytes
        return apsw.SQLITE_OK

    def is_whole(self) -> bool:
        """Whether the file has all that was committed to it. SQLite goes on writing behind the end of one that was cut,
        and what it makes of that is no database."""
        frames = self._bytes // self._page_bytes
        try:
            return not frames or os.stat(self._file).st_size >= HEADER_BYTES + frames * (
                FRAME_HEADER_BYTES + self._page_bytes
            )
        except OSError:
            return False

    def bound(self) -> None:
        """Call before a transaction and not after it: an error must mean that nothing was written. SinkError when the
        log can grow no more, SyncFailed when the thread has met one."""
        if self._failed:
            raise self._failed
        if self._bytes < self._begun:
            self._begun = self._moved = 0  # all of it was moved, and so SQLite has started it anew by itself
        if self._bytes < self._checkpoint_at:
            return
        wait_at = min(self._checkpoint_at + AHEAD_BYTES, MAX_BYTES)
        if self._bytes - self._moved > LITTLE_BYTES and self._bytes < wait_at:
            resting = self._mover is None or not self._mover.is_alive()
            if resting and self._bytes - self._begun > LITTLE_BYTES:  # else a reader is in its way
                self._begun = self._bytes
                self._mover = threading.Thread(target=self._move, name="checkpoint")
                self._mover.start()
            return
        if self.checkpoint():
            return
        if self._bytes >= MAX_BYTES:
            raise SinkError(
                f"{self._path}-wal has grown to {self._bytes >> 20} MiB because another program keeps a "
                "transaction open on the database; end that program's transaction"
            )
        self._checkpoint_at = min(self._bytes + CHECKPOINT_BYTES, MAX_BYTES)

    def shrink(self) -> bool:
        """Moves the log into the database and makes its file empty; False when another program is in the way."""
        return self.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def checkpoint(self, mode: int = apsw.SQLITE_CHECKPOINT_RESTART) -> bool:
        """Moves the log into the database and starts it again; False when another program is in the way."""
        self.rest()
        patience = self._connection.pragma("busy_timeout")
        self._connection.set_busy_timeout(round(WAIT_SECONDS * 1000))
        try:
            self._connection.wal_checkpoint(mode=mode)
        except apsw.BusyError:
            return False
        finally:
            self._connection.set_busy_timeout(patience)
        for each in [each for each in _open if each._file == self._file]:  # it is their log as well
            each._bytes = each._begun = each._moved = 0
            each._checkpoint_at = CHECKPOINT_BYTES
        return True

    def settle(self) -> None:
        """Moves all of a log that an earlier process has left, with its sync: what it holds may be in the page cache
        alone. SinkError when a reader prevents that."""
        if not self.checkpoint():
            pages, moved = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if moved < pages:
                raise SinkError(
                    f"the log of {self._path} cannot be moved into it, because another program keeps an old read "
                    "transaction open on it; end that program's transaction"
                )

    def rest(self) -> None:
        """Waits for the thread, so that the connection may be closed."""
        if self._mover is not None:
            self._mover.join()
            self._mover = None

    def _move(self) -> None:
        try:
            with closing(apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
                connection.execute("SELECT 1 FROM sqlite_schema").fetchall()  # before it has read, it knows of no log
                _, pages = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._moved = pages * self._page_bytes
        except apsw.Error as error:
            if sync_failed(error):
                self._failed = SyncFailed(f"the disk of {self._path} fails to sync ({error})")
            # What else is wrong, `checkpoint` meets as well, where it can be told.


def sync_failed(error: apsw.Error) -> bool:
    """Whether SQLite could not make a file durable."""
    return getattr(error, "extendedresult", 0) in (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC)
