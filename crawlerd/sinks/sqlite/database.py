"""The SQLite database of a sink: durable transactions, a bounded log, and errors that say what to do."""

from __future__ import annotations

import errno
import os
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import apsw

from crawlerd.files.making import prepare_database, without_links
from crawlerd.sink import SinkError, SinkReplaced, SinkState, StorageFailed, SyncFailed
from crawlerd.sinks.file_errors import FILE_MODE, file_failure, way_to
from crawlerd.sinks.sqlite.wal import Wal, sync_failed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.sink import Mark

BUSY_SECONDS = 1.0  # how long to wait for another program's write lock …
BUSY_AGAIN_SECONDS = 0.05  # … and how long at later attempts, since other sinks wait meanwhile
VACUUM_BUSY_MILLISECONDS = 10_000
SHRINK_TRIES = 10  # attempts of a tenth of a second each, until readers are gone
PAGE_BYTES = 8192  # 2,000-byte objects take a third less space and CPU than with 4,096
CHECK_SECONDS = 3.0  # how long opening after an unclean end may look for damage
CHECK_STEPS = 10_000  # steps of SQLite's virtual machine between two looks at the clock

WRITING = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOFOLLOW

# The identity of the database, and the last mark of each frontier that has written to it; see `crawlerd.sink.Mark`.
_IDENTITY = """
CREATE TABLE IF NOT EXISTS _crawlerd_sink(identity TEXT NOT NULL);
INSERT INTO _crawlerd_sink SELECT lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT 1 FROM _crawlerd_sink);
CREATE TABLE IF NOT EXISTS _crawlerd_frontier(frontier TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
"""
# The content is part of the identity: deleting a row or dropping a table makes it another database.
_NEW_IDENTITY = "UPDATE _crawlerd_sink SET identity = lower(hex(randomblob(16)))"
_LOST = """
SELECT name FROM _crawlerd_stream WHERE counted <> -1 AND name NOT IN (SELECT name FROM main.sqlite_schema)
"""
ON_DELETE = (
    'CREATE TRIGGER IF NOT EXISTS "_crawlerd_{table}" AFTER DELETE ON "{table}" WHEN OLD.deleted_at IS NULL '
    f"BEGIN {_NEW_IDENTITY}; END"
)
_MARK = "INSERT INTO _crawlerd_frontier VALUES (?, ?) ON CONFLICT DO UPDATE SET number = excluded.number"


