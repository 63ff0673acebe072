"""The daemon's socket: how our own commands ask something of it, and how it answers them."""

from __future__ import annotations

import json
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from crawlerd.core.errors import CrawlerdError, FrontierError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.engine.engine import Engine

SOCKET_NAME = "crawlerd.sock"
ANSWER_SECONDS = 10.0  # that a command waits for the daemon
BODY_BYTES = 1 << 20
RETRY = "/dead/retry"


class Answer(NamedTuple):
    """An HTTP status, and a body in JSON."""

    status: int
    body: bytes


@contextmanager
def socket_address(state_dir: Path) -> Iterator[str]:
    """Where the socket is, by way of its directory's descriptor: a path of 108 bytes or more is no address."""
    directory = os.open(state_dir, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET_NAME}"
    finally:
        os.close(directory)


# the command


def ask_daemon(state_dir: Path, numbers: list[int]) -> int:
    """Asks the daemon that owns the state directory to retry dead letters. Returns how many there were."""
    body = msgspec.json.encode(numbers)
    try:
        answer = _ask(state_dir, f"POST {RETRY} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    except OSError as error:
        raise FrontierError(
            f"a crawlerd is using {state_dir} but does not answer ({error}): stop it, then retry"
        ) from None
    result = json.loads(answer.partition(b"\r\n\r\n")[2])
    if "error" in result:
        raise FrontierError(result["error"])
    return int(result["retried"])


def ask_trouble(state_dir: Path) -> str | None:
    """What holds up the imports of the daemon that uses the state directory; None when nothing does."""
    try:
        head, _, body = _ask(state_dir, b"GET /readyz HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    except OSError:
        return None
    return body.decode(errors="replace").strip() if b" 503 " in head.split(b"\r\n")[0] else None


def _ask(state_dir: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        with socket_address(state_dir) as address:
            connection.connect(address)
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# the daemon


def bind(listener: socket.socket, address: str) -> None:
    """Creates the socket's file for this user alone: whoever may open it may retry dead letters."""
    mask = os.umask(0o177)
    try:
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
