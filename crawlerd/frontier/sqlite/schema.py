"""The frontier's tables, their versions, and how the database is opened."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import apsw

from crawlerd.core.account import FRONTIER_FILE
from crawlerd.core.errors import FrontierError, FrontierRefused, FrontierTooNew, StorageFailed, SyncFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME = FRONTIER_FILE
MARK_NAME = "frontier.id"  # says that there was a frontier, and which one
CACHE_KIB = 8 * 1024  # fixed: a larger page cache would make memory grow with the queue
WAL_PAGES = 10_000  # 40 MB of log between checkpoints: 1.7 times the commits of the default 1,000
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",
    "cache_size": -CACHE_KIB,
    "wal_autocheckpoint": WAL_PAGES,
    "journal_size_limit": 64 << 20,
    "temp_store": "memory",
}

# A task's state is the table it lies in: ready, delayed or dead; gone when its completion committed. A lease is not on
# disk: it lives in the memory of the process that holds the lock, and dies with it. A row of `gather` is a group, and
# the task that waits for its end, whose number it has; when the group has failed, that task lies in `dead` instead.
#
#   run.open     tasks that are ready, delayed, waiting   bucket.ready   rows of `ready` in the bucket
#   run.delayed  rows of `delayed`                        run.dead       rows of `dead`
#   run.waiting  rows of `gather` that have not failed
#   gather.open  ready and delayed tasks of the group, and groups right inside it that have not failed; 0: it has failed
#   gather.dead  rows of `dead` of the group
MIGRATIONS = [
    """