class Database:
    """The database of a sink. Used by one thread.

    connection: replaced after each transaction that SQLite has failed, by another one to the same database. Raises
        SinkReplaced, from then on, if the opened files are no longer in their places, or what was written is not in
        them.
    """

    def __init__(self, path: Path, mode: int = FILE_MODE) -> None:
        """Opens or creates the database; its directory must exist. Raises SinkError if it cannot be used.

        mode: permissions of its files.
        """
        self.path, self._mode = path.absolute(), mode
        self._marked: dict[str, int] = {}  # the last durable mark of each frontier
        self._replaced = self._closed = False
        self._sync_failed: SyncFailed | None = None
        self._open(BUSY_SECONDS)

    def _open(self, patience: float) -> None:
        unclean = os.path.exists(f"{self.path}-wal") and os.path.getsize(f"{self.path}-wal") > 0
        try:
            self.connection = connection = apsw.Connection(prepare_database(self.path, self._mode), flags=WRITING)
        except OSError as error:
            raise file_failure(self.path, error, directory=False) from None
        except apsw.Error as error:
            raise _failure(self.path, error) from error
        try:
            with self._failures_named():
                self._wait_for_others(patience)
                connection.pragma("page_size", PAGE_BYTES)
                connection.pragma("journal_mode", "wal")
                connection.pragma("synchronous", "full")  # WAL + NORMAL loses acknowledged writes in a power failure
                connection.pragma("cache_size", -8000)  # kB
                connection.pragma("temp_store", "memory")  # a full /tmp must not matter
                self._wal = Wal(connection, self.path)
                self._wal.settle()
                if unclean:
                    self._look_for_damage()
                if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = '_crawlerd_frontier'").get is None:
                    connection.execute(f"BEGIN IMMEDIATE; {_IDENTITY} COMMIT")
                self._look_for_tables()
                self.identity: str = connection.execute("SELECT identity FROM _crawlerd_sink").get
                self._files = self._files_now()
            self._failed = self._closed = False
        except SinkError:
            connection.close()
            self._closed = True
            raise

    def close(self) -> None:
        """Closes the database. Raises SinkError if the WAL cannot be moved into it; what was written stays durable in
        the WAL."""
        if self._replaced or self._closed:
            return
        try:
            if self._sync_failed:  # do nothing that could look like success; the next start continues
                self._wal.rest()
                self.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                return
            with self._failures_named():
                self._wal.checkpoint()
        finally:
            self.connection.close()

    def idle(self) -> None:
        """See `Sink.idle`. Errors of the database are left to the next transaction."""
        if self._sync_failed or self._failed or self._closed or not self.intact():
            return
        with suppress(SinkError), self._failures_named():
            self._wal.shrink()
        if self._sync_failed:
            raise self._sync_failed

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction: durable at its end, or nothing is written. Not apsw's own, which holds the GIL, and so blocks
        the whole process, while it waits for a lock or the disk.

        Raises SinkError for all errors of SQLite; a SyncFailed is raised again each time.
        """
        if self._sync_failed:
            raise self._sync_failed
        if self._failed:  # after a full disk, or when another program has dropped a table: open it again
            self._reopen()
        elif not self.intact():
            self._give_up()
        with self._failures_named():
            self._wal.bound()
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                if self.connection.execute("SELECT identity FROM _crawlerd_sink").get != self.identity:
                    self.connection.execute("ROLLBACK")
                    self._give_up()
                yield
                self.connection.execute("COMMIT")
                self._wait_for_others(BUSY_SECONDS)
            finally:
                if not self._replaced and self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def intact(self) -> bool:
        """See `Sink.intact`."""
        now = self._files_now()
        # a missing file may appear later
        self._files = [known or found for known, found in zip(self._files, now, strict=True)]
        return not self._replaced and now == self._files and self._wal.is_whole()

    def state(self, frontier: str) -> SinkState:
        """See `Sink.state`."""
        with self._failures_named():
            execute = self.connection.execute
            number = execute("SELECT number FROM _crawlerd_frontier WHERE frontier = ?", (frontier,)).get
            written = execute("SELECT 1 FROM sqlite_schema WHERE name = '_crawlerd_run'").get
        return SinkState(self.identity, number, fresh=written is None)

    @contextmanager
    def marked(self, mark: Mark | None) -> Iterator[None]:
        """A transaction that also leaves the mark."""
        with self.transaction():
            yield
            if mark:
                self.connection.execute(_MARK, mark)
        if mark:
            self._marked[mark.frontier] = mark.number

    def scrub(self, most_bytes: int | None) -> str | None:
        """Removes deleted data from the files; called between transactions. Returns why some may still be there, or
        None. Raises StorageFailed if the disk is full.

        most_bytes: the greatest size of a database that may be rewritten while others wait; None for any size.
        """
        with self._failures_named():
            size = os.path.getsize(self.path)
            if most_bytes is not None and size > most_bytes:
                return f"{self.path} has {size >> 20} MiB, too much to rewrite while crawlerd runs"
            vacuum(self.path)
            if not any(self._wal.shrink() for _ in range(SHRINK_TRIES)):
                return f"another program reads {self.path}, whose log still contains deleted data: end that program"
        return None

    def _files_now(self) -> list[tuple[int, int] | None]:
        """Device and inode of the database, its log and the log's index. They are compared, since SQLite itself goes on
        writing to files that have lost their names."""
        found: list[tuple[int, int] | None] = []
        for suffix in ("", "-wal", "-shm"):
            try:
                facts = os.stat(f"{self.path}{suffix}")
                found.append((facts.st_dev, facts.st_ino))
            except OSError:
                found.append(None)
        return found

    def _reopen(self) -> None:
        """Opens the database again after a failure. It must contain everything that was acknowledged."""
        identity = self.identity
        if self._files_now() != self._files:
            self._give_up()
        self._wal.rest()
        self.connection.close(True)
        self._closed = True
        if not self.path.exists():  # otherwise the next line would create another one
            self._give_up()
        self._open(BUSY_AGAIN_SECONDS)
        numbers = {frontier: self.state(frontier).number or 0 for frontier in self._marked}
        if self.identity != identity or any(numbers[each] < number for each, number in self._marked.items()):
            self._give_up()

    def _give_up(self) -> None:
        """Closes it without a checkpoint, which could write into files of others."""
        if not self._replaced:
            self._replaced, self._failed = True, False
            if not self._closed:
                self._wal.rest()
                self.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                self.connection.close(True)
        raise SinkReplaced(
            f"{self.path} was deleted, moved or replaced while it was in use, or something was cut or deleted from it"
        )

    def _look_for_tables(self) -> None:
        """Gives the database a new identity, once, if a stream's table is missing."""
        execute = self.connection.execute
        if execute("SELECT 1 FROM sqlite_schema WHERE name = '_crawlerd_stream'").get is None:
            return
        if lost := [name for (name,) in execute(_LOST)]:
            execute("BEGIN IMMEDIATE")
            execute(_NEW_IDENTITY)
            self.connection.executemany(
                "UPDATE _crawlerd_stream SET counted = -1 WHERE name = ?", [(name,) for name in lost]
            )
            execute("COMMIT")

    def _look_for_damage(self) -> None:
        """Raises SinkError if damage is found within a few seconds."""
        until = time.monotonic() + CHECK_SECONDS
        self.connection.set_progress_handler(lambda: time.monotonic() > until, CHECK_STEPS)
        try:
            found = self.connection.execute("PRAGMA quick_check(1)").get
        except apsw.InterruptError:
            return
        finally:
            self.connection.set_progress_handler(None)
        if found != "ok":
            raise damaged(self.path, str(found))

    def _wait_for_others(self, seconds: float) -> None:
        self.connection.set_busy_timeout(round(seconds * 1000))

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            self._failed = True
            failure = _failure(self.path, error, self.connection.system_errno)
            if isinstance(failure, SyncFailed):
                self._sync_failed = failure
            raise failure from error


