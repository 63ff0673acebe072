"""Lets only one crawlerd use a state directory, by exclusive locks on the directory and on a file in it. The kernel can
say which process holds them."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import struct
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from crawlerd.core.errors import FrontierLocked, FrontierRefused, FrontierUnusable, StorageFailed
from crawlerd.files.making import PRIVATE_DIRECTORY, PRIVATE_FILE, open_plain, set_mode
from crawlerd.files.owners import nearest
from crawlerd.frontier.access import refused, require, require_own

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
PATIENCE = 10.0  # seconds to wait for a command that holds the lock for a moment
SIGNED_WITHIN = 0.25  # seconds within which such a command has written BRIEF into the file
AGAIN_SECONDS = 0.02  # between two tries
BRIEF = b"for a moment"  # the content of the lock file of such a command
BUSY = (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN)
SHARED = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - directories that must stay open to all


class StateLock:
    """The lock of a state directory, held from construction to `close` or the end of the process.

    There are two locks. Other processes can ask who holds the lock of the file. The lock of the directory protects
    against deletion of the file.

    last_alive: when the last holder was alive; Unix seconds, None when there was none.
    """

    def __init__(self, state_dir: Path, *, brief: bool = False) -> None:
        """Takes the lock. Raises FrontierLocked when another crawlerd holds it, FrontierUnusable when this user may not
        use the directory, StorageFailed when the disk is full or fails.

        brief: the lock is held for a moment only, so other commands wait for it.
        """
        self._path = state_dir / "lock"
        began = time.monotonic()
        while True:
            try:
                self._take(state_dir, brief=brief)
                break
            except FrontierLocked:
                if time.monotonic() - began > (PATIENCE if _held_briefly(self._path) else SIGNED_WITHIN):
                    raise
            time.sleep(AGAIN_SECONDS)  # flock cannot wait with a time limit, and the file may be replaced meanwhile
        self._beat_at = time.monotonic()

    def _take(self, state_dir: Path, *, brief: bool) -> None:
        with ExitStack() as undo:
            try:
                state_dir.mkdir(PRIVATE_DIRECTORY, parents=True, exist_ok=True)
                require_own(state_dir)
                require(state_dir)
                self._directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                raise refused(state_dir, error, missing=nearest(state_dir) != state_dir) from None
            undo.callback(os.close, self._directory)
            _keep_others_out(self._directory, state_dir)
            if not _lock_directory(self._directory):
                raise self._locked(_holder_of_directory(self._directory))
            try:
                self._fd = _open(self._path)
            except OSError as error:
                raise refused(self._path, error) from None
            undo.callback(lambda: os.close(self._fd))
            if not _lock(self._fd):
                raise self._locked(_holder(self._fd))
            before = os.fstat(self._fd)
            self.last_alive = min(before.st_mtime + 2 * BEAT_SECONDS, time.time()) if before.st_size else None
            _sign(self._fd, self._path, brief=brief)
            undo.pop_all()

    def _locked(self, holder: int | None) -> FrontierLocked:
        who = f"another crawlerd (pid {holder})" if holder else "another crawlerd"
        return FrontierLocked(
            f"{who} is using {self._path.parent}: stop it first, or choose another state_dir",
        )

    def beat(self) -> None:
        """Call often: updates the file's time about once a second, to show that the holder is alive. Makes a file that
        was deleted or replaced again. Raises FrontierRefused when another program holds it, or the directory is gone.
        """
        now = time.monotonic()
        if now - self._beat_at < BEAT_SECONDS:
            return
        self._beat_at = now
        try:
            os.utime(self._fd)
        except OSError as error:
            raise refused(self._path, error) from None
        if not self._in_place():
            self._take_again()

    def _in_place(self) -> bool:
        return _is(self._fd, self._path)

    def _take_again(self) -> None:
        try:
            if not _is(self._directory, self._path.parent):
                raise FileNotFoundError(errno.ENOENT, "its directory is gone")
            fd = _open(self._path)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT):
                return  # tried again at the next call
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.EINVAL):  # the path is not a regular file any more
                raise refused(self._path, error) from None
            raise FrontierRefused(
                f"{self._path} was deleted or moved while it was in use, and cannot be made again ({error.strerror}): "
                f"put {self._path.parent} back, then start again"
            ) from None
        if not _lock(fd):
            holder = _holder(fd)
            os.close(fd)
            raise FrontierRefused(
                f"{self._path} was replaced while it was in use, and another program (pid {holder}) holds it now: "
                "only one crawlerd can use a state directory; stop one of them"
            )
        _sign(fd, self._path)
        log.warning("%s was deleted or replaced while it was in use: made again", self._path)
        old, self._fd = self._fd, fd
        os.close(old)

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _keep_others_out(folder: int, state_dir: Path) -> None:
    """Removes the rights of other users to the directory and our files in it. A user who may read the files may also
    lock them, which would stop the daemon. Raises FrontierUnusable for a directory that everybody uses, such as /tmp.

    folder: the file descriptor of the directory.
    """
    try:
        facts = os.fstat(folder)
        shared = facts.st_mode & stat.S_ISVTX and facts.st_mode & stat.S_IWOTH
        if shared and _others_use(folder, state_dir):
            raise FrontierUnusable(
                f"the state directory {state_dir} is one that everybody may write to: "
                "set daemon.state_dir to a directory of its own, such as one below it"
            )
        if facts.st_mode & 0o077:
            set_mode(folder, facts, stat.S_IMODE(facts.st_mode) & PRIVATE_DIRECTORY)
        with os.scandir(folder) as entries:
            ours = [each for each in entries if each.name == "lock" or each.name.startswith("frontier.")]
        for entry in ours:
            if entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # the process that uses it has just removed it
                    set_mode(str(state_dir / entry.name), entry.stat(follow_symlinks=False), PRIVATE_FILE)
    except OSError as error:
        raise refused(state_dir, error) from None


def _others_use(folder: int, state_dir: Path) -> bool:
    """Whether other users use a directory that is open to all. A new private file system may be open to all, too."""
    me = os.geteuid()
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_uid != me:
                    return True
    return os.path.realpath(state_dir) in SHARED


def lock_holder(state_dir: Path) -> int | None:
    """The pid of the crawlerd that holds the lock of the state directory; None when no process does."""
    try:
        fd = os.open(state_dir / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return _holder(fd)
    finally:
        os.close(fd)


def _is(fd: int, path: Path) -> bool:
    """Whether the path leads to the file that is open as `fd`."""
    ours = os.fstat(fd)
    try:
        there = path.stat()
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _open(path: Path) -> int:
    return open_plain(path, PRIVATE_FILE)


def _lock(fd: int) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in BUSY:
            raise
        return False
    return True


def _lock_directory(fd: int) -> bool:
    """Locks the directory. A file system such as NFS cannot lock directories; there the lock of the file must do."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno != errno.EWOULDBLOCK
    return True


