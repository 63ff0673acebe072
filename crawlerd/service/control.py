"""The daemon's socket: where it is, and how our own commands ask something of it."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import struct
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from crawlerd.core.errors import FrontierError
from crawlerd.frontier.lock import lock_holder
from crawlerd.operations.problem import Problem, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

SOCKET_NAME = "crawlerd.sock"  # in the state directory
UNIT_SOCKET = Path("/run/crawlerd/socket")  # of the shipped unit, whose RuntimeDirectory= says where
ANSWER_SECONDS = 10.0  # that a command waits for the daemon
NO_ANSWER = "the daemon does not answer: it hangs, or the machine is overloaded; see its log, and restart it"
ROOT = "/api/v1/"
OWN, OF_GROUP = 0o600, 0o660  # rights of the socket: whoever may open it may retry dead letters


class Place(NamedTuple):
    """Where the socket is, and its rights."""

    path: Path
    mode: int


def place(state_dir: Path, configured: Path | None) -> Place:
    """In the state directory for this user alone, unless the configuration or the unit says otherwise: then for the
    group of the daemon as well, within what the directory permits."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    path = configured or (Path(runtime) / UNIT_SOCKET.name if runtime else None)
    if path is None or path.parent.absolute() == state_dir.absolute():
        return Place(path or state_dir / SOCKET_NAME, OWN)
    return Place(path, OF_GROUP)


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """The address of a socket, by way of its directory's descriptor: a path of 108 bytes or more is none."""
    directory = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


# the command


class Asked(NamedTuple):
    """Who is asked: the daemon that uses the state directory. configured: the path of its socket, if the configuration
    says."""

    state_dir: Path
    configured: Path | None = None


def ask(daemon: Asked, method: str, path: str, answer: type[T], body: object = None) -> T | None:
    """What the daemon answers; None when it cannot be asked, as an import in the foreground cannot. Unknown for what is
    not there, FrontierError when it cannot say.

    path: below `ROOT`, quoted, with its query.
    body: becomes JSON.
    """
    try:
        return _answer(daemon, method, path, answer, body)
    except OSError:
        return None


def must_ask(daemon: Asked, method: str, path: str, answer: type[T], body: object = None) -> T:
    """The same of a daemon that must be there; FrontierError when it cannot be asked."""
    try:
        return _answer(daemon, method, path, answer, body)
    except OSError as error:
        raise FrontierError(
            f"a crawlerd is using {daemon.state_dir} but takes no commands ({error}): an import in the foreground does "
            "not; wait for its end, or stop it, then try again"
        ) from None


def _answer(daemon: Asked, method: str, path: str, answer: type[T], body: object) -> T:
    data = b"" if body is None else msgspec.json.encode(body)
    lines = [f"{method} {ROOT}{path} HTTP/1.0", "Content-Type: application/json", f"Content-Length: {len(data)}"]
    try:
        head, _, found = _ask(*daemon, "\r\n".join([*lines, "", ""]).encode() + data).partition(b"\r\n\r\n")
    except TimeoutError:
        raise FrontierError(NO_ANSWER) from None
    try:
        if b" 200 " in head.split(b"\r\n")[0]:
            return msgspec.json.decode(found, type=answer)
        problem = msgspec.json.decode(found, type=Problem)
    except msgspec.DecodeError:
        raise FrontierError("the daemon's answer cannot be read: it is of another version; restart it") from None
    raise Unknown(problem.detail) if problem.status == 404 else FrontierError(problem.detail)


def ask_trouble(state_dir: Path, configured: Path | None = None) -> str | None:
    """What holds up the imports of the daemon that uses the state directory; None when nothing does.

    configured: as of `Asked`.
    """
    try:
        head, _, body = _ask(state_dir, configured, b"GET /readyz HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    except TimeoutError:
        return NO_ANSWER
    except OSError:
        return None
    return body.decode(errors="replace").strip() if b" 503 " in head.split(b"\r\n")[0] else None


def peer_name(connection: socket.socket) -> str:
    """The name of the user at the other end of a Unix socket."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return user_name(struct.unpack("3i", packed)[1])


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _ask(state_dir: Path, configured: Path | None, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        _connect(connection, state_dir, configured)
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _connect(connection: socket.socket, state_dir: Path, configured: Path | None) -> None:
    """To the socket of the daemon that owns the state directory, and no other."""
    paths = [configured] if configured else [state_dir / SOCKET_NAME, UNIT_SOCKET]
    there = [path for path in paths if path.exists()] or paths[:1]
    with socket_address(there[0]) as address:
        connection.connect(address)
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    if struct.unpack("3i", packed)[0] not in (lock_holder(state_dir), 0):
        raise OSError(f"{there[0]} is another program's socket")


# the daemon


def bind(listener: socket.socket, path: Path, mode: int) -> None:
    """Creates the socket's file with these rights. One that a crash has left is replaced, and nothing else is."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(0, "it is there already, and no socket")
        path.unlink()
    mask = os.umask(0o777 & ~mode)
    try:
        with socket_address(path) as address:
            listener.bind(address)
    finally:
        os.umask(mask)
