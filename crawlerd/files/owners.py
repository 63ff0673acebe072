"""The owner of a file, in words for users who may not access it."""

from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def owned(path: Path) -> str:
    """The owner and the mode of a file, as text. Raises OSError if they cannot be read."""
    facts = path.stat()
    return f"{path} belongs to {user(facts.st_uid)} with mode {stat.S_IMODE(facts.st_mode):04o}"


def user(number: int) -> str:
    """A user's name, if known, and number."""
    try:
        return f"user {pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return f"user {number}"


def nearest(path: Path) -> Path:
    """The path, or its nearest parent that can be examined."""
    for each in (path, *path.parents):
        try:
            if each.is_dir() or each.stat():
                return each
        except OSError:
            continue
    return type(path)("/")


def reading_failure(path: Path, error: OSError) -> str:
    """Why a file cannot be read, and what to do."""
    reason = f"cannot be read: {error.strerror}"
    if not isinstance(error, PermissionError):
        return reason
    return (
        f"{reason}; {owned(nearest(path))}, and this is {user(os.geteuid())}: let this user read it and its folder, "
        "or run as another user"
    )