def _held_briefly(path: Path) -> bool:
    try:
        return BRIEF in path.read_bytes()
    except OSError:
        return False


def _sign(fd: int, path: Path, *, brief: bool = False) -> None:
    """Writes to the lock file. Writes before it truncates, so that the file is never empty: an empty file means that
    there was no earlier holder."""
    text = b"%d %s\n" % (os.getpid(), BRIEF) if brief else b"%d\n" % os.getpid()
    try:
        os.ftruncate(fd, os.pwrite(fd, text, 0))
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error.strerror}", full=error.errno == errno.ENOSPC) from None


def _holder(fd: int) -> int | None:
    """The pid of the process that holds the lock of a file. Asks the kernel without locking the file, so that asking
    cannot make the start of another process fail."""
    layout = struct.Struct("hhqqi0q")  # struct flock: type, whence, start, length, pid
    answer = layout.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, layout.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)))
    return None if answer[0] == fcntl.F_UNLCK else answer[4]


def _holder_of_directory(fd: int) -> int | None:
    """The pid of the process that holds the lock of a directory, from /proc/locks; None when it is not listed there."""
    facts = os.fstat(fd)
    wanted = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    try:
        for line in Path("/proc/locks").read_text().splitlines():
            _, kind, _, _, pid, place, *_ = line.split()
            if kind == "FLOCK" and place == wanted and int(pid) > 0:
                return int(pid)
    except (OSError, ValueError):
        pass
    return None
