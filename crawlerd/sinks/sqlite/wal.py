"""The write-ahead log of a sink's database: it is moved into the database while transactions go on, and its size is
limited."""

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

CHECKPOINT_BYTES = 16 << 20  # from this size on, the log is moved into the database
AHEAD_BYTES = 128 << 20  # bytes that transactions may add during that before they wait
LITTLE_BYTES = 4 << 20  # bytes that are moved between two transactions
HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24  # SQLite's file format, 4.1
WAIT_SECONDS = 0.1  # how long to wait for readers then
MAX_BYTES = 1 << 30  # from this size on, nothing is written until a checkpoint succeeds


_open: WeakSet[Wal] = WeakSet()


class Wal:
    """The log of one connection. Used by the connection's thread.

    A thread of its own moves the log while transactions go on; done by the writer, this took a quarter of its time,
    most of it waiting for the disk. The thread repeats that until little was added in the meantime. The rest is moved
    between two transactions, and the log starts from the beginning. A program that keeps a read transaction open
    prevents that. At MAX_BYTES (plus one transaction), nothing is written until it ends, so that the disk does not fill
    up.
    """

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self._file = f"{path}-wal"
        self._page_bytes: int = connection.pragma("page_size")
        # the size now, the size when the thread last began, and what it has moved
        self._bytes = self._begun = self._moved = 0
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
        """Whether the file has everything that was committed to it. If it was cut, SQLite would go on writing after its
        end, which would make a damaged database."""
        frames = self._bytes // self._page_bytes
        try:
            return not frames or os.stat(self._file).st_size >= HEADER_BYTES + frames * (
                FRAME_HEADER_BYTES + self._page_bytes
            )
        except OSError:
            return False

    def bound(self) -> None:
        """Must be called before a transaction, not after it: an error must mean that nothing was written. Raises
        SinkError if the log cannot grow any more, and SyncFailed if the thread has met one."""
        if self._failed:
            raise self._failed
        if self._bytes < self._begun:
            self._begun = self._moved = 0  # all of it was moved, so SQLite has restarted it
        if self._bytes < self._checkpoint_at:
            return
        wait_at = min(self._checkpoint_at + AHEAD_BYTES, MAX_BYTES)
        if self._bytes - self._moved > LITTLE_BYTES and self._bytes < wait_at:
            resting = self._mover is None or not self._mover.is_alive()
            if resting and self._bytes - self._begun > LITTLE_BYTES:  # otherwise a reader is in its way
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
        """Moves the log into the database and truncates it. Returns False if another program is in the way."""
        return self.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def checkpoint(self, mode: int = apsw.SQLITE_CHECKPOINT_RESTART) -> bool:
        """Moves the log into the database and restarts it. Returns False if another program is in the way."""
        self.rest()
        patience = self._connection.pragma("busy_timeout")
        self._connection.set_busy_timeout(round(WAIT_SECONDS * 1000))
        try:
            self._connection.wal_checkpoint(mode=mode)
        except apsw.BusyError:
            return False
        finally:
            self._connection.set_busy_timeout(patience)
        for each in [each for each in _open if each._file == self._file]:  # it is their log too
            each._bytes = each._begun = each._moved = 0
            each._checkpoint_at = CHECKPOINT_BYTES
        return True

    def settle(self) -> None:
        """Moves all of a log that an earlier process has left, and syncs it: its content may only be in the page cache.
        Raises SinkError if a reader prevents that."""
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
                # before it has read something, it does not know of a log
                connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
                _, pages = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._moved = pages * self._page_bytes
        except apsw.Error as error:
            if sync_failed(error):
                self._failed = SyncFailed(f"the disk of {self._path} fails to sync ({error})")
            # Other errors are met by `checkpoint` too, where they can be reported.


def sync_failed(error: apsw.Error) -> bool:
    """Whether SQLite could not make a file durable."""
    return getattr(error, "extendedresult", 0) in (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC)
