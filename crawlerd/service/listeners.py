"""The daemon's HTTP listeners: /metrics, /healthz and /readyz over TCP; over its socket the same, and commands."""

from __future__ import annotations

import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from crawlerd.core.errors import FrontierError
from crawlerd.service import control
from crawlerd.service.health import health, readiness
from crawlerd.service.metrics import exposition

if TYPE_CHECKING:
    from crawlerd.engine.engine import Engine

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0


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
        if not self.server.private or self.path != control.RETRY:
            self._answer(404, b"nothing here\n")
            return
        length = int(self.headers.get("Content-Length", "0"))
        if length > control.BODY_BYTES:
            self._answer(413, b"too many at once\n")
            return
        self._answer(*control.answer(self.server.engine, self.rfile.read(length)), "application/json")

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
        log.debug("a request to the daemon failed: %r", request)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _SocketServer(_Server):
    address_family = socket.AF_UNIX
    private = True

    def server_bind(self) -> None:
        control.bind(self.socket, str(self.server_address))
        self.server_name, self.server_port = "crawlerd", 0


class Listeners:
    """Both servers, each on a thread. FrontierError when an address cannot be bound."""

    address: str  # where TCP listens

    def __init__(self, engine: Engine, listen: tuple[str, int]) -> None:
        state_dir = engine.settings.daemon.state_dir
        self._path = state_dir / control.SOCKET_NAME
        self._path.unlink(missing_ok=True)  # left by a crash: the lock says that nobody else uses it
        host = f"[{listen[0]}]" if ":" in listen[0] else listen[0]
        try:
            tcp = (_Server6 if ":" in listen[0] else _Server)(listen, _Handler)
        except OSError as error:
            raise FrontierError(f"cannot listen on {host}:{listen[1]}: {error.strerror}") from None
        self.address = f"{host}:{tcp.server_port}"
        with control.socket_address(state_dir) as address:
            self._servers = [tcp, _SocketServer(address, _Handler)]  # type: ignore[arg-type] # a path is an address
        for server in self._servers:
            server.engine = engine
            threading.Thread(target=server.serve_forever, name="http", args=(0.1,), daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._path.unlink(missing_ok=True)
