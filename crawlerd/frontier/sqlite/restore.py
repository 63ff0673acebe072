"""Another file in the frontier's place: a backup, or none at all."""

from __future__ import annotations

import errno
import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from crawlerd.core.errors import FrontierError, StorageFailed
from crawlerd.frontier.lock import StateLock
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
from crawlerd.frontier.sqlite.sink_identity import RESTORED

if TYPE_CHECKING:
    from pathlib import Path

ASIDE = "replaced"  # what the files that were there are called then


def restore(state_dir: Path, file: Path) -> Path | None:
    """Puts a copy of a backup, or of any frontier, in the frontier's place, and sees to it that sinks which were
    written since are not taken for a sign of a mistake. Where the frontier that was there is now.

    Killed at any point, it can be repeated. FrontierLocked beside a daemon; FrontierError for a file that is damaged or
    none, StorageFailed on a full disk: nothing has changed then.
    """
    with StateLock(state_dir):
        aside = put_in_place(state_dir, file)
        end_restoring(state_dir)
    return aside


def put_in_place(state_dir: Path, file: Path) -> Path | None:
    """The same with the lock held."""
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
    """What is restored may be older than its sinks: its next commit is to be beyond all of theirs. Its identity."""
    with closing(connect(part)) as database, storage_errors(part, database), transaction(database):
        database.execute("UPDATE frontier SET commits = commits + ?", (RESTORED,))
        identity: str = database.execute("SELECT id FROM frontier").get
    return identity


def in_use(state_dir: Path) -> Path | None:
    """A file that shows that there is, or was, a frontier in the state directory."""
    names = (FILE_NAME, f"{FILE_NAME}-wal", MARK_NAME)
    return next((state_dir / name for name in names if os.path.lexists(state_dir / name)), None)


def take_away(state_dir: Path) -> None:
    """What `put_in_place` has put there where nothing was, and the mark of `begin_restoring` after it."""
    for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", MARK_NAME):
        (state_dir / name).unlink(missing_ok=True)
    end_restoring(state_dir)


def begin_restoring(state_dir: Path, backup: Path) -> None:
    """From now on, and over a crash, nothing can be started in the state directory, until `end_restoring`. Call with
    the lock held."""
    write_mark(state_dir / RESTORING_NAME, str(backup))


def end_restoring(state_dir: Path) -> None:
    """Call with the lock held, when the frontier is in place and durable."""
    try:
        (state_dir / RESTORING_NAME).unlink(missing_ok=True)
        sync_directory(state_dir)
    except OSError as error:
        raise FrontierError(f"cannot change {state_dir}: {error.strerror}") from None


def begin_new(state_dir: Path, *, force: bool = False) -> Path | None:
    """Lets the next start begin with an empty frontier. Where the one that was there is now.

    FrontierLocked beside a daemon; FrontierError when there is a usable one, unless it is forced.
    """
    path = state_dir / FILE_NAME
    with StateLock(state_dir):
        usable = None
        with suppress(FrontierError):
            usable = connect_reader(path, older=True)
        if usable is not None:
            usable.close()
            if not force:
                raise FrontierError(
                    f"{path} is a usable frontier; without it, queued tasks, sync points and charged quotas are "
                    "forgotten: say --force if that is what you want"
                )
        try:
            aside = _set_aside(path)
            (state_dir / MARK_NAME).unlink(missing_ok=True)
            (state_dir / RESTORING_NAME).unlink(missing_ok=True)
            sync_directory(state_dir)
        except OSError as error:
            raise FrontierError(f"cannot change {state_dir}: {error.strerror}") from None
    return aside


def _set_aside(path: Path) -> Path | None:
    """The database goes first: a log that is left alone is never taken for that of another one, since nothing is
    opened where the database is missing."""
    aside = path.with_name(f"{path.name}.{ASIDE}")
    found = path.exists()
    path.with_name(f"{aside.name}-wal").unlink(missing_ok=True)
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(path.with_name(aside.name + suffix))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    return aside if found else None
