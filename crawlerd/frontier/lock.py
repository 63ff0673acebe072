"""One crawlerd a state directory: an exclusive lock on a file, whose holder the kernel knows."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
from typing import TYPE_CHECKING, Self

from crawlerd.core.errors import FrontierError, FrontierLocked, StorageFailed
from crawlerd.files.making import PRIVATE_DIRECTORY, PRIVATE_FILE, open_plain, set_mode

if TYPE_CHECKING:
    from pathlib import Path


BEAT_SECONDS = 1.0
SHARED = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - directories that must stay open to all


class StateLock:
    """Held from construction to `close`, or to the death of the process, however it dies.

    last_alive: Unix time after which no earlier holder did anything; None when there was none.
    """

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / "lock"
        try:
            state_dir.mkdir(PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            _keep_others_out(state_dir)
            self._fd = open_plain(path, PRIVATE_FILE)
        except OSError as error:
            why = "it is a symbolic link: remove it" if error.errno == errno.ELOOP else error.strerror
            odd = error.errno in (errno.ELOOP, errno.EMLINK, errno.EINVAL)
            what = path if odd else f"the state directory {state_dir}"
            raise FrontierError(f"cannot use {what}: {why}") from None
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _holder(self._fd)
            os.close(self._fd)
            raise FrontierLocked(
                f"another crawlerd (pid {holder}) is using {state_dir}: stop it first, or choose another state_dir"
            ) from None
        before = os.fstat(self._fd)
        self.last_alive = min(before.st_mtime + 2 * BEAT_SECONDS, time.time()) if before.st_size else None
        try:  # written before it is cut, and so never empty again: that would say that there was no earlier holder
            os.ftruncate(self._fd, os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0))
        except OSError as error:
            os.close(self._fd)
            raise StorageFailed(f"cannot write {path}: {error.strerror}", full=error.errno == errno.ENOSPC) from None
        self._beat_at = time.monotonic()

    def beat(self) -> None:
        """Call often: about once a second it notes on the file that its holder lives."""
        now = time.monotonic()
        if now - self._beat_at >= BEAT_SECONDS:
            self._beat_at = now
            os.utime(self._fd)

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _keep_others_out(state_dir: Path) -> None:
    """Takes away what others may do with the directory and our files in it. Whoever may read the queue's files may also
    lock them, which stops the daemon. FrontierError for a directory that is everybody's."""
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        facts = os.fstat(folder)
        if facts.st_mode & stat.S_ISVTX and facts.st_mode & stat.S_IWOTH and _is_shared(state_dir, folder):
            raise FrontierError(
                f"the state directory {state_dir} is one that everybody may write to: "
                "set daemon.state_dir to a directory of its own, such as one below it"
            )
        if facts.st_mode & 0o077:
            set_mode(folder, facts, stat.S_IMODE(facts.st_mode) & PRIVATE_DIRECTORY)
        for entry in os.scandir(folder):
            ours = entry.name == "lock" or entry.name.startswith("frontier.")
            if ours and entry.is_file(follow_symlinks=False):
                set_mode(str(state_dir / entry.name), entry.stat(follow_symlinks=False), PRIVATE_FILE)
    finally:
        os.close(folder)


def _is_shared(state_dir: Path, folder: int) -> bool:
    """Whether others use a directory that is open to all. A file system of one's own may be so, too, when it is new."""
    me = os.geteuid()
    foreign = any(entry.stat(follow_symlinks=False).st_uid != me for entry in os.scandir(folder))
    return foreign or os.path.realpath(state_dir) in SHARED


def lock_holder(state_dir: Path) -> int | None:
    """The pid of the crawlerd that owns the state directory now, None when nobody does."""
    try:
        fd = os.open(state_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _holder(fd)
    finally:
        os.close(fd)


def _holder(fd: int) -> int | None:
    """Asks the kernel, which takes no lock itself (so a question cannot make a start fail)."""
    layout = struct.Struct("hhqqi0q")  # struct flock: type, whence, start, length, pid
    answer = layout.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, layout.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)))
    return None if answer[0] == fcntl.F_UNLCK else answer[4]
