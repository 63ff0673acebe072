"""Resolves secrets: from the environment, a file, a credential of systemd, or the output of a command."""

from __future__ import annotations

import errno
import os
import re
import select
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from crawlerd.files.bounded_reading import read_with_mode

COMMAND_SECONDS = 30.0  # seconds that a command has
KEY_BYTES = 64 * 1024  # of a file with a key, and of a command's output
KEY = re.compile("[!-~]+")

Place = Literal["env", "file", "credential"]


def resolve(place: Place, name: str, folder: Path) -> str:
    """The secret itself, without a line break at its end.

    Raises ValueError with what is wrong. The message does not quote a secret, even if it was put in the wrong place.

    folder: where relative paths of files start.
    """
    if place == "env":
        what, secret = f"the environment variable {name}", os.environ.get(name)
        if secret is None:
            raise ValueError(f"{what} is not set")
    else:
        what, secret = f"the {place}", _read(place, name, folder)[0]
    return _alone(what, secret)


def printed(command: tuple[str, ...], folder: Path) -> str:
    """The secret that a command prints. The command is started without a shell, in `folder`, with this process's
    environment.

    Raises ValueError with what is wrong. The message quotes only the program's name: the command's output and its
    arguments may be secrets.
    """
    what = f"the command {command[0]}"
    try:
        process = subprocess.Popen(  # noqa: S603 - as the configuration says
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"{what} cannot be started: {getattr(error, 'strerror', None) or 'no such name'}") from None
    with process:
        try:
            said = _said(process)
            code = process.wait(COMMAND_SECONDS) if len(said) <= KEY_BYTES else 0
        except subprocess.TimeoutExpired:
            raise ValueError(f"{what} did not end within {COMMAND_SECONDS:g} s; it was killed") from None
        finally:
            process.kill()
    if len(said) > KEY_BYTES:
        raise ValueError(f"{what} prints more than a key")
    if code:
        raise ValueError(f"{what} ended with {code}; run it by hand, as this user, to see why")
    return _alone(f"the output of {what}", said.decode("latin-1"))


def _said(process: subprocess.Popen[bytes]) -> bytes:
    """The output of a command until it ends, even if it leaves other processes running; if it does not end, at most a
    little more than KEY_BYTES. Raises subprocess.TimeoutExpired if it takes too long."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    pipe, until = process.stdout.fileno(), time.monotonic() + COMMAND_SECONDS
    os.set_blocking(pipe, False)
    end, said = os.pidfd_open(process.pid), bytearray()
    try:
        ready = select.poll()
        ready.register(pipe, select.POLLIN)
        ready.register(end, select.POLLIN)
        while len(said) <= KEY_BYTES:
            found = dict(ready.poll(max(0.0, until - time.monotonic()) * 1000))
            if not found:
                raise subprocess.TimeoutExpired(process.args, COMMAND_SECONDS)
            with suppress(BlockingIOError):
                while len(said) <= KEY_BYTES:
                    data = os.read(pipe, KEY_BYTES)
                    if not data:  # nobody else has the pipe open
                        return bytes(said)
                    said += data
            if end in found:
                break
        return bytes(said)
    finally:
        os.close(end)


def of_file(name: str, folder: Path) -> tuple[str, str | None]:
    """Like `resolve` for a file. The second value is a warning if every user of the machine can read or change the
    file, otherwise None."""
    found, mode = _read("file", name, folder)
    return _alone("the file", found), _open_to_all(folder / name, mode) if mode & 0o006 else None


def _open_to_all(path: Path, mode: int) -> str:
    return f"every user of this machine can {'read' if mode & 0o004 else 'change'} the key in {path}: chmod o= {path}"


def _alone(what: str, secret: str) -> str:
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError(f"{what} is empty")
    if not KEY.fullmatch(secret):
        raise ValueError(f"{what} must contain only the key, on one line, without spaces, in ASCII")
    return secret


def _read(place: Literal["file", "credential"], name: str, folder: Path) -> tuple[str, int]:
    """The content and the permissions."""
    if place == "credential":
        folder = Path(os.environ.get("CREDENTIALS_DIRECTORY", ""))
        if not folder.is_absolute():
            raise ValueError(
                "credentials are only available under systemd ($CREDENTIALS_DIRECTORY is not set); "
                "use { env = … } or { file = … }"
            )
    try:
        found, mode = read_with_mode(os.path.join(folder, name), KEY_BYTES)
        return found.decode("latin-1"), mode  # any bytes: the caller refuses what is not a key
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise ValueError(f"{folder / name} cannot be read by user id {os.getuid()}: {error.strerror}") from None
    # The path is not quoted: it could be the key itself, written in the wrong place.
    hint = "relative paths start at" if place == "file" else "LoadCredential=NAME:PATH in the unit puts it into"
    raise ValueError(f"there is no such {place}; {hint} {folder}")