def vacuum(path: Path) -> None:
    """Rewrites a database without deleted data. Uses a connection of its own, which puts temporary files next to the
    database, not into memory."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW
    with closing(apsw.Connection(str(without_links(path)), flags=flags)) as database:
        database.set_busy_timeout(VACUUM_BUSY_MILLISECONDS)
        database.pragma("synchronous", "full")
        database.pragma("secure_delete", "on")
        database.execute("VACUUM")


def _failure(path: Path, error: apsw.Error, system_errno: int = 0) -> SinkError:
    """An error of SQLite, with advice for the person on call.

    system_errno: of the last I/O error; 0 if unknown.
    """
    reason = f"{error}; {os.strerror(system_errno)}" if system_errno else str(error)
    if sync_failed(error):
        return SyncFailed(f"the disk of {path} fails to sync ({reason})")
    match error:
        case apsw.FullError():
            return StorageFailed(f"the disk of {path} is full", full=True)
        case apsw.IOError() | apsw.CantOpenError() if system_errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageFailed(f"the disk of {path} is full ({reason})", full=True)
        case apsw.IOError():
            return StorageFailed(f"the disk of {path} fails ({reason})", full=False)
        case apsw.CantOpenError() | apsw.ReadOnlyError():
            return SinkError(f"cannot write {path} ({reason}): {way_to(path, directory=False)}")
        case apsw.BusyError():
            return SinkError(f"{path} is locked: another program has kept a write transaction open on it; end that")
        case apsw.CorruptError() | apsw.NotADBError():
            return damaged(path, str(error))
        case _:
            return SinkError(f"cannot write {path}: {error}")


def damaged(path: Path, found: str) -> SinkError:
    return SinkError(
        f"{path} is no intact database ({' '.join(found.split())}): `crawlerd sink check` says more. Put back a copy, "
        "or move it away: the next import is then a full one by itself"
    )
