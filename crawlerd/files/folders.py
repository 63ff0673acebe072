"""A directory that appears under its name when it is whole, or not at all."""

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
    """An empty private directory. At the end of the block it is made durable and gets the name `path`; after an error
    it is removed. What a killed process has left of one is removed by the next.

    An empty directory may be there already. OSError: ENOTEMPTY or EEXIST for any other thing of that name, EAGAIN while
    another process writes it, EPERM when its place is taken by another user.
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
    """A descriptor of it, with a lock that ends with the process."""
    while True:
        part.mkdir(PRIVATE_DIRECTORY, exist_ok=True)
        fd = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            facts = os.fstat(fd)
            if facts.st_uid != os.geteuid():  # who made it could read what comes into it
                raise PermissionError(errno.EPERM, f"{part} is another user's; remove it")
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(fd, PRIVATE_DIRECTORY)
            if part.exists() and os.path.samestat(facts, part.lstat()):  # or another process has just finished with it
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def sync_tree(folder: Path) -> None:
    """Makes a directory durable, with all that is in it."""
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
