"""The daemon's door: /metrics, /healthz and /readyz over TCP, the same and more over a socket for our own commands."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.errors import CrawlerdError, FrontierError
from crawlerd.frontier import open_reader
from crawlerd.service.metrics import exposition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.reports import Status

log = logging.getLogger(__name__)

SOCKET_NAME = "crawlerd.sock"
STALE_SECONDS = 30.0  # a core loop without progress for so long is stuck
REQUEST_SECONDS = 10.0
BODY_BYTES = 1 << 20


def health(engine: Engine) -> str | None:
    """Why the daemon is not alive; None when it is."""
    if engine.failure is not None:
        return f"stopped by {type(engine.failure).__name__}: {engine.failure}"
    now = time.monotonic()
    for name, part in (("dispatcher", engine.dispatcher), ("store", engine.store)):
        if now - part.progress_at > STALE_SECONDS:
            return f"the {name} has made no progress for {now - part.progress_at:.0f} s"
    return None


def readiness(engine: Engine) -> str | None:
    """Why the daemon cannot import at the moment; None when it can."""
    return health(engine) or engine.trouble


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS
    server_version = "crawlerd"
    sys_version = ""

    def do_GET(self) -> None:
        engine = self.server.engine
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(200, exposition(engine), "text/plain; version=1.0.0; charset=utf-8")
            case "/healthz":
                self._judge(health(engine))
            case "/readyz":
                self._judge(readiness(engine))
            case _:
                self._answer(404, b"try /metrics, /healthz or /readyz\n")

    def do_POST(self) -> None:
        if not self.server.private or self.path != "/dead/retry":
            self._answer(404, b"nothing here\n")
            return
        length = int(self.headers.get("Content-Length", "0"))
        if length > BODY_BYTES:
            self._answer(413, b"too many at once\n")
            return
        try:
            count = self.server.engine.retry_dead(msgspec.json.decode(self.rfile.read(length), type=list[int]))
        except (CrawlerdError, msgspec.DecodeError) as error:
            self._answer(500, json.dumps({"error": str(error)}).encode(), "application/json")
        else:
            self._answer(200, json.dumps({"retried": count}).encode(), "application/json")

    def _judge(self, problem: str | None) -> None:
        self._answer(503 if problem else 200, f"{problem or 'ok'}\n".encode())

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "local" if self.server.private else super().address_string()

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    private = False
    engine: Engine

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("a request to the admin server failed: %r", request)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _SocketServer(_Server):
    address_family = socket.AF_UNIX
    private = True

    def server_bind(self) -> None:
        mask = os.umask(0o177)  # whoever may open it may retry dead letters
        try:
            self.socket.bind(self.server_address)
        finally:
            os.umask(mask)
        self.server_name, self.server_port = "crawlerd", 0


class Admin:
    """Both servers, each on a thread. address: where TCP listens. FrontierError when an address cannot be bound."""

    def __init__(self, engine: Engine, listen: tuple[str, int]) -> None:
        state_dir = engine.settings.daemon.state_dir
        self._path = state_dir / SOCKET_NAME
        self._path.unlink(missing_ok=True)  # left by a crash: the lock says that nobody else uses it
        host = f"[{listen[0]}]" if ":" in listen[0] else listen[0]
        try:
            tcp = (_Server6 if ":" in listen[0] else _Server)(listen, _Handler)
        except OSError as error:
            raise FrontierError(f"cannot listen on {host}:{listen[1]}: {error.strerror}") from None
        self.address = f"{host}:{tcp.server_port}"
        with _socket_address(state_dir) as address:
            self._servers = [tcp, _SocketServer(address, _Handler)]  # type: ignore[arg-type] # a path is an address
        for server in self._servers:
            server.engine = engine
            threading.Thread(target=server.serve_forever, name="admin", args=(0.1,), daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._path.unlink(missing_ok=True)


@contextmanager
def _socket_address(state_dir: Path) -> Iterator[str]:
    """Where the socket is, by way of its directory's descriptor: a path of 108 bytes or more is no address."""
    directory = os.open(state_dir, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET_NAME}"
    finally:
        os.close(directory)


def ask_daemon(state_dir: Path, numbers: list[int]) -> int:
    """Asks the daemon that owns the state directory to retry dead letters; how many there were."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(REQUEST_SECONDS)
        try:
            with _socket_address(state_dir) as address:
                connection.connect(address)
            body = msgspec.json.encode(numbers)
            connection.sendall(
                b"POST /dead/retry HTTP/1.0\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
            )
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError as error:
            raise FrontierError(
                f"a crawlerd is using {state_dir} but does not answer ({error}): stop it, then retry"
            ) from None
    result = json.loads(answer.partition(b"\r\n\r\n")[2])
    if "error" in result:
        raise FrontierError(result["error"])
    return int(result["retried"])


def read_status(state_dir: Path) -> Status | None:
    """The state of the frontier, whether a daemon runs or not; None when there is none yet."""
    reader = open_reader(state_dir)
    if reader is None:
        return None
    try:
        return reader.status()
    finally:
        reader.close()
