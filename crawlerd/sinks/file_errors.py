"""Errors about the files of sinks, in words that say what to do."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from crawlerd.files.owners import nearest, owned, user
from crawlerd.sink import SinkError, StorageFailed

if TYPE_CHECKING:
    from pathlib import Path


FILE_MODE = 0o640  # of the files of a sink, unless it is configured otherwise


def directory_mode(mode: int) -> int:
    """Permissions of a directory for files with these permissions: whoever may read the files may list it, and whoever
    may write them may add to it."""
    return mode | (mode & 0o444) >> 2


def file_failure(path: Path, error: OSError, *, directory: bool) -> SinkError:
    """An error with advice for the person on call.

    directory: the path should be a directory.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFailed(f"the disk of {path} is full", full=True)
    if error.errno == errno.EIO:
        return StorageFailed(f"the disk of {path} fails ({error.strerror})", full=False)
    if error.errno == errno.ELOOP:
        return SinkError(f"{path} is a symbolic link, which is not followed: configure the path that it leads to")
    if _is_device(path):
        return SinkError(f"cannot use {path}: it is a device; choose another path")
    if error.errno in (errno.EMLINK, errno.EINVAL):
        return SinkError(f"cannot use {path}: {error.strerror}; remove it, or choose another path")
    return SinkError(f"cannot write {path} ({error.strerror}): {way_to(path, directory=directory)}")


def _is_device(path: Path) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISBLK(mode) or stat.S_ISCHR(mode)


def way_to(path: Path, *, directory: bool) -> str:
    """What to do about a path that cannot be used.

    directory: it should be a directory.
    """
    if not os.path.isdir(path.parent):  # unlike methods of Path, this raises no error in other users' directories
        return f"there is no directory {path.parent}; create it"
    if os.path.isdir(path) and not directory:
        return "it is a directory; name a file"
    if directory and os.path.exists(path) and not os.path.isdir(path):
        return "it is not a directory; name one"
    what = "directory" if directory else "file and its directory"
    return (
        f"{owned(nearest(path))}, and this is {user(os.geteuid())}; let this user write the {what}, or run crawlerd as "
        "a user that may"
    )
