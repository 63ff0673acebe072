"""Checks who may use the files of a state directory, and explains to others why not and what to do."""

from __future__ import annotations

import errno
import os
import shlex
from typing import TYPE_CHECKING

from crawlerd.core.errors import FrontierError, FrontierUnusable, StorageFailed
from crawlerd.files.owners import nearest, owned, user

if TYPE_CHECKING:
    from pathlib import Path


def require(path: Path) -> None:
    """Raises FrontierUnusable when a file or directory exists that this user, or any user, may not write."""
    if path.exists() and not os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0), effective_ids=True):
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
        raise refused(path, OSError(errno.EROFS if read_only else errno.EACCES, ""))


def require_own(state_dir: Path) -> None:
    """Raises FrontierUnusable for root in the state directory of another user, who could not use files made by root."""
    owner = state_dir.stat().st_uid
    if owner != os.geteuid() == 0:
        raise FrontierUnusable(
            f"{state_dir} belongs to {user(owner)}, who could not use the files that root makes there: run crawlerd as "
            f"that user (`setpriv --reuid {owner} --clear-groups crawlerd …`, or its service), "
            f"or give the directory to root (`chown -R root {state_dir}`)"
        )


def refused(path: Path, error: OSError, *, reading: bool = False, missing: bool = False) -> FrontierError:
    """The error to raise when the system refuses a file or directory, with a way to fix it.

    reading: for a command that only reads.
    missing: the path is a state directory that could not be made. The directories above it may belong to the system, so
        the message does not advise to change their owner.
    """
    kind = FrontierError if reading else FrontierUnusable
    doing = f"cannot {'read' if reading else 'use'} {path}"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return StorageFailed(f"{doing}: {os.strerror(error.errno)}", full=True)
        case errno.EIO:
            return StorageFailed(f"{doing}: {os.strerror(error.errno)}", full=False)
        case errno.ENOTDIR | errno.EEXIST:
            return kind(f"{doing}: {_in_the_way(path)}; move it away, or name another state_dir")
        case errno.EROFS:
            return kind(
                f"{doing}: {owned(nearest(path))}, and it is on a file system that is read-only here; "
                "mount it writable (in a systemd unit: StateDirectory= or ReadWritePaths=), or name another state_dir"
            )
        case errno.EACCES | errno.EPERM:
            there = nearest(path)
            if reading:
                cure = "run this as that user or as root"
            elif missing and not os.access(there, os.X_OK, effective_ids=True):
                cure = "let this user into that directory, or name another state_dir"
            elif missing:
                made = f"install -d -m 0700 -o {os.geteuid()} {shlex.quote(str(path))}"
                cure = f"make the directory as root (`{made}`), or name another state_dir"
            else:
                whole = shlex.quote(str(there if there.is_dir() else there.parent))
                cure = f"run crawlerd as the user that owns it, or give it away: `chown -R {os.geteuid()} {whole}`"
            return kind(f"{doing}: {owned(there)}, and this is {user(os.geteuid())}; {cure}")
        case errno.ELOOP if not _leads_somewhere(path.parent):
            return kind(f"{doing}: {_in_the_way(path)}; remove it, or name another state_dir")
        case errno.ELOOP:
            return kind(
                f"{doing}: it is a symbolic link, which is not followed; put the file there, or remove the link"
            )
        case errno.EINVAL | errno.EMLINK:
            return kind(f"{doing}: {error.strerror}; remove it, or name another state_dir")
        case errno.EMFILE | errno.ENFILE | errno.ENOMEM | errno.EINTR | errno.EAGAIN | errno.ESTALE | errno.ETIMEDOUT:
            return FrontierError(f"{doing}: {error.strerror}")  # another try may succeed
        case _:
            return kind(f"{doing}: {error.strerror or error}; name another state_dir")


def _in_the_way(path: Path) -> str:
    """Describes the part of the path that should be a directory but is not."""
    for each in (*reversed(path.parents), path):
        if os.path.lexists(each) and not each.is_dir():
            what = "is a symbolic link that does not lead to a directory" if each.is_symlink() else "is not a directory"
            return f"{each} {what}"
    return f"{path} is not a directory"


def _leads_somewhere(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return error.errno != errno.ELOOP
    return True