CREATE TABLE account(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    identity TEXT,                                     -- who its credentials belong to, as the source's guard saw it
    paused TEXT                                        -- why nothing of it is leased
) STRICT;
CREATE TABLE bucket(
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account,
    name TEXT NOT NULL,
    ready INTEGER NOT NULL DEFAULT 0 CHECK (ready >= 0),
    blocked_until REAL NOT NULL DEFAULT 0,             -- Unix seconds; survives a restart, as Retry-After must
    UNIQUE (account, name)
) STRICT;
CREATE TABLE kind(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE run(
    id INTEGER PRIMARY KEY,
    import TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES account,
    "full" INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running','completed','completed with dead letters','failed','cancelled')),
    started_at REAL NOT NULL,
    ended_at REAL,
    open INTEGER NOT NULL DEFAULT 0 CHECK (open >= 0),
    delayed INTEGER NOT NULL DEFAULT 0 CHECK (delayed BETWEEN 0 AND open),
    done INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0),
    retried INTEGER NOT NULL DEFAULT 0,
    throttled INTEGER NOT NULL DEFAULT 0,
    records INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX run_import ON run(import, id);
CREATE INDEX run_running ON run(id) WHERE state = 'running';
CREATE INDEX run_dead ON run(id) WHERE dead > 0;
CREATE TABLE tally(                                    -- the report of a run, by stream
    run INTEGER NOT NULL REFERENCES run,
    stream TEXT NOT NULL,
    records INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    skip_reason TEXT,
    PRIMARY KEY (run, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE ready(
    bucket INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    run INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (bucket, priority, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE delayed(
    due_at REAL NOT NULL,
    seq INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    run INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    error TEXT NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (due_at, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE dead(
    seq INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    denied INTEGER NOT NULL,
    stream TEXT NOT NULL,
    error TEXT NOT NULL,
    payload TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE INDEX dead_run ON dead(run, stream);
CREATE TABLE seen(
    run INTEGER NOT NULL,
    key BLOB NOT NULL,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE cursor(
    import TEXT NOT NULL,
    stream TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (import, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE staged(
    run INTEGER NOT NULL,
    stream TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE quota(                                    -- starts charged to windows of a minute and longer
    key TEXT NOT NULL,
    at REAL NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (key, at)
) STRICT, WITHOUT ROWID;
CREATE TABLE learned(                                  -- limits that were found by being throttled
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE next_seq(value INTEGER NOT NULL) STRICT;
INSERT INTO next_seq VALUES (1);
""",
    """
CREATE TABLE gather(
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    parent INTEGER NOT NULL,                           -- the group that it is inside of, 0 for none
    open INTEGER NOT NULL DEFAULT 0 CHECK (open >= 0),
    dead INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0),
    if_dead TEXT NOT NULL CHECK (if_dead IN ('run','fail','skip')),
    bucket INTEGER NOT NULL,                           -- of the task that waits, as the following
    priority INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    payload TEXT NOT NULL
) STRICT;
CREATE INDEX gather_parent ON gather(parent) WHERE parent > 0;
ALTER TABLE ready ADD COLUMN grp INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delayed ADD COLUMN grp INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead ADD COLUMN grp INTEGER NOT NULL DEFAULT 0;
CREATE INDEX dead_group ON dead(grp) WHERE grp > 0;
ALTER TABLE run ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0 CHECK (waiting BETWEEN 0 AND open - delayed);
CREATE TABLE borrowed(                                 -- accounts that a run has had tasks for beside its own
    run INTEGER NOT NULL,
    account INTEGER NOT NULL,
    PRIMARY KEY (run, account)
) STRICT, WITHOUT ROWID;
""",
    """
ALTER TABLE tally ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;      -- from here on: as the sink has last said
ALTER TABLE tally ADD COLUMN new INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN unchanged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN tombstoned INTEGER NOT NULL DEFAULT 0;
""",
    """
CREATE INDEX bucket_ready ON bucket(blocked_until, id) WHERE ready > 0;
""",
    """
CREATE TABLE sink(                                     -- what the frontier believes of each sink that it has written
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,                                -- in the configuration, when it was opened last
    identity TEXT UNIQUE,                              -- made once, by the sink itself
    number INTEGER NOT NULL DEFAULT 0,                 -- of the group commit that wrote to it last
    news TEXT,                                         -- why nothing is believed of it, when that was last so
    adopts INTEGER NOT NULL DEFAULT 0                  -- it takes over what was noted before sinks had identities
) STRICT;
CREATE TABLE frontier(id TEXT NOT NULL, commits INTEGER NOT NULL) STRICT;     -- made once; commits that wrote to sinks
INSERT INTO frontier VALUES (lower(hex(randomblob(16))), 0);
ALTER TABLE run ADD COLUMN sink INTEGER NOT NULL DEFAULT 0;        -- where its records go, 0 for nowhere
ALTER TABLE run ADD COLUMN why TEXT;                               -- why it is full, where nobody asked for that
ALTER TABLE run ADD COLUMN ended_why TEXT;                         -- of one that was cancelled
ALTER TABLE run ADD COLUMN again INTEGER NOT NULL DEFAULT 0;       -- cancelled, tasks removed; 1: to begin again
CREATE TABLE synced(                                   -- sync points: `cursor` with the sink that they belong to
    import TEXT NOT NULL,
    sink INTEGER NOT NULL,
    stream TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (import, sink, stream)
) STRICT, WITHOUT ROWID;
INSERT INTO synced SELECT import, 0, stream, value FROM cursor;
DROP TABLE cursor;
ALTER TABLE synced RENAME TO cursor;
ALTER TABLE tally ADD COLUMN marked INTEGER NOT NULL DEFAULT 0;    -- the next run can ask for changes only
ALTER TABLE tally ADD COLUMN unmarked INTEGER NOT NULL DEFAULT 0;  -- records with no time that could be read
ALTER TABLE tally ADD COLUMN unmarked_reason TEXT;
CREATE TABLE scope(                                    -- a list below parents, as an import has read it into a sink
    id INTEGER PRIMARY KEY,
    import TEXT NOT NULL,
    sink INTEGER NOT NULL,
    list TEXT NOT NULL,
    dropped INTEGER NOT NULL DEFAULT 0                 -- 1: nothing of it counts any more, and it goes, in slices
) STRICT;
CREATE UNIQUE INDEX scope_list ON scope(import, sink, list) WHERE dropped = 0;
CREATE INDEX scope_dropped ON scope(id) WHERE dropped = 1;
-- parents whose list was read to its end, by their hash
CREATE TABLE parent(scope INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (scope, hash)) STRICT, WITHOUT ROWID;
ALTER TABLE run ADD COLUMN shrink INTEGER NOT NULL DEFAULT 0;      -- however little it sees is not doubted
CREATE TABLE whole(                                    -- streams that a run reads in full, until it has ended clean
    run INTEGER NOT NULL,
    account INTEGER NOT NULL,
    stream TEXT NOT NULL,
    seen INTEGER,                                      -- records, when a sweep last counted them
    held INTEGER NOT NULL,                             -- 1: a sweep was held back
    PRIMARY KEY (run, account, stream)
) STRICT, WITHOUT ROWID;
-- what an import was told to read, as a digest
CREATE TABLE setup(import TEXT NOT NULL PRIMARY KEY, digest TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE last_full(                                -- what the last full run has seen
    import TEXT NOT NULL,
    sink INTEGER NOT NULL,
    account INTEGER NOT NULL,
    stream TEXT NOT NULL,
    seen INTEGER NOT NULL,                             -- records, of the last run that was not doubted
    doubted INTEGER,                                   -- records, of the last run if it was
    PRIMARY KEY (import, sink, account, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE doubt(                                    -- what the report of a run says is doubted
    run INTEGER NOT NULL,
    account INTEGER NOT NULL,
    stream TEXT NOT NULL,
    seen INTEGER NOT NULL,
    before INTEGER NOT NULL,
    PRIMARY KEY (run, account, stream)
) STRICT, WITHOUT ROWID;
""",
]


def connect(path: Path, *, mark: Path | None = None) -> apsw.Connection:
    """The frontier's only writing connection, created or migrated as needed. Call with the state lock held.

    mark: the file that names the frontier that belongs there; made when there is none. FrontierTooNew for a database of
    a newer crawlerd, untouched; FrontierRefused when it is not the one that the mark names, or is gone; FrontierError
    for a file that is none.
    """
    marked = _marked(mark) if mark else None
    if marked and (not path.exists() or not path.stat().st_size):
        raise _gone(path, "is empty" if path.exists() else "is missing")
    with storage_errors(path):
        database = apsw.Connection(str(path))
    with storage_errors(path, database):
        database.set_busy_timeout(10_000)  # a reader that closes last may be checkpointing
        version = database.pragma("user_version")
        if version > len(MIGRATIONS):
            database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # its log, if a crash left one, stays as it is
            database.close()
            raise FrontierTooNew(
                f"{path} was written by a newer crawlerd (version {version}, this one knows up to "
                f"{len(MIGRATIONS)}): upgrade crawlerd, or use another state_dir; nothing was changed"
            )
        if marked and not version:
            database.close()
            raise _gone(path, "holds nothing")
        for name, value in PRAGMAS.items():
            database.pragma(name, value)
        _settle_log(database, path)
        database.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)  # or it compiles a statement anew for each other value
        for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
            with transaction(database):
                database.execute(f"{statements}; PRAGMA user_version = {number}")
        identity: str = database.execute("SELECT id FROM frontier").get
    if marked and marked != identity:
        database.close()
        raise _gone(path, "is another frontier than the one that was used here")
    if mark and not marked:
        write_mark(mark, identity)
    return database


def _gone(path: Path, what: str) -> FrontierRefused:
    return FrontierRefused(
        f"{path} {what}, and with it all that is queued, the sync points and what quotas were charged: "
        "put it back, or put a backup in its place with `crawlerd frontier restore FILE`, "
        "or begin without it with `crawlerd frontier new`"
    )


def _marked(mark: Path) -> str | None:
    try:
        return mark.read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FrontierError(f"cannot read {mark}: {error.strerror}") from None


def write_mark(mark: Path, identity: str) -> None:
    """Durable, whole or not at all. Call when the frontier is durable: a first start that is killed before begins
    again."""
    part = mark.with_name(f"{mark.name}.part")
    try:
        with part.open("w") as file:
            file.write(f"{identity}\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(mark)
        sync_directory(mark.parent)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StorageFailed(f"cannot write {mark}: {error.strerror}", full=full) from None


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _settle_log(database: apsw.Connection, path: Path) -> None:
    """Moves all of the log that an earlier process has left into the database, with its sync: what the log holds may be
    in the page cache alone."""
    busy, pages, moved = next(database.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    if busy and moved < pages:
        raise FrontierError(f"another program keeps an old read transaction open on {path}: end that program")


def connect_reader(path: Path, *, older: bool = False) -> apsw.Connection | None:
    """A read-only connection, None when there is no frontier yet. Keep it short: a long reader holds up checkpoints.

    older: that of an older crawlerd will do; FrontierError for it otherwise, FrontierTooNew for one of a newer.
    """
    if not path.exists():
        return None
    with storage_errors(path):
        database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    with storage_errors(path, database):
        database.set_busy_timeout(10_000)
        version = database.pragma("user_version")
    if version > len(MIGRATIONS):
        raise FrontierTooNew(f"{path} was written by a newer crawlerd (version {version}): upgrade crawlerd")
    if 0 < version < len(MIGRATIONS) and not older:
        raise FrontierError(
            f"{path} was written by an older crawlerd (version {version}, this one's is {len(MIGRATIONS)}): "
            "the daemon, or an import, brings it up to date when it starts"
        )
    return database if version else None


@contextmanager
def transaction(database: apsw.Connection) -> Iterator[None]:
    """BEGIN IMMEDIATE … COMMIT; anything raised rolls back. (A deferred read→write upgrade fails with BUSY.)"""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


@contextmanager
def storage_errors(path: Path, database: apsw.Connection | None = None) -> Iterator[None]:
    """SQLite's errors as crawlerd's. database: which knows why the system refused."""
    try:
        yield
    except (apsw.FullError, apsw.IOError) as error:
        why = database.system_errno if database is not None else 0
        if getattr(error, "extendedresult", 0) in (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC):
            raise SyncFailed(f"the disk that holds {path} fails to sync ({os.strerror(why)})") from None
        if isinstance(error, apsw.FullError) or why in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFailed(f"the disk that holds {path} is full", full=True) from None
        raise StorageFailed(f"the disk that holds {path} fails: {error}", full=False) from None
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise FrontierError(f"{path} is not a usable database ({error}): restore it from a backup") from None
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.BusyError) as error:
        raise FrontierError(f"cannot use {path}: {error}") from None
