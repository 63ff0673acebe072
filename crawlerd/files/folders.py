"""A directory that appears under its name complete, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from crawlerd.files.making import PRIVATE_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """An empty private directory. At the end of the block it is made durable and renamed to `path`; after an error it
    is removed. If a process was killed, the next one removes what is left.

    Raises OSError: ENOTEMPTY or EEXIST if something other than an empty directory has that name, EAGAIN while another
    process writes it, EPERM if another user has taken the place.
    """
    part = path.with_name(f".{path.name}.part")
    fd = _own(part)
    try:
        for entry in list(os.scandir(part)):
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
        yield part
        sync_tree(part)
        part.rename(path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    finally:
        os.close(fd)


def _own(part: Path) -> int:
    """A descriptor of the directory, with a lock that ends with the process."""
    while True:
        part.mkdir(PRIVATE_DIRECTORY, exist_ok=True)
        fd = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            facts = os.fstat(fd)
            if facts.st_uid != os.geteuid():  # its owner could read what is written into it
                raise PermissionError(errno.EPERM, f"{part} belongs to another user; remove it")
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(fd, PRIVATE_DIRECTORY)
            # otherwise another process has just finished with it
            if part.exists() and os.path.samestat(facts, part.lstat()):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def sync_tree(folder: Path) -> None:
    """Makes a directory and everything in it durable."""
    for root, _, names in os.walk(folder):
        for name in names:
            _sync(os.open(os.path.join(root, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        _sync(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def sync_folder(folder: Path) -> None:
    """Makes the names in a directory durable."""
    _sync(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
