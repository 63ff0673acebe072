"""A copy of a sink's database, for readers who must not access the one in use."""

from __future__ import annotations

import errno
import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import apsw

from crawlerd.files.making import new_part
from crawlerd.sink import SinkError, StorageFailed
from crawlerd.sinks.file_errors import file_failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BUSY_MILLISECONDS = 10_000
STEP_PAGES = 2_000
LOG_GROWTH = 256 << 20  # bytes by which the log may grow during a copy, since it cannot be reset meanwhile


def copy(
    path: Path, target: Path, *, mode: int, force: bool, change: Callable[[apsw.Connection], None] | None = None
) -> int:
    """Copies a database into one plain file, durably, completely or not at all. Returns its size in bytes.

    Raises SinkError if there is nothing to copy, it cannot be read, or the target is not allowed; StorageFailed if the
    disk is full.

    mode: permissions of the file.
    force: replace an existing file.
    change: makes changes in the copy.
    """
    if not path.exists():
        raise SinkError(f"{path} does not exist: nothing was imported yet, or the file was moved")
    _refuse_what_is_there(path, target, force=force)
    try:
        fd, part = new_part(target, mode)
    except OSError as error:
        raise file_failure(target, error, directory=False) from None
    try:
        _copy(path, part, change)
        os.fsync(fd)
        _refuse_what_is_there(path, target, force=force)
        part.replace(target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return os.fstat(fd).st_size
    except apsw.FullError:
        raise StorageFailed(f"the disk of {target} is full; free some space", full=True) from None
    except apsw.Error as error:
        raise SinkError(f"cannot copy {path}: {error}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFailed(f"the disk of {target} is full; free some space", full=True) from None
        raise SinkError(f"cannot write {target}: {error.strerror}") from None
    finally:
        os.close(fd)
        for suffix in ("", "-journal"):
            with suppress(FileNotFoundError):
                part.with_name(part.name + suffix).unlink()


def _copy(path: Path, part: Path, change: Callable[[apsw.Connection], None] | None) -> None:
    """Copies the state of one moment: without a transaction, SQLite would start again at each commit of the daemon."""
    with (
        closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as source,
        closing(apsw.Connection(str(part))) as target,
    ):
        source.set_busy_timeout(BUSY_MILLISECONDS)
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        most = _size(f"{path}-wal") + LOG_GROWTH
        target.pragma("journal_mode", "off")
        target.pragma("synchronous", "off")
        with target.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(STEP_PAGES)
                if _size(f"{path}-wal") > most:
                    raise SinkError(
                        f"{path}-wal has grown by {LOG_GROWTH >> 20} MiB while it was copied: {part.parent} is too "
                        "slow for what is written at the same time; choose a faster disk, or a quieter time"
                    )
        if change:
            change(target)
        target.pragma("journal_mode", "delete")  # one plain file, which can be read even on a read-only file system


def _refuse_what_is_there(path: Path, target: Path, *, force: bool) -> None:
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise SinkError(f"{target} exists already and is not a plain file")
    if target.exists() and path.exists() and target.samefile(path):
        raise SinkError(f"{target} is the sink's own database: choose another name")
    if target.exists() and not force:
        raise SinkError(f"{target} exists already: choose another name, or use --force")
    if target.with_name(f"{target.name}-wal").exists():  # it would be taken for the log of the new file
        raise SinkError(f"{target}-wal exists: {target} is in use; choose another name")


def _size(path: str) -> int:
    with suppress(FileNotFoundError):
        return os.stat(path).st_size
    return 0
