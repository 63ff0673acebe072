"""Whose a file is, in words for those who may not use it."""

from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def owned(path: Path) -> str:
    """Whose a file is, and with which mode. OSError when that cannot be seen."""
    facts = path.stat()
    return f"{path} belongs to {user(facts.st_uid)} with mode {stat.S_IMODE(facts.st_mode):04o}"


def user(number: int) -> str:
    """A user by name, as far as it has one, and number."""
    try:
        return f"user {pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return f"user {number}"


def nearest(path: Path) -> Path:
    """The path, or else what of the way to it can be looked at."""
    for each in (path, *path.parents):
        try:
            if each.is_dir() or each.stat():
                return each
        except OSError:
            continue
    return type(path)("/")


def reading_failure(path: Path, error: OSError) -> str:
    """Why a file cannot be read, and what to do about it."""
    reason = f"cannot be read: {error.strerror}"
    if not isinstance(error, PermissionError):
        return reason
    return (
        f"{reason}; {owned(nearest(path))}, and this is {user(os.geteuid())}: let this user read it and its folder, "
        "or run as another"
    )
