"""One crawlerd a state directory: an exclusive lock on a file, whose holder the kernel knows."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from typing import TYPE_CHECKING, Self

from crawlerd.core.errors import FrontierError, FrontierLocked, StorageFailed

if TYPE_CHECKING:
    from pathlib import Path


BEAT_SECONDS = 1.0


class StateLock:
    """Held from construction to `close`, or to the death of the process, however it dies.

    last_alive: Unix time after which no earlier holder did anything; None when there was none.
    """

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / "lock"
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            way = "; run this as the daemon's user" if error.errno in (errno.EACCES, errno.EPERM) else ""
            raise FrontierError(f"cannot use the state directory {state_dir}: {error.strerror}{way}") from None
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
