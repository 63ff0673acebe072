"""The daemon's HTTP listeners: /metrics, /healthz and /readyz over TCP; over its socket the same, and commands."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
from typing import TYPE_CHECKING

from crawlerd.core.errors import ConfigurationError, CrawlerdError
from crawlerd.service import control
from crawlerd.service.bounded import BoundedHandler, BoundedServer
from crawlerd.service.health import health, readiness
from crawlerd.service.metrics import exposition

if TYPE_CHECKING:
    from crawlerd.engine.engine import Engine

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # between tries to listen on an address
PASSING = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


class _Handler(BoundedHandler):
    server: _Server

    def do_GET(self) -> None:  # noqa: N802 - the library calls it so
        engine = self.server.engine
        match self.path.partition("?")[0]:
            case "/metrics":
                try:
                    self.answer(200, exposition(engine), "text/plain; version=1.0.0; charset=utf-8")
                except CrawlerdError as error:
                    self._judge(str(error))
            case "/healthz":
                self._judge(health(engine))
            case "/readyz":
                self._judge(readiness(engine))
            case _:
                self._answer(404, b"try /metrics, /healthz or /readyz\n")

    def do_POST(self) -> None:  # noqa: N802
        if not self.server.private or self.path != control.RETRY:
            self._answer(404, b"nothing here\n")
            return
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length[:20]) > control.BODY_BYTES:
            self._answer(413, b"too many at once\n")
            return
        self.answer(*control.answer(self.server.engine, self.rfile.read(int(length))), "application/json")

    def _judge(self, problem: str | None) -> None:
        self._answer(503 if problem else 200, f"{problem or 'ok'}\n".encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.answer(status, body, "text/plain; charset=utf-8")

    def address_string(self) -> str:
        return "local" if self.server.private else super().address_string()


class _Server(BoundedServer):
    private = False
    engine: Engine


class _Server6(_Server):
    address_family = socket.AF_INET6


class _SocketServer(_Server):
    address_family = socket.AF_UNIX
    private = True

    def server_bind(self) -> None:
        control.bind(self.socket, str(self.server_address))
        self.server_name, self.server_port = "crawlerd", 0


class Listeners:
    """Both servers, each on a thread. ConfigurationError when the address can never be listened on; one that is taken,
    or not there yet, is tried again until it can be.

    described: where TCP listens, or will.
    """

    described: str

    def __init__(self, engine: Engine, listen: tuple[str, int]) -> None:
        state_dir = engine.settings.daemon.state_dir
        self._engine, self._listen = engine, listen
        self._host = f"[{listen[0]}]" if ":" in listen[0] else listen[0]
        self._closing = threading.Event()
        self._serving: list[tuple[threading.Thread, _Server]] = []
        self._path = state_dir / control.SOCKET_NAME
        self._path.unlink(missing_ok=True)  # left by a crash: the lock says that nobody else uses it
        self._later: threading.Thread | None = None
        try:
            tcp = self._bind()
        except OSError as error:
            address = f"{self._host}:{listen[1]}"
            if error.errno not in PASSING:
                raise ConfigurationError([f"daemon.listen: cannot listen on {address}: {error.strerror}"]) from None
            log.error("cannot listen on %s: %s; trying again until it can be done", address, error.strerror)
            self.described = f"not listening on {address} yet"
            self._later = threading.Thread(target=self._listen_later, name="listen", daemon=True)
        else:
            self.described = f"http://{self._host}:{tcp.server_port}/metrics"
            self._serve(tcp)
        with control.socket_address(state_dir) as address:
            self._serve(_SocketServer(address, _Handler))
        if self._later:
            self._later.start()

    def _bind(self) -> _Server:
        return (_Server6 if ":" in self._listen[0] else _Server)(self._listen, _Handler)

    def _listen_later(self) -> None:
        while not self._closing.wait(RETRY_SECONDS):
            with contextlib.suppress(OSError):
                tcp = self._bind()
                self._serve(tcp)
                log.warning("listening on http://%s:%d/metrics now", self._host, tcp.server_port)
                return

    def _serve(self, server: _Server) -> None:
        server.engine = self._engine
        thread = threading.Thread(target=server.serve_forever, name="http", args=(0.1,), daemon=True)
        thread.start()
        self._serving.append((thread, server))

    def close(self) -> None:
        self._closing.set()
        if self._later:
            self._later.join()
        for thread, server in self._serving:
            server.shutdown()
            thread.join()
            server.server_close()
        self._path.unlink(missing_ok=True)
