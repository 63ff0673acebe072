"""Opens and migrates the frontier's database, and turns SQLite's errors into exceptions of crawlerd."""

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
MARK_NAME = "frontier.id"  # this file has the identity of the frontier that belongs here
RESTORING_NAME = "frontier.restoring"  # this file names the backup that `crawlerd restore` is putting in place
WAYS_ON = (
    "put a backup in its place with `crawlerd frontier restore FILE`, or begin without it with `crawlerd frontier new`"
)
CACHE_KIB = 8 * 1024  # a fixed page cache, so that memory does not grow with the queue
WRITING = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOFOLLOW
WAL_PAGES = 10_000  # 40 MB of log between checkpoints: 1.7 times as many commits as with the default of 1,000
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",
    "cache_size": -CACHE_KIB,
    "wal_autocheckpoint": WAL_PAGES,
    "journal_size_limit": 64 << 20,
    "temp_store": "memory",
}


def connect(path: Path, *, mark: Path | None = None) -> apsw.Connection:
    """Opens the frontier's only writing connection, and creates or migrates the database as needed. Call it with the
    state lock held.

    mark: the file with the identity of the frontier that belongs there; written when there is none.
    Raises FrontierTooNew for a database of a newer crawlerd, which is not changed; FrontierRefused when the frontier is
    not the one that the mark names, is gone, or a restore was interrupted; FrontierError for a file that is not a
    database.
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
        database.set_busy_timeout(10_000)  # the last reader that closes may be making a checkpoint
        version = database.pragma("user_version")
        if version > len(MIGRATIONS):
            database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # leaves the log of a crash unchanged
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
        database.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)  # keeps compiled statements when bound values change
        try:
            if version < len(MIGRATIONS):
                with transaction(database):  # one transaction, so that readers never see a part of a new frontier
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
    """The directory of the backup whose restore is under way or was interrupted, if any."""
    try:
        return (state_dir / RESTORING_NAME).read_text().strip()
    except OSError:  # the frontier cannot be read either, which is reported then
        return None


def _refuse_half(mark: Path) -> None:
    backup = being_restored(mark.parent)
    if backup is not None:
        raise FrontierRefused(
            f"{mark.parent} holds a part of the backup {backup}, whose restore is under way or was cut off: "
            f"run `crawlerd restore {shlex.quote(backup)}` again, or begin without it with `crawlerd frontier new`"
        )


def _way_on(path: Path) -> str:
    """What to do about a file that cannot be used: the frontier in use, or a copy of one."""
    return WAYS_ON if path.name == FILE_NAME else "use another file"


def _marked(mark: Path, *, reading: bool = False) -> str | None:
    try:
        return mark.read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refused(mark, error, reading=reading) from None


def write_mark(mark: Path, text: str) -> None:
    """Writes a line to a file, durably, as a whole or not at all. Write the frontier's identity only when the frontier
    is durable: a first start that is killed before begins again."""
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
    """Makes the names of files in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _settle_log(database: apsw.Connection, path: Path) -> None:
    """Moves the log that an earlier process has left into the database, and syncs it: the content of the log may be
    only in the page cache."""
    busy, pages, moved = next(database.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    if busy and moved < pages:
        raise FrontierError(f"another program keeps an old read transaction open on {path}: end that program")


def shrink_log(database: apsw.Connection) -> bool:
    """Moves the log into the database and truncates its file. Returns False at once when a reader prevents it."""
    patience = database.pragma("busy_timeout")
    database.set_busy_timeout(0)
    try:
        return not next(database.execute("PRAGMA wal_checkpoint(TRUNCATE)"))[0]
    finally:
        database.set_busy_timeout(patience)


def connect_reader(path: Path, *, older: bool = False, mark: Path | None = None) -> apsw.Connection | None:
    """Opens a read-only connection; None when there is no frontier yet. Close it soon: a reader holds up checkpoints.

    older: also accept a frontier of an older crawlerd, for which FrontierError is raised otherwise.
    mark: see `connect`; raises FrontierRefused when the frontier that it names is gone.
    Raises FrontierTooNew for a frontier of a newer crawlerd.
    """
    if mark:
        _refuse_half(mark)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # checked before opening, which would wait for a writer of a pipe
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
    """Like `connect_reader`, but raises FrontierError if there is no frontier, and FrontierRefused if it is gone."""
    in_use = path.name == FILE_NAME
    database = connect_reader(path, older=older, mark=path.with_name(MARK_NAME) if in_use else None)
    if database is None:
        raise FrontierError(f"there is no {'frontier in' if in_use or path.exists() else 'file'} {path}")
    return database


@contextmanager
def transaction(database: apsw.Connection) -> Iterator[None]:
    """A transaction: BEGIN IMMEDIATE … COMMIT; any exception rolls it back. Not DEFERRED, since the change from reading
    to writing could then fail with SQLITE_BUSY."""
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
    """Turns SQLite's errors into those of crawlerd. database: the connection, which knows the error of the system."""
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
    """The version of SQLite."""
    return apsw.sqlite_lib_version()


def file_size(path: Path | str) -> int:
    with suppress(FileNotFoundError):
        return os.stat(path).st_size
    return 0
