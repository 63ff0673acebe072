"""How secrets are resolved: from the environment, a file, or a credential of systemd."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Literal

Place = Literal["env", "file", "credential"]


def resolve(place: Place, name: str, folder: Path) -> str:
    """The secret itself, without one line break at its end. folder: where relative paths of files start.

    Raises ValueError with what is wrong. Its text quotes no secret, also where one stands in the wrong place.
    """
    if place == "env":
        what, secret = f"the environment variable {name}", os.environ.get(name)
        if secret is None:
            raise ValueError(f"{what} is not set")
    else:
        what, secret = f"the {place}", _read(place, name, folder)
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError(f"{what} is empty")
    if not re.fullmatch("[!-~]+", secret):
        raise ValueError(f"{what} must hold the key alone, on one line, without spaces and in ASCII")
    return secret


def _read(place: Literal["file", "credential"], name: str, folder: Path) -> str:
    if place == "credential":
        folder = Path(os.environ.get("CREDENTIALS_DIRECTORY", ""))
        if not folder.is_absolute():
            raise ValueError(
                "only systemd gives credentials ($CREDENTIALS_DIRECTORY is not set); use { env = … } or { file = … }"
            )
    try:
        return (folder / name).read_bytes().decode("latin-1")  # any bytes: the caller refuses what is no key
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise ValueError(f"{folder / name} cannot be read by user id {os.getuid()}: {error.strerror}") from None
    # A path that does not exist is not quoted: it could be the key itself, written in the wrong place.
    hint = "relative paths start at" if place == "file" else "LoadCredential=NAME:PATH in the unit puts it into"
    raise ValueError(f"there is no such {place}; {hint} {folder}")
