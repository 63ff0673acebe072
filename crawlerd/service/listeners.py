"""The daemon's HTTP listeners: /metrics, /healthz and /readyz over TCP; over its socket the same, and commands."""

from __future__ import annotations

import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawlerd.core.errors import FrontierError
from crawlerd.core.notation import UNIX, is_loopback
from crawlerd.service import control
from crawlerd.service.health import health, readiness
from crawlerd.service.hosts import is_known, own_names
from crawlerd.service.metrics import exposition

if TYPE_CHECKING:
    from crawlerd.core.account import Daemon
    from crawlerd.engine.engine import Engine

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS
    server_version = "crawlerd"
    sys_version = ""

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        server = self.server
        if not server.private and not is_known(self.headers.get_all("Host", []), server.names, remote=server.remote):
            self._answer(421, b"this is not the host that you have asked for\n")
            return False
        return True

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
        if not self.server.commands or self.path != control.RETRY:
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
    private = False  # it is a socket in the file system
    commands = False  # it takes those as well
    names: frozenset[str] = frozenset()  # that it may be asked for by
    remote = False  # other machines may ask
    engine: Engine

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("a request to the daemon failed: %r", request)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _SocketServer(_Server):
    address_family = socket.AF_UNIX
    private = True

    def __init__(self, place: control.Place) -> None:
        self._place, self._bound = place, False
        super().__init__(str(place.path), _Handler)  # type: ignore[arg-type] # a path is an address

    def server_bind(self) -> None:
        control.bind(self.socket, *self._place)
        self._bound = True
        self.server_name, self.server_port = "crawlerd", 0

    def server_close(self) -> None:
        super().server_close()
        if self._bound:
            self._place.path.unlink(missing_ok=True)


class Listeners:
    """Both servers, each on a thread. FrontierError when an address cannot be bound."""

    address: str  # where metrics are: an address of HTTP, or a path

    def __init__(self, engine: Engine) -> None:
        daemon = engine.settings.daemon
        self._servers: list[_Server] = []
        try:
            self._servers.append(self._metrics(daemon))
            place = control.place(daemon.state_dir, daemon.socket)
            try:
                commands = _SocketServer(place)
            except OSError as error:
                raise FrontierError(f"cannot make the socket {place.path}: {error.strerror}") from None
            commands.commands = True
            self._servers.append(commands)
        except FrontierError:
            for server in self._servers:
                server.server_close()
            raise
        for server in self._servers:
            server.engine = engine
            threading.Thread(target=server.serve_forever, name="http", args=(0.1,), daemon=True).start()

    def _metrics(self, daemon: Daemon) -> _Server:
        where, port = daemon.listen
        if port == UNIX:
            try:
                found: _Server = _SocketServer(control.Place(Path(where), control.OF_GROUP))
            except OSError as error:
                raise FrontierError(f"cannot listen on {where}: {error.strerror}") from None
            self.address = f"unix:{where}"
            return found
        host = f"[{where}]" if ":" in where else where
        try:
            found = (_Server6 if ":" in where else _Server)(daemon.listen, _Handler)
        except OSError as error:
            raise FrontierError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        found.names = frozenset(own_names(where, daemon.hosts)) if daemon.allow_remote else frozenset({where.lower()})
        found.remote = daemon.allow_remote
        self.address = f"http://{host}:{found.server_port}"
        if not is_loopback(where):
            log.warning(
                "allow_remote: whoever reaches %s may read /metrics, /healthz and /readyz, without a password and in "
                "clear; nothing else is open there",
                self.address,
            )
        return found

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
