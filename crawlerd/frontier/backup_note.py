"""The time of the last backup, kept as the time of an empty file in the state directory."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from crawlerd.files.making import PRIVATE_FILE

if TYPE_CHECKING:
    from pathlib import Path

NAME = "last-backup"


def note(state_dir: Path) -> None:
    """Notes that a backup was made just now. Does nothing for a user who may not write to the state directory."""
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(state_dir / NAME, flags, PRIVATE_FILE)
        try:
            if os.geteuid() == 0:  # the daemon's user must be able to update the file
                owner = state_dir.stat()
                os.fchown(fd, owner.st_uid, owner.st_gid)
            os.utime(fd)
        finally:
            os.close(fd)


def noted(state_dir: Path) -> float | None:
    """When the last backup was made, in Unix seconds; None when there is no note."""
    try:
        return (state_dir / NAME).stat().st_mtime
    except OSError:
        return None
