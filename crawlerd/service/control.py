"""The daemon's socket: where it is, and how commands send requests to it."""

from __future__ import annotations

import os
import pwd
import re
import socket
import stat
import struct
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from uuid import uuid4

import msgspec

from crawlerd.core.errors import DaemonUnavailable, FrontierError
from crawlerd.frontier.lock import lock_holder
from crawlerd.operations.problem import DaemonRefused, Problem, ProblemCode, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

SOCKET_NAME = "crawlerd.sock"  # its name in the state directory
# its name in the RuntimeDirectory= of the shipped units; that directory has the same name as the StateDirectory=
UNIT_SOCKET = "socket"
# where systemd puts these directories
STATE_ROOTS, RUNTIME_ROOT = (Path("/var/lib/private"), Path("/var/lib")), Path("/run")
USER_HEADER = "Crawlerd-User"
USER_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}"
OVERFLOW_UID = 65534  # the user id that the kernel shows for a user unknown to a namespace
STARTING_SECONDS = 2.0  # a daemon listens within this time after it has the lock
ANSWER_SECONDS = 10.0  # how long a command waits for the daemon's answer
RETRY_SECONDS = 5.0  # how long a command waits for another daemon if the first has ended during its request
BROKEN = "the daemon ended before it answered, and is not running; `crawlerd audit` and `runs` show whether it was done"
NO_ANSWER = "the daemon does not answer: it hangs, or the machine is overloaded; see its log, and restart it"
ROOT = "/api/v1/"
OWN, OF_GROUP = 0o600, 0o660  # permissions of the socket: whoever may open it may retry dead letters


class Place(NamedTuple):
    """Where the socket is, and its permissions."""

    path: Path
    mode: int


def place(state_dir: Path, configured: Path | None) -> Place:
    """The place of the socket. By default, it is in the state directory, and only this user may open it. If the
    configuration or the unit gives another path, the daemon's group may open it too, if the directory permits that."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    path = configured or (Path(runtime) / UNIT_SOCKET if runtime else None)
    if path is None or path.parent.absolute() == state_dir.absolute():
        return Place(path or state_dir / SOCKET_NAME, OWN)
    return Place(path, OF_GROUP)


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """An address for the socket that goes through its directory's descriptor, since the kernel accepts no path of 108
    bytes or more."""
    directory = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


# the command


class _Broken(OSError):
    """The connection ended before the whole answer had arrived."""


class Asked(NamedTuple):
    """The daemon that uses a state directory, to send requests to.

    state_dir: the state directory.
    configured: the path of its socket, if the configuration gives one.
    """

    state_dir: Path
    configured: Path | None = None


def ask(daemon: Asked, method: str, path: str, answer: type[T], body: object = None) -> T | None:
    """Sends a request to the daemon. Returns its answer; None if no daemon takes requests, as during an import in the
    foreground.

    Raises Unknown if the resource does not exist, and FrontierError if the daemon cannot answer.

    path: below `ROOT`, quoted, with its query.
    body: becomes JSON.
    """
    try:
        return _answer(daemon, method, path, answer, body)
    except OSError:
        return None


def must_ask(
    daemon: Asked, method: str, path: str, answer: type[T], body: object = None, *, seconds: float = ANSWER_SECONDS
) -> T:
    """Like `ask`, but the daemon must be running: raises DaemonUnavailable if it takes no requests.

    seconds: how long to wait for the answer.
    """
    until = time.monotonic() + STARTING_SECONDS
    while True:
        try:
            return _answer(daemon, method, path, answer, body, seconds)
        except OSError as error:
            problem = error
        if time.monotonic() < until:
            time.sleep(0.05)  # a starting daemon does not signal that it listens
            continue
        raise DaemonUnavailable(
            f"a crawlerd is using {daemon.state_dir} but takes no commands ({problem}): it may be an import in "
            "the foreground; wait for its end, or stop it, then try again"
        ) from None


def _answer(daemon: Asked, method: str, path: str, answer: type[T], body: object, seconds: float = ANSWER_SECONDS) -> T:
    data = b"" if body is None else msgspec.json.encode(body)
    lines = [f"{method} {ROOT}{path} HTTP/1.0", "Content-Type: application/json", f"Content-Length: {len(data)}"]
    lines.append(f"{USER_HEADER}: {user_name(os.getuid())}")
    if method != "GET":
        lines.append(f"Idempotency-Key: {uuid4()}")
    try:
        head, found = _ask_again(daemon, "\r\n".join([*lines, "", ""]).encode() + data, seconds)
    except TimeoutError:
        raise DaemonUnavailable(NO_ANSWER) from None
    try:
        if head.split(b"\r\n")[0].split()[1:2] in ([b"200"], [b"202"]):
            return msgspec.json.decode(found, type=answer)
        problem = msgspec.json.decode(found, type=Problem)
    except msgspec.DecodeError:
        raise FrontierError("the daemon's answer cannot be read: the daemon has another version; restart it") from None
    if problem.code is ProblemCode.NOT_FOUND:
        raise Unknown(problem.detail)
    raise DaemonUnavailable(problem.detail) if problem.code is ProblemCode.NO_ANSWER else DaemonRefused(problem)


def ask_trouble(state_dir: Path, configured: Path | None = None) -> str | None:
    """What holds up the imports of the daemon that uses the state directory; None if nothing does.

    configured: as in `Asked`.
    """
    try:
        head, _, body = _ask(state_dir, configured, b"GET /readyz HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    except TimeoutError:
        return NO_ANSWER
    except OSError:
        return None
    return body.decode(errors="replace").strip() if b" 503 " in head.split(b"\r\n")[0] else None


def peer_name(connection: socket.socket, said: str | None = None) -> str:
    """The name of the user at the other end of a Unix socket.

    said: the user's name according to the command. It is used if the daemon runs in a namespace of users
        (PrivateUsers=): there, the kernel does not say who the user is, only that the group may open the socket.
    """
    _, uid = _peer(connection)
    if uid == OVERFLOW_UID and said and re.fullmatch(USER_NAME, said) and _users_are_hidden():
        return said
    return user_name(uid)


def peer_user(connection: socket.socket) -> int:
    """The user id at the other end of a Unix socket."""
    return _peer(connection)[1]


def _peer(connection: socket.socket) -> tuple[int, int]:
    """The process id and the user id."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", packed)
    return pid, uid


