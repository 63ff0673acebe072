"""The daemon's socket: how our own commands ask something of it, and how it answers them."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import struct
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args
from urllib.parse import quote, unquote

import msgspec

from crawlerd.core.errors import CrawlerdError, FrontierError
from crawlerd.core.reasons import Subject
from crawlerd.frontier import open_reader
from crawlerd.frontier.lock import lock_holder
from crawlerd.operations.why import Unknown, Why, why

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.engine.engine import Engine

log = logging.getLogger(__name__)

SOCKET_NAME = "crawlerd.sock"  # in the state directory
UNIT_SOCKET = Path("/run/crawlerd/socket")  # of the shipped unit, whose RuntimeDirectory= says where
ANSWER_SECONDS = 10.0  # that a command waits for the daemon
NO_ANSWER = "the daemon does not answer: it hangs, or the machine is overloaded; see its log, and restart it"
BODY_BYTES = 1 << 20
RETRY = "/dead/retry"
WHY = "/api/v1/why/"  # {import|account|run|task}/{name}
OWN, OF_GROUP = 0o600, 0o660  # rights of the socket: whoever may open it may retry dead letters


class Answer(NamedTuple):
    """An HTTP status, and a body in JSON."""

    status: int
    body: bytes


class Problem(msgspec.Struct, frozen=True):
    """An error, as RFC 9457 has it."""

    status: int
    title: str
    detail: str
    type: str = "about:blank"


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


def ask_daemon(state_dir: Path, numbers: list[int], configured: Path | None = None) -> int:
    """Asks the daemon that owns the state directory to retry dead letters. Returns how many there were.

    configured: the path of its socket, if the configuration says.
    """
    body = msgspec.json.encode(numbers)
    request = f"POST {RETRY} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    try:
        answer = _ask(state_dir, configured, request)
    except OSError as error:
        raise FrontierError(
            f"a crawlerd is using {state_dir} but does not answer ({error}): stop it, then retry"
        ) from None
    result = json.loads(answer.partition(b"\r\n\r\n")[2])
    if "error" in result:
        raise FrontierError(result["error"])
    return int(result["retried"])


def ask_trouble(state_dir: Path, configured: Path | None = None) -> str | None:
    """What holds up the imports of the daemon that uses the state directory; None when nothing does.

    configured: as of `ask_daemon`.
    """
    try:
        head, _, body = _ask(state_dir, configured, b"GET /readyz HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    except TimeoutError:
        return NO_ANSWER
    except OSError:
        return None
    return body.decode(errors="replace").strip() if b" 503 " in head.split(b"\r\n")[0] else None


def ask_why(state_dir: Path, subject: Subject, name: str, configured: Path | None = None) -> Why | None:
    """What the daemon that uses the state directory says; None when it cannot be asked, as a foreground import cannot.
    Unknown for what it does not know, FrontierError when it cannot say.

    configured: as of `ask_daemon`.
    """
    request = f"GET {WHY}{subject}/{quote(name, safe='')} HTTP/1.0\r\n\r\n".encode()
    try:
        head, _, body = _ask(state_dir, configured, request).partition(b"\r\n\r\n")
    except TimeoutError:
        raise FrontierError(NO_ANSWER) from None
    except OSError:
        return None
    try:
        if b" 200 " in head.split(b"\r\n")[0]:
            return msgspec.json.decode(body, type=Why)
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        raise FrontierError("the daemon's answer cannot be read: it is of another version; restart it") from None
    raise Unknown(problem.detail) if problem.status == 404 else FrontierError(problem.detail)


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


def answer(engine: Engine, body: bytes) -> Answer:
    """Does what `ask_daemon` asks for."""
    try:
        count = engine.runs.retry_dead(msgspec.json.decode(body, type=list[int]))
    except (CrawlerdError, msgspec.DecodeError) as error:
        return Answer(500, json.dumps({"error": str(error)}).encode())
    return Answer(200, json.dumps({"retried": count}).encode())


def explained(engine: Engine, path: str) -> Answer:
    """Does what `ask_why` asks for. path: without the query."""
    subject, _, name = path.removeprefix(WHY).partition("/")
    if subject not in get_args(Subject) or not name:
        return _problem(404, "Not Found", f"ask for {WHY}import/NAME, account/NAME, run/ID or task/ID")
    reader = open_reader(engine.settings.daemon.state_dir)
    try:
        if reader is None:
            return _problem(404, "Not Found", "nothing has been imported yet")
        told = why(reader, engine, subject, unquote(name), time.time())  # type: ignore[arg-type] # see above
    except Unknown as error:
        return _problem(404, "Not Found", str(error))
    except TimeoutError:
        return _problem(503, "Service Unavailable", "the dispatcher does not answer")
    except CrawlerdError as error:
        return _problem(503, "Service Unavailable", str(error))
    except Exception as error:
        log.exception("cannot say why %s %s waits", subject, name)
        return _problem(500, "Internal Server Error", f"{type(error).__name__}: {error}; the daemon's log says more")
    finally:
        if reader:
            reader.close()
    return Answer(200, msgspec.json.encode(told))


def _problem(status: int, title: str, detail: str) -> Answer:
    return Answer(status, msgspec.json.encode(Problem(status, title, detail)))
