"""Makes files with exactly the given permissions, whatever the umask, and never through a link.

Whoever may write to a directory could put a symbolic link there under a name that we are going to write. Files are
therefore created exclusively, or must already be plain files.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
_DATABASE_FILES = ("", "-wal", "-shm", "-journal")  # files that SQLite makes for a database, with the same permissions


def open_plain(path: Path | str, mode: int, *, dir_fd: int | None = None) -> int:
    """A descriptor to read and write a file. The file is created if it is missing, and gets these permissions.

    Raises OSError if the name is a symbolic link, one of several names of a file, or not a plain file.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode, dir_fd=dir_fd)
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "it is not a plain file")
        if facts.st_nlink > 1:
            raise OSError(errno.EMLINK, "the file also has another name, so others may have access to it")
        set_mode(fd, facts, mode)
    except BaseException:
        os.close(fd)
        raise
    return fd


def new_file(path: Path, mode: int) -> int:
    """A descriptor to read and write a new file with these permissions. Raises FileExistsError if the name is taken."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    os.fchmod(fd, mode)
    return fd


def new_part(path: Path, mode: int) -> tuple[int, Path]:
    """A new file next to `path`, to be renamed when it is complete. Returns its descriptor and its temporary name,
    `.<stem of the name>-<random>.part`, which nobody else can take first."""
    stem = path.name.partition(".")[0] or path.name
    while True:
        part = path.with_name(f".{stem}-{token_hex(8)}.part")
        with suppress(FileExistsError):
            return new_file(part, mode), part


def make_directory(path: Path, mode: int) -> None:
    """Makes a directory with these permissions. One that exists keeps its own. Its parent must exist."""
    try:
        path.mkdir(mode=mode)
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    path.chmod(mode)


def without_links(path: Path) -> Path:
    """The same file, for opening with SQLITE_OPEN_NOFOLLOW: its directories may be links, but not the file itself."""
    return Path(os.path.realpath(path.parent)) / path.name


def prepare_database(path: Path, mode: int) -> str:
    """Creates an empty file for SQLite, or sets the permissions of existing ones. Returns the path to open, as
    `without_links` does. Raises OSError as `open_plain` does."""
    real = without_links(path)
    os.close(open_plain(real, mode))
    for suffix in _DATABASE_FILES[1:]:
        with suppress(FileNotFoundError):
            facts = os.lstat(f"{real}{suffix}")
            # SQLite would only say that it cannot open the database, without a reason
            if not stat.S_ISREG(facts.st_mode):
                raise OSError(errno.EINVAL, f"{path.name}{suffix}, which belongs to it, is not a plain file")
            set_mode(f"{real}{suffix}", facts, mode)
    return str(real)


def set_mode(file: int | str | Path, facts: os.stat_result, mode: int) -> None:
    """Sets the permissions if they differ, and the file is ours.

    facts: the file's current state.
    """
    if stat.S_IMODE(facts.st_mode) != mode:
        with suppress(PermissionError):
            os.chmod(file, mode)