def _users_are_hidden() -> bool:
    """Whether this process is in a namespace that lacks some users."""
    with suppress(OSError, ValueError):
        ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
        return not any(int(first) <= OVERFLOW_UID < int(first) + int(count) for first, _, count in ranges)
    return False


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _ask_again(daemon: Asked, request: bytes, seconds: float) -> tuple[bytes, bytes]:
    """Head and body of the answer. If the connection breaks, the request is sent once more; its key makes sure that it
    is done only once. Raises DaemonUnavailable if that fails too."""
    try:
        return _whole(_ask(*daemon, request, seconds))
    except _Broken:
        until = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return _whole(_ask(*daemon, request, seconds))
        except TimeoutError:
            raise
        except _Broken:
            raise DaemonUnavailable(BROKEN) from None
        except OSError:  # it does not listen again yet
            if time.monotonic() > until:
                raise DaemonUnavailable(BROKEN) from None
            time.sleep(0.05)  # another process does not signal that it listens


def _whole(answer: bytes) -> tuple[bytes, bytes]:
    """Splits an answer into head and body."""
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    if not end or (length and len(body) < int(length[1])):
        raise _Broken("the answer is cut off")
    return head, body


def _ask(state_dir: Path, configured: Path | None, request: bytes, seconds: float = ANSWER_SECONDS) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        _connect(connection, state_dir, configured)
        try:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError as error:
            raise _Broken(str(error)) from None


def _connect(connection: socket.socket, state_dir: Path, configured: Path | None) -> int:
    """Connects to the socket of the daemon that owns the state directory, and to no other. Returns its process id."""
    paths = [configured] if configured else [state_dir / SOCKET_NAME, *_of_the_unit(state_dir)]
    there = [path for path in paths if _is_there(path)] or paths[:1]
    with socket_address(there[0]) as address:
        connection.connect(address)
    pid, uid = _peer(connection)
    known = _is_own(there[0].parent, uid) if is_hidden(state_dir) else pid in (lock_holder(state_dir), 0)
    if not known:
        raise OSError(f"{there[0]} is another program's socket")
    return pid


def _of_the_unit(state_dir: Path) -> list[Path]:
    """Where systemd puts the socket for a unit's state directory; empty if the directory is not one that systemd
    makes."""
    for root in STATE_ROOTS:
        if state_dir.is_relative_to(root) and state_dir != root:
            return [RUNTIME_ROOT / state_dir.relative_to(root) / UNIT_SOCKET]
    return []


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # inside a directory of another user
        return False


def _is_own(folder: Path, uid: int) -> bool:
    """Whether only one user, or root, can have put a socket into a directory."""
    facts = folder.stat()
    return facts.st_uid in (uid, 0) and not facts.st_mode & 0o022


def is_hidden(state_dir: Path) -> bool:
    """Whether this user may not see who uses a state directory. Members of the daemon's group may not; they ask the
    daemon."""
    try:
        os.close(os.open(state_dir / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def holder(daemon: Asked) -> int | None:
    """The process id of the crawlerd that uses the state directory; None if there is none. If that is hidden from this
    user, only a daemon is found."""
    if not is_hidden(daemon.state_dir):
        return lock_holder(daemon.state_dir)
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.settimeout(ANSWER_SECONDS)
        return _connect(connection, *daemon)
    return None


# the daemon


def bind(listener: socket.socket, path: Path, mode: int) -> None:
    """Creates the socket's file with these permissions. A socket that a crash has left is replaced; any other file is
    not."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(0, "the file exists already and is not a socket")
        path.unlink()
    mask = os.umask(0o777 & ~mode)
    try:
        with socket_address(path) as address:
            listener.bind(address)
    finally:
        os.umask(mask)
