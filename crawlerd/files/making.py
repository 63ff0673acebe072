"""How files are made: with the rights that they are to have, whatever the umask, and never through a link.

Whoever may write in a directory may put a symbolic link there under a name that we will write to. What is made here is
made exclusively, or is a plain file already.
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
_DATABASE_FILES = ("", "-wal", "-shm", "-journal")  # what SQLite makes beside a database, with the same rights


def open_plain(path: Path | str, mode: int, *, dir_fd: int | None = None) -> int:
    """A descriptor to read and write a file, which is made when it is missing and gets these rights.

    OSError when the name is that of a link, a second name of a file, or no plain file.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode, dir_fd=dir_fd)
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        if facts.st_nlink > 1:
            raise OSError(errno.EMLINK, "the file has another name, too, and so may not be ours alone")
        set_mode(fd, facts, mode)
    except BaseException:
        os.close(fd)
        raise
    return fd


def new_file(path: Path, mode: int) -> int:
    """A descriptor to read and write a file that was not there, with these rights. FileExistsError for any other."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    os.fchmod(fd, mode)
    return fd


def new_part(path: Path, mode: int) -> tuple[int, Path]:
    """A new file beside `path`, which is to get its name when it is whole: a descriptor, and the name meanwhile,
    `.<stem of the name>-<random>.part`, which nobody can take before."""
    stem = path.name.partition(".")[0] or path.name
    while True:
        part = path.with_name(f".{stem}-{token_hex(8)}.part")
        with suppress(FileExistsError):
            return new_file(part, mode), part


def make_directory(path: Path, mode: int) -> None:
    """A directory with these rights; one that is there keeps its own. Its parent must exist."""
    try:
        path.mkdir(mode=mode)
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    path.chmod(mode)


def without_links(path: Path) -> Path:
    """The same file, to be opened with SQLITE_OPEN_NOFOLLOW: directories may be links, the file may not."""
    return Path(os.path.realpath(path.parent)) / path.name


def prepare_database(path: Path, mode: int) -> str:
    """Makes an empty file for SQLite, or sees to the rights of those that are there. Where to open it, as of
    `without_links`. OSError as of `open_plain`."""
    real = without_links(path)
    os.close(open_plain(real, mode))
    for suffix in _DATABASE_FILES[1:]:
        with suppress(FileNotFoundError):
            facts = os.lstat(f"{real}{suffix}")
            if not stat.S_ISREG(facts.st_mode):  # SQLite would say that it cannot open the database, and not why
                raise OSError(errno.EINVAL, f"{path.name}{suffix}, which belongs to it, is no plain file")
            set_mode(f"{real}{suffix}", facts, mode)
    return str(real)


def set_mode(file: int | str | Path, facts: os.stat_result, mode: int) -> None:
    """Changes the rights if they differ, and the file is ours to change. facts: of the file."""
    if stat.S_IMODE(facts.st_mode) != mode:
        with suppress(PermissionError):
            os.chmod(file, mode)
