"""The SQLite database of a sink: durable transactions, a bounded log, errors that say what to do, and exact counts."""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import apsw

from crawlerd.sink import SinkError, SinkReplaced, SinkState, StorageFailed, SyncFailed, Totals
from crawlerd.sinks.sqlite.wal import Wal, sync_failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from crawlerd.sink import Delivery, Mark

BUSY_SECONDS = 1.0  # how long another program's write lock is waited for …
BUSY_AGAIN_SECONDS = 0.05  # … and at the tries after that, for meanwhile other sinks wait
PAGE_BYTES = 8192  # 2,000-byte objects take a third less space and CPU than with 4,096
CHECK_SECONDS = 3.0  # that an opening after an unclean end may take to look for damage
CHECK_STEPS = 10_000  # of SQLite's machine between two looks at the clock

# Who the database is, and the last mark of each frontier that has written to it; see `crawlerd.sink.Mark`.
_IDENTITY = """
CREATE TABLE IF NOT EXISTS _crawlerd_sink(identity TEXT NOT NULL);
INSERT INTO _crawlerd_sink SELECT lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT 1 FROM _crawlerd_sink);
CREATE TABLE IF NOT EXISTS _crawlerd_frontier(frontier TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
"""
_MARK = "INSERT INTO _crawlerd_frontier VALUES (?, ?) ON CONFLICT DO UPDATE SET number = excluded.number"

# Names that no stream's table can have. A run has a number of the sink's own: the frontier's, unless that was given to
# another run before.
_TABLES = """
CREATE TABLE IF NOT EXISTS _crawlerd_run(
  id      INTEGER PRIMARY KEY,
  run     INTEGER NOT NULL,
  started REAL NOT NULL,
  UNIQUE (run, started)
);
CREATE TABLE IF NOT EXISTS _crawlerd_tally(
  run        INTEGER NOT NULL,
  stream     TEXT NOT NULL,
  new        INTEGER NOT NULL DEFAULT 0,
  changed    INTEGER NOT NULL DEFAULT 0,
  unchanged  INTEGER NOT NULL DEFAULT 0,
  tombstoned INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, stream)
) WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS _crawlerd_old(last INTEGER NOT NULL);
INSERT INTO _crawlerd_old SELECT 9223372036854775807 WHERE NOT EXISTS (SELECT 1 FROM _crawlerd_old);
"""
_RUN = """INSERT INTO _crawlerd_run SELECT
  iif(EXISTS (SELECT 1 FROM _crawlerd_run WHERE id = ?1), (SELECT max(id) + 1 FROM _crawlerd_run), ?1), ?1, ?2
WHERE NOT EXISTS (SELECT 1 FROM _crawlerd_run WHERE run = ?1 AND started = ?2)"""

# TEMP: no other program's writes are counted, and none has to know of it. Each row counts once a run, under its last
# change, in the transaction that changes it: a delivery that comes again changes no row. Rows behind the `last` old one
# are being inserted, and are counted when they are in: a trigger for each took a quarter of the sink's time.
_COUNT = """
CREATE TEMP TRIGGER IF NOT EXISTS "{table}_update" AFTER UPDATE ON main."{table}"
WHEN (NEW.run <> OLD.run OR NEW.change IS NOT OLD.change) AND OLD.rowid <= (SELECT last FROM _crawlerd_old) BEGIN
  UPDATE _crawlerd_tally SET
    new        = new        + (NEW.change IS 'new')        - (NEW.run = OLD.run AND OLD.change IS 'new'),
    changed    = changed    + (NEW.change IS 'changed')    - (NEW.run = OLD.run AND OLD.change IS 'changed'),
    unchanged  = unchanged  + (NEW.change IS 'unchanged')  - (NEW.run = OLD.run AND OLD.change IS 'unchanged'),
    tombstoned = tombstoned + (NEW.change IS 'tombstoned') - (NEW.run = OLD.run AND OLD.change IS 'tombstoned')
  WHERE run = NEW.run AND stream = '{stream}';
END"""
_BEFORE = """UPDATE _crawlerd_old SET last = (SELECT coalesce(max(rowid), 0) FROM "{table}")"""
_BEHIND = """UPDATE _crawlerd_tally SET
  new = new + (SELECT count(*) FROM "{table}" WHERE rowid > (SELECT last FROM _crawlerd_old) AND change = 'new')
WHERE run = ?1 AND stream = ?2;
UPDATE _crawlerd_old SET last = 9223372036854775807"""

