"""What goes wrong with the files of sinks, in words that say what to do."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from crawlerd.sink import SinkError, StorageFailed

if TYPE_CHECKING:
    from pathlib import Path


FILE_MODE = 0o640  # of the files of a sink, unless it is configured otherwise


def directory_mode(mode: int) -> int:
    """Rights of a directory of files with these: who may read them may list it; who may write them, add to it."""
    return mode | (mode & 0o444) >> 2


def file_failure(path: Path, error: OSError) -> SinkError:
    """What to tell the person who is woken by it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFailed(f"the disk of {path} is full; free some space", full=True)
    if error.errno == errno.EIO:
        return StorageFailed(f"the disk of {path} fails ({error.strerror})", full=False)
    if error.errno == errno.ELOOP:
        return SinkError(f"{path} is a symbolic link, which is not followed: configure the path that it leads to")
    if error.errno in (errno.EMLINK, errno.EINVAL):
        return SinkError(f"cannot use {path}: {error.strerror}; remove it, or choose another path")
    return SinkError(
        f"cannot write {path} ({error.strerror}): does its directory exist, and may user {os.geteuid()} write there?"
    )
