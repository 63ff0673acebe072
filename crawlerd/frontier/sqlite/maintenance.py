"""Looking after a frontier's file: whether every invariant holds, giving space back to the disk, an online copy."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import closing, contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING

import apsw

from crawlerd.core.errors import FrontierError, StorageFailed
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.sqlite.invariants import INVARIANTS, SCAN, Invariant
from crawlerd.frontier.sqlite.schema import (
    FILE_NAME,
    MARK_NAME,
    connect,
    connect_reader,
    storage_errors,
    sync_directory,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLES = 5  # of one broken invariant, before the rest is only counted
STEP_PAGES = 4_096  # copied and made durable at once: 16 MiB, so that a commit meanwhile waits for no more than that
LOG_GROWTH = 1 << 30  # bytes that the writer's log may grow by while a backup reads
READER_WAIT = 10_000  # milliseconds that vacuum waits for readers at its end


def check(path: Path, *, full: bool = False) -> list[str]:
    """What is wrong with a frontier or a backup of one, a line each; nothing when every invariant holds.

    Changes nothing; works beside the daemon, whose log grows as long as this reads: two seconds for a million tasks.
    full: compares every index with its table as well. FrontierError when it is no frontier or cannot be read at all.
    """
    with _reading(path) as database:
        damage = damage_of(database, full=full)
        if damage:
            return [f"the file is damaged: {line}" for line in damage]
        database.execute("BEGIN")
        database.execute(SCAN)
        return [line for invariant in INVARIANTS for line in _broken(database, invariant)]


def damage_of(database: apsw.Connection, *, full: bool) -> list[str]:
    """What SQLite finds itself, which may be too much for it to get to the end."""
    lines: list[str] = []
    try:
        for (text,) in database.execute("PRAGMA integrity_check" if full else "PRAGMA quick_check"):
            lines += (line for line in text.splitlines() if line != "ok" and not line.startswith("***"))
    except apsw.CorruptError:
        if not lines:
            raise
    return lines


def _broken(database: apsw.Connection, invariant: Invariant) -> Iterator[str]:
    rows = database.execute(invariant.rows)
    for row in islice(rows, EXAMPLES):
        yield invariant.broken.format(*row)
    more = sum(1 for _ in rows)
    if more:
        yield f"… and {more:,} more like this one"


def vacuum(state_dir: Path) -> tuple[int, int]:
    """Gives the frontier's free pages back to the disk. Its size before and after, in bytes.

    FrontierLocked beside a daemon. StorageFailed when the disk has no space for the two copies that SQLite needs
    meanwhile: nothing has changed then.
    """
    path = state_dir / FILE_NAME
    open_readable(path, older=True).close()  # there is one, and nothing is made where there is none
    before = _size(path)  # with the log that a crash has left, which opening moves into the database
    with (
        StateLock(state_dir),
        closing(connect(path, mark=state_dir / MARK_NAME)) as database,
        storage_errors(path, database),
    ):
        live = (database.pragma("page_count") - database.pragma("freelist_count")) * database.pragma("page_size")
        database.pragma("temp_store", "file")
        database.pragma("temp_store_directory", str(state_dir))  # not a /tmp that may be memory
        try:
            with storage_errors(path, database):
                database.execute("VACUUM")
        except StorageFailed as error:
            if not error.full:
                raise
            needed = f"vacuum needs up to {2 * live / 1e6:,.1f} MB of free space while it works"
            raise StorageFailed(f"{error}: {needed}", full=True) from None
        finally:
            database.pragma("temp_store_directory", "")
        database.set_busy_timeout(READER_WAIT)
        (busy, *_) = next(database.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    if busy:
        raise FrontierError(f"{path} is vacuumed, but another command reads it: its space comes back at the next start")
    return before, _size(path)


def backup(state_dir: Path, target: Path, *, force: bool = False) -> int:
    """Copies the frontier as it is at this moment, beside the daemon or without it. The size in bytes.

    The file appears whole and durable, or not at all; a killed backup leaves `target`.part, which the next one
    overwrites. force: replaces an existing file. FrontierError when it may not be there, StorageFailed on a full disk.
    """
    asked, target = target, target.resolve()
    part = target.with_name(f"{target.name}.part")
    with closing(open_readable(state_dir / FILE_NAME, older=True)) as source:
        _refuse_what_is_there(asked, target, state_dir, force=force)
        try:
            with open_partial(part) as fd:
                with storage_errors(state_dir / FILE_NAME, source):
                    copy_database(source, part, fd)
                os.fsync(fd)
                _refuse_what_is_there(asked, target, state_dir, force=force)
                part.replace(target)
                sync_directory(target.parent)
                return os.fstat(fd).st_size
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFailed(f"the disk that holds {part} is full", full=True) from None
            raise FrontierError(f"cannot write {part}: {error.strerror}") from None


def copy_database(source: apsw.Connection, part: Path, fd: int) -> None:
    """One snapshot of the source. Without one, SQLite begins anew at each commit of another process; VACUUM INTO
    takes one too, but for longer."""
    log = source.filename_wal
    source.execute("BEGIN")
    source.execute("SELECT 1 FROM next_seq").fetchall()
    most = _file_size(log) + LOG_GROWTH
    with closing(apsw.Connection(str(part))) as target, storage_errors(part, target):
        target.pragma("journal_mode", "off")
        target.pragma("synchronous", "off")
        with target.backup("main", source, "main") as copy:
            while not copy.done:
                copy.step(STEP_PAGES)
                os.fdatasync(fd)
                if _file_size(log) > most:
                    raise FrontierError(
                        f"{log} has grown by {LOG_GROWTH / 1e6:,.0f} MB while it was copied: {part.parent} is too slow "
                        "for what is written meanwhile; choose a faster disk, or a quieter time"
                    )
        target.pragma("journal_mode", "delete")  # one plain file, that can be read where nothing can be written


def _refuse_what_is_there(asked: Path, target: Path, state_dir: Path, *, force: bool) -> None:
    if target.parent == state_dir.resolve():
        raise FrontierError(f"{asked} is in the state directory, where only crawlerd's own files may be")
    if target.exists() and not target.is_file():
        raise FrontierError(f"{asked} is there already and not a file")
    if target.exists() and not force:
        raise FrontierError(f"{asked} is there already: choose another name, or say --force")
    for suffix in ("-wal", "-journal"):  # would be taken for the log of the new file
        if target.with_name(target.name + suffix).exists():
            raise FrontierError(f"{asked}{suffix} is there: {asked} is in use; choose another name")


@contextmanager
def open_partial(path: Path) -> Iterator[int]:
    """An empty file for one backup at a time, as a descriptor; removed unless it has got another name meanwhile."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(fd), path.stat())  # or another one has just finished with it
        except (BlockingIOError, FileNotFoundError):
            mine = False
        if not mine:
            raise FrontierError(f"another backup is writing {path}")
        try:
            os.ftruncate(fd, 0)
            yield fd
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    finally:
        os.close(fd)


def open_readable(path: Path, *, older: bool = False) -> apsw.Connection:
    """As `connect_reader`; FrontierError when there is none."""
    database = connect_reader(path, older=older)
    if database is None:
        raise FrontierError(f"there is no frontier in {path}")
    return database


@contextmanager
def _reading(path: Path) -> Iterator[apsw.Connection]:
    with closing(open_readable(path)) as database, storage_errors(path, database):
        try:
            yield database
        except apsw.SQLError as error:
            raise FrontierError(f"{path} is a database, but not a frontier: {error}") from None


def _size(path: Path) -> int:
    """Bytes of a database and its log."""
    return _file_size(path) + _file_size(f"{path}-wal")


def _file_size(path: Path | str) -> int:
    with suppress(FileNotFoundError):
        return os.stat(path).st_size
    return 0