# Whether data are the same. {respelled}: see `crawlerd.sinks.sqlite.rows`.
_SAME = "iif(data IS excluded.data, 1, iif(run <= {respelled}, crawlerd_same(data, excluded.data), 0))"
# What a row's `change` becomes when an upsert meets it: of its first write in a run, what it was before decides; later
# ones know from `change` whether it was there ('new' and NULL: it was not).
CHANGE = """CASE
  WHEN iif(run = excluded.run, change IS NULL OR change = 'new', deleted_at IS NOT NULL)
    THEN iif(excluded.deleted_at IS NULL, 'new', NULL)
  WHEN excluded.deleted_at IS NOT NULL THEN 'tombstoned'
  WHEN {same} AND (run <> excluded.run OR change IN ('unchanged', 'skipped')) THEN 'unchanged'
  ELSE 'changed'
END""".replace("{same}", _SAME)


class Database:
    """Used by one thread.

    connection: another one after each transaction that SQLite has failed, of the same database: SinkReplaced, for good,
    when the files that were opened are not in their places any more, or what was written is not in them.
    """

    def __init__(self, path: Path) -> None:
        """Opens or creates the database; its directory must exist. SinkError when it cannot be used."""
        self.path = path.absolute()
        self._marked: dict[str, int] = {}  # the last mark of each frontier that is durable
        self._replaced = self._closed = False
        self._sync_failed: SyncFailed | None = None
        self._open(BUSY_SECONDS)

    def _open(self, patience: float) -> None:
        unclean = os.path.exists(f"{self.path}-wal") and os.path.getsize(f"{self.path}-wal") > 0
        try:
            self.connection = connection = apsw.Connection(str(self.path))
        except apsw.Error as error:
            raise _failure(self.path, error) from error
        try:
            with self._failures_named():
                self._wait_for_others(patience)
                connection.pragma("page_size", PAGE_BYTES)
                connection.pragma("journal_mode", "wal")
                connection.pragma("synchronous", "full")  # WAL + NORMAL loses acknowledged writes when the power fails
                connection.pragma("cache_size", -8000)  # kB
                connection.pragma("temp_store", "memory")  # a full /tmp must not matter
                self._wal = Wal(connection, self.path)
                self._wal.settle()
                if unclean:
                    self._look_for_damage()
                if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = '_crawlerd_frontier'").get is None:
                    connection.execute(f"BEGIN IMMEDIATE; {_IDENTITY} COMMIT")
                self.identity: str = connection.execute("SELECT identity FROM _crawlerd_sink").get
                self._files = self._files_now()
            self._failed = self._closed = False
        except SinkError:
            connection.close()
            self._closed = True
            raise

    def close(self) -> None:
        """SinkError when the WAL cannot be moved into the database; what was written stays durable in the WAL."""
        if self._replaced or self._closed:
            return
        try:
            if self._sync_failed:  # nothing is done now that could look like success; the next start goes on
                self._wal.rest()
                self.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                return
            with self._failures_named():
                self._wal.checkpoint()
        finally:
            self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Durable at its end, or nothing is written. Not apsw's own, which keeps the GIL, and so stops the process,
        while it waits for a lock or for the disk. SinkError for all that SQLite finds wrong; a SyncFailed again."""
        if self._sync_failed:
            raise self._sync_failed
        if self._failed:  # a disk that was full, or a table that another program has dropped: open it again
            self._reopen()
        elif not self.intact():
            self._give_up()
        with self._failures_named():
            self._wal.bound()
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
                self._wait_for_others(BUSY_SECONDS)
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def intact(self) -> bool:
        """See `Sink.intact`."""
        return not self._replaced and self._files_now() == self._files

    def state(self, frontier: str) -> SinkState:
        """See `Sink.state`."""
        with self._failures_named():
            execute = self.connection.execute
            number = execute("SELECT number FROM _crawlerd_frontier WHERE frontier = ?", (frontier,)).get
            written = execute("SELECT 1 FROM sqlite_schema WHERE name = '_crawlerd_run'").get
        return SinkState(self.identity, number, fresh=written is None)

    @contextmanager
    def marked(self, mark: Mark | None) -> Iterator[None]:
        """A transaction that leaves the mark as well."""
        with self.transaction():
            yield
            if mark:
                self.connection.execute(_MARK, mark)
        if mark:
            self._marked[mark.frontier] = mark.number

    def _files_now(self) -> list[tuple[int, int] | None]:
        """Device and inode of the database, its log and the log's index. SQLite itself goes on writing to files that
        have lost their names."""
        found: list[tuple[int, int] | None] = []
        for suffix in ("", "-wal", "-shm"):
            try:
                facts = os.stat(f"{self.path}{suffix}")
                found.append((facts.st_dev, facts.st_ino))
            except OSError:
                found.append(None)
        return found

    def _reopen(self) -> None:
        """After a failure. What was acknowledged must be in what is opened."""
        identity = self.identity
        if self._files_now() != self._files:
            self._give_up()
        self._wal.rest()
        self.connection.close(True)
        self._closed = True
        if not self.path.exists():  # or the next line would make another one
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
        raise SinkReplaced(f"{self.path} was deleted, moved or replaced while it was in use")

    def _look_for_damage(self) -> None:
        """SinkError when the file is damaged, as far as a few seconds tell."""
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


class Tallies:
    """What each run has done to each stream, counted in the transactions that do it; use it within them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ready = False
        self._runs: dict[tuple[int, float], int] = {}
        self._streams: set[tuple[int, str]] = set()

    def forget(self) -> None:
        """After a transaction that was rolled back."""
        self.__init__(self._database)  # type: ignore[misc] # back to the beginning

    def open(self) -> None:
        """Makes the tables; `run` does by itself."""
        if not self._ready:
            self._database.connection.execute(_TABLES)
            self._ready = True

    def run(self, delivery: Delivery) -> int:
        """The sink's own number of a delivery's run."""
        key = delivery.run, delivery.started
        number = self._runs.get(key)
        if number is None:
            self.open()
            self._database.connection.execute(_RUN, key)
            number = self._database.connection.execute(
                "SELECT id FROM _crawlerd_run WHERE run = ? AND started = ?", key
            ).get
            assert isinstance(number, int)  # noqa: S101 - it was there or has been made
            self._runs[key] = number
        return number

    def count(self, table: str, stream: str) -> None:
        """From now on changes to the rows of `table`, which has the columns run and change, count for the stream."""
        self._database.connection.execute(_COUNT.format(table=table, stream=stream))

    @contextmanager
    def inserting(self, table: str, run: int, stream: str) -> Iterator[None]:
        """Within, rows of the run may be inserted."""
        execute = self._database.connection.execute
        execute(_BEFORE.format(table=table))
        yield
        execute(_BEHIND.format(table=table), (run, stream))

    def begin(self, run: int, stream: str) -> None:
        """Call before the first change of a run to a stream."""
        if (run, stream) not in self._streams:
            self._database.connection.execute(
                "INSERT OR IGNORE INTO _crawlerd_tally(run, stream) VALUES (?, ?)", (run, stream)
            )
            self._streams.add((run, stream))

    def totals(self, deliveries: Iterable[Delivery]) -> dict[tuple[int, str], Totals]:
        """Of the deliveries' runs: every stream that was begun."""
        totals: dict[tuple[int, str], Totals] = {}
        for number, run in {self.run(delivery): delivery.run for delivery in deliveries}.items():
            rows: list[tuple[Any, ...]] = self._database.connection.execute(
                "SELECT stream, new + changed + unchanged, new, changed, unchanged, tombstoned FROM _crawlerd_tally "
                "WHERE run = ?",
                (number,),
            ).fetchall()
            totals |= {(run, stream): Totals(*counts) for stream, *counts in rows}
        return totals


