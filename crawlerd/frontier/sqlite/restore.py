"""Replaces the frontier by a backup, or removes it."""

from __future__ import annotations

import errno
import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from crawlerd.core.errors import FrontierError, StorageFailed
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.sql.sink_identity import RESTORED
from crawlerd.frontier.sqlite.backup import copy_database, open_partial
from crawlerd.frontier.sqlite.check import damage_of
from crawlerd.frontier.sqlite.database import (
    FILE_NAME,
    MARK_NAME,
    RESTORING_NAME,
    connect,
    connect_reader,
    open_readable,
    storage_errors,
    sync_directory,
    transaction,
    write_mark,
)

if TYPE_CHECKING:
    from pathlib import Path

ASIDE = "replaced"  # part of the names of the old files


def restore(state_dir: Path, file: Path) -> Path | None:
    """Replaces the frontier by a copy of a backup, or of any frontier, so that it accepts sinks that were written after
    the backup. Returns the file to which the old frontier was moved, if any.

    When it is killed, it can be repeated. Raises FrontierLocked while a daemon runs, FrontierError for a file that is
    damaged or not a frontier, and StorageFailed on a full disk. Nothing has changed then.
    """
    with StateLock(state_dir):
        aside = put_in_place(state_dir, file)
        end_restoring(state_dir)
    return aside


def put_in_place(state_dir: Path, file: Path) -> Path | None:
    """Like `restore`, for a caller that holds the lock."""
    path = state_dir / FILE_NAME
    part = state_dir / f"{FILE_NAME}.part"
    with closing(open_readable(file, older=True)) as source, storage_errors(file, source):
        if damage := damage_of(source, full=False):
            raise FrontierError(f"{file} is damaged: {damage[0]}; use another backup")
        try:
            with open_partial(part) as fd:
                copy_database(source, part, fd)
                identity = _accept(part)
                os.fsync(fd)
                aside = _set_aside(path)
                part.replace(path)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise StorageFailed(f"cannot write {part}: {error.strerror}", full=full) from None
    sync_directory(state_dir)
    write_mark(state_dir / MARK_NAME, identity)
    return aside


def _accept(part: Path) -> str:
    """Raises the number of the next commit above those in all sinks, since these may be newer than the backup. Returns
    the frontier's identity."""
    with closing(connect(part)) as database, storage_errors(part, database), transaction(database):
        database.execute("UPDATE frontier SET commits = commits + ?", (RESTORED,))
        identity: str = database.execute("SELECT id FROM frontier").get
    return identity


def in_use(state_dir: Path) -> Path | None:
    """A file that shows that the state directory has, or had, a frontier; None when there is no such file."""
    names = (FILE_NAME, f"{FILE_NAME}-wal", MARK_NAME)
    return next((state_dir / name for name in names if os.path.lexists(state_dir / name)), None)


def take_away(state_dir: Path) -> None:
    """Removes the files of `put_in_place` from a directory that was empty before, and then the mark of
    `begin_restoring`."""
    for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", MARK_NAME):
        (state_dir / name).unlink(missing_ok=True)
    end_restoring(state_dir)


def begin_restoring(state_dir: Path, backup: Path) -> None:
    """Prevents that crawlerd is started in the state directory until `end_restoring`, even after a crash. Call it with
    the lock held."""
    write_mark(state_dir / RESTORING_NAME, str(backup))


def end_restoring(state_dir: Path) -> None:
    """Ends `begin_restoring`. Call it with the lock held, when the frontier is in place and durable."""
    try:
        (state_dir / RESTORING_NAME).unlink(missing_ok=True)
        sync_directory(state_dir)
    except OSError as error:
        raise FrontierError(f"cannot change {state_dir}: {error.strerror}") from None


def begin_new(state_dir: Path, *, force: bool = False) -> Path | None:
    """Makes the next start begin with an empty frontier. Returns the file to which the old frontier was moved, if any.

    Raises FrontierLocked while a daemon runs, and FrontierError when the old frontier is usable and `force` is not set.
    """
    path = state_dir / FILE_NAME
    with StateLock(state_dir):
        if not force and _usable(path):
            raise FrontierError(
                f"{path} is a usable frontier; without it, queued tasks, sync points and charged quotas are "
                "forgotten: use --force if that is what you want"
            )
        try:
            aside = _set_aside(path)
            (state_dir / MARK_NAME).unlink(missing_ok=True)
            (state_dir / RESTORING_NAME).unlink(missing_ok=True)
            sync_directory(state_dir)
        except OSError as error:
            raise FrontierError(f"cannot change {state_dir}: {error.strerror}") from None
    return aside


def _usable(path: Path) -> bool:
    """Whether there is a frontier without damage. Reads the whole file, since a damaged one can often be opened."""
    try:
        database = connect_reader(path, older=True)
        if database is None:
            return False
        with closing(database), storage_errors(path, database):
            return not damage_of(database, full=False)
    except FrontierError:
        return False


def _set_aside(path: Path) -> Path | None:
    """Renames the files of a frontier, the database first. If this is interrupted, the log that is left is not taken
    for that of another database, since crawlerd opens nothing where the database is missing."""
    aside = path.with_name(f"{path.name}.{ASIDE}")
    found = path.exists()
    path.with_name(f"{aside.name}-wal").unlink(missing_ok=True)
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(path.with_name(aside.name + suffix))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    return aside if found else None
