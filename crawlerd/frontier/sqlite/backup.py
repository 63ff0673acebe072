"""Copies a frontier while its daemon writes to it."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import apsw

from crawlerd.core.errors import FrontierError, StorageFailed
from crawlerd.files.making import PRIVATE_FILE
from crawlerd.frontier.reports import BackedUp
from crawlerd.frontier.sqlite.database import (
    FILE_NAME,
    file_size,
    open_readable,
    storage_errors,
    sync_directory,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEP_PAGES = 4_096  # pages (16 MiB) to copy and sync at once: a commit waits for no more than this
LOG_GROWTH = 1 << 30  # bytes by which the writer's log may grow while a backup reads


def backup(state_dir: Path, target: Path, *, force: bool = False) -> int:
    """Copies the frontier as it is at this moment, also while a daemon runs. Returns the size in bytes.

    The file appears whole and durable, or not at all. A killed backup leaves `target`.part, which the next one
    overwrites. force: replace an existing file. Raises FrontierError when the target is not allowed, StorageFailed on a
    full disk.
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


def backed_up(file: Path) -> BackedUp:
    """Describes a backup. Raises FrontierError when it cannot be read, or is of another version."""
    with closing(open_readable(file)) as database, storage_errors(file, database):
        identity, commits = database.execute("SELECT id, commits FROM frontier").get
        sinks = dict(database.execute("SELECT identity, number FROM sink WHERE identity IS NOT NULL"))
    return BackedUp(identity, commits, sinks)


def copy_database(source: apsw.Connection, part: Path, fd: int) -> None:
    """Copies one snapshot of the source: without a snapshot, SQLite would start again at each commit of another
    process. VACUUM INTO would use a snapshot as well, but for longer."""
    log = source.filename_wal
    source.execute("BEGIN")
    source.execute("SELECT 1 FROM next_seq").fetchall()
    most = file_size(log) + LOG_GROWTH
    with closing(apsw.Connection(str(part))) as target, storage_errors(part, target):
        target.pragma("journal_mode", "off")
        target.pragma("synchronous", "off")
        with target.backup("main", source, "main") as copy:
            while not copy.done:
                copy.step(STEP_PAGES)
                os.fdatasync(fd)
                if file_size(log) > most:
                    raise FrontierError(
                        f"{log} has grown by {LOG_GROWTH / 1e6:,.0f} MB while it was copied: {part.parent} is too slow "
                        "for what is written meanwhile; choose a faster disk, or a quieter time"
                    )
        target.pragma("journal_mode", "delete")  # a single file, which can be read on a read-only file system


def _refuse_what_is_there(asked: Path, target: Path, state_dir: Path, *, force: bool) -> None:
    if target.parent == state_dir.resolve():
        raise FrontierError(f"{asked} is in the state directory, where only crawlerd's own files may be")
    if target.exists() and not target.is_file():
        raise FrontierError(f"{asked} exists and is not a file")
    if target.exists() and not force:
        raise FrontierError(f"{asked} is there already: choose another name, or use --force")
    for suffix in ("-wal", "-journal"):  # SQLite would take them for the log of the new file
        if target.with_name(target.name + suffix).exists():
            raise FrontierError(f"{asked}{suffix} is there: {asked} is in use; choose another name")


@contextmanager
def open_partial(path: Path) -> Iterator[int]:
    """Opens an empty file, for one backup at a time, and yields its file descriptor. Removes the file at the end,
    unless it was renamed meanwhile."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        facts = os.fstat(fd)
        if facts.st_uid != os.geteuid() or facts.st_nlink > 1:  # the user who made it could read the copy
            raise FrontierError(f"{path} belongs to another user: remove it, or choose another directory")
        os.fchmod(fd, PRIVATE_FILE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(fd), path.lstat())  # False if another backup has just finished with it
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