def _failure(path: Path, error: apsw.Error, system_errno: int = 0) -> SinkError:
    """What to tell the person who is woken by it. system_errno: of the last I/O error, 0 if unknown."""
    reason = f"{error}; {os.strerror(system_errno)}" if system_errno else str(error)
    if sync_failed(error):
        return SyncFailed(f"the disk of {path} fails to sync ({reason})")
    match error:
        case apsw.FullError():
            return StorageFailed(f"the disk of {path} is full; free some space", full=True)
        case apsw.IOError() | apsw.CantOpenError() if system_errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageFailed(f"the disk of {path} is full ({reason}); free some space", full=True)
        case apsw.IOError():
            return StorageFailed(f"the disk of {path} fails ({reason})", full=False)
        case apsw.CantOpenError() | apsw.ReadOnlyError():
            return SinkError(
                f"cannot write {path} ({reason}): does its directory exist, and may user {os.geteuid()} write "
                "the directory and the file?"
            )
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


def file_failure(path: Path, error: OSError) -> SinkError:
    """The same for a file or directory."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFailed(f"the disk of {path} is full; free some space", full=True)
    if error.errno == errno.EIO:
        return StorageFailed(f"the disk of {path} fails ({error.strerror})", full=False)
    return SinkError(
        f"cannot write {path} ({error.strerror}): does its directory exist, and may user {os.geteuid()} write there?"
    )
