"""How the frontier's database is opened and brought up to date, and what its errors are called."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import apsw

from crawlerd.core.configuration import FRONTIER_FILE
from crawlerd.core.errors import (
    FrontierError,
    FrontierRefused,
    FrontierTooNew,
    FrontierUnusable,
    StorageFailed,
    SyncFailed,
)
from crawlerd.files.making import PRIVATE_FILE, new_file, prepare_database
from crawlerd.frontier.access import refused, require
from crawlerd.frontier.sqlite.migrations import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME = FRONTIER_FILE
MARK_NAME = "frontier.id"  # says that there was a frontier, and which one
RESTORING_NAME = "frontier.restoring"  # names the backup that `crawlerd restore` is putting in place
WAYS_ON = (
    "put a backup in its place with `crawlerd frontier restore FILE`, or begin without it with `crawlerd frontier new`"
)
CACHE_KIB = 8 * 1024  # fixed: a larger page cache would make memory grow with the queue
WRITING = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOFOLLOW
WAL_PAGES = 10_000  # 40 MB of log between checkpoints: 1.7 times the commits of the default 1,000
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",
    "cache_size": -CACHE_KIB,
    "wal_autocheckpoint": WAL_PAGES,
    "journal_size_limit": 64 << 20,
    "temp_store": "memory",
}


def connect(path: Path, *, mark: Path | None = None) -> apsw.Connection:
    """The frontier's only writing connection, created or migrated as needed. Call with the state lock held.

    mark: the file that names the frontier that belongs there; made when there is none. FrontierTooNew for a database of
    a newer crawlerd, untouched; FrontierRefused when it is not the one that the mark names, is gone, or a restore was
    cut off; FrontierError for a file that is none.
    """
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        require(each)
    if mark:
        _refuse_half(mark)
    marked = _marked(mark) if mark else None
    if marked and (not path.exists() or not path.stat().st_size):
        raise _gone(path, "is empty" if path.exists() else "is missing")
    with storage_errors(path):
        database = apsw.Connection(_prepared(path), flags=WRITING)
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
        try:
            if version < len(MIGRATIONS):
                with transaction(database):  # all at once: readers see a new frontier whole, or none
                    database.execute(";".join(MIGRATIONS[version:]) + f"; PRAGMA user_version = {len(MIGRATIONS)}")
            identity: str = database.execute("SELECT id FROM frontier").get
        except apsw.SQLError as error:
            raise FrontierUnusable(
                f"{path} is a database, but no frontier of crawlerd ({error}): move it away"
            ) from None
    if marked and marked != identity:
        database.close()
        raise _gone(path, "is another frontier than the one that was used here")
    if mark and not marked:
        write_mark(mark, identity)
    return database


def _prepared(path: Path) -> str:
    try:
        return prepare_database(path, PRIVATE_FILE)
    except OSError as error:
        raise refused(path, error) from None


def _gone(path: Path, what: str) -> FrontierRefused:
    return FrontierRefused(
        f"{path} {what}, and with it all that is queued, the sync points and what quotas were charged: "
        f"put it back, or {WAYS_ON}"
    )


def being_restored(state_dir: Path) -> str | None:
    """The directory of the backup that was being put in place when that was cut off."""
    try:
        return (state_dir / RESTORING_NAME).read_text().strip()
    except OSError:  # where it cannot be read, nor can the frontier
        return None


def _refuse_half(mark: Path) -> None:
    backup = being_restored(mark.parent)
    if backup is not None:
        raise FrontierRefused(
            f"{mark.parent} holds a part of the backup {backup}, whose restore is under way or was cut off: "
            f"run `crawlerd restore {shlex.quote(backup)}` again, or begin without it with `crawlerd frontier new`"
        )


def _way_on(path: Path) -> str:
    """From a file that cannot be used: the frontier in use, or a copy of one."""
    return WAYS_ON if path.name == FILE_NAME else "use another file"


def _marked(mark: Path, *, reading: bool = False) -> str | None:
    try:
        return mark.read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refused(mark, error, reading=reading) from None


def write_mark(mark: Path, text: str) -> None:
    """A line in a file, durable, whole or not at all. Of the frontier's identity: call when the frontier is durable; a
    first start that is killed before begins again."""
    part = mark.with_name(f"{mark.name}.part")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(new_file(part, PRIVATE_FILE), "w") as file:
            file.write(f"{text}\n")
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


def shrink_log(database: apsw.Connection) -> bool:
    """Moves the log into the database and makes its file empty; False, without a wait, when a reader is in the way."""
    patience = database.pragma("busy_timeout")
    database.set_busy_timeout(0)
    try:
        return not next(database.execute("PRAGMA wal_checkpoint(TRUNCATE)"))[0]
    finally:
        database.set_busy_timeout(patience)


def connect_reader(path: Path, *, older: bool = False, mark: Path | None = None) -> apsw.Connection | None:
    """A read-only connection, None when there is no frontier yet. Keep it short: a long reader holds up checkpoints.

    older: that of an older crawlerd will do; FrontierError for it otherwise, FrontierTooNew for one of a newer.
    mark: see `connect`; FrontierRefused when there is nothing where it says that there was.
    """
    if mark:
        _refuse_half(mark)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before it is opened: a pipe would wait for a writer
            raise FrontierError(f"{path} is not a file")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        if mark and _marked(mark, reading=True):
            raise _gone(path, "is missing") from None
        return None
    except OSError as error:
        raise refused(path, error, reading=True) from None
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
    if not version and mark and _marked(mark, reading=True):
        raise _gone(path, "holds nothing" if path.stat().st_size else "is empty")
    return database if version else None


def open_readable(path: Path, *, older: bool = False) -> apsw.Connection:
    """As `connect_reader`; FrontierError when there is none, FrontierRefused when there was one."""
    in_use = path.name == FILE_NAME
    database = connect_reader(path, older=older, mark=path.with_name(MARK_NAME) if in_use else None)
    if database is None:
        raise FrontierError(f"there is no {'frontier in' if in_use or path.exists() else 'file'} {path}")
    return database


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
        raise FrontierUnusable(f"{path} is not a usable database ({error}): {_way_on(path)}") from None
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.BusyError) as error:
        raise FrontierError(f"cannot use {path}: {error}") from None


def library_version() -> str:
    """Of SQLite."""
    return apsw.sqlite_lib_version()


def file_size(path: Path | str) -> int:
    with suppress(FileNotFoundError):
        return os.stat(path).st_size
    return 0
