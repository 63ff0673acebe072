"""What goes wrong with the files of sinks, in words that say what to do."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from crawlerd.sink import SinkError, StorageFailed

if TYPE_CHECKING:
    from pathlib import Path


def file_failure(path: Path, error: OSError) -> SinkError:
    """What to tell the person who is woken by it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFailed(f"the disk of {path} is full", full=True)
    if error.errno == errno.EIO:
        return StorageFailed(f"the disk of {path} fails ({error.strerror})", full=False)
    return SinkError(
        f"cannot write {path} ({error.strerror}): does its directory exist, and may user {os.geteuid()} write there?"
    )
