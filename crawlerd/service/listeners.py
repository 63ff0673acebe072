"""The daemon's HTTP listeners: /metrics, /healthz and /readyz over TCP; over its socket the same, and commands."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from crawlerd.core.errors import ConfigurationError, CrawlerdError, FrontierError
from crawlerd.core.notation import UNIX, is_loopback
from crawlerd.service import control, resources
from crawlerd.service.bounded import BoundedHandler, BoundedServer
from crawlerd.service.health import health, readiness
from crawlerd.service.hosts import is_known, own_names
from crawlerd.service.metrics import exposition

if TYPE_CHECKING:
    from crawlerd.core.configuration import Daemon
    from crawlerd.engine.engine import Engine

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # between tries to listen on an address
PASSING = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


class _Handler(BoundedHandler):
    server: _Server

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        server = self.server
        if not server.private and not is_known(self.headers.get_all("Host", []), server.names, remote=server.remote):
            self._answer(421, b"this is not the host that you have asked for\n")
            return False
        return True

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
            case path if self.server.commands and path.startswith(control.ROOT):
                self._do(b"")
            case _:
                self._answer(404, b"try /metrics, /healthz or /readyz\n")

    def do_POST(self) -> None:  # noqa: N802
        if not self.server.commands or not self.path.startswith(control.ROOT):
            self._answer(404, b"nothing here\n")
            return
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or len(length) > len(str(resources.BODY_BYTES)) or int(length) > resources.BODY_BYTES:
            status, answer = resources.problem(413, "Content Too Large", "a body has 1 MiB at most")
            self.answer(status, answer, "application/problem+json")
            return
        self._do(self.rfile.read(int(length)))

    do_DELETE = do_POST  # noqa: N815 - the library calls it so

    def _do(self, body: bytes) -> None:
        by = control.peer_name(self.connection)
        status, answer = resources.answer(self.server.engine, self.command, self.path, body, by)
        self.answer(status, answer, "application/json" if status == 200 else "application/problem+json")

    def _judge(self, problem: str | None) -> None:
        self._answer(503 if problem else 200, f"{problem or 'ok'}\n".encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.answer(status, body, "text/plain; charset=utf-8")

    def address_string(self) -> str:
        return "local" if self.server.private else super().address_string()


class _Server(BoundedServer):
    private = False  # it is a socket in the file system
    commands = False  # it takes those as well
    names: frozenset[str] = frozenset()  # that it may be asked for by
    remote = False  # other machines may ask
    engine: Engine

    @property
    def url(self) -> str:
        """Where it listens, in words that a client takes for an address."""
        return f"http://{_address(str(self.server_address[0]), self.server_port)}"


class _Server6(_Server):
    address_family = socket.AF_INET6


class _SocketServer(_Server):
    address_family = socket.AF_UNIX
    private = True

    def __init__(self, place: control.Place) -> None:
        self._place, self._bound = place, False
        super().__init__(str(place.path), _Handler)

    @property
    def url(self) -> str:
        return _address(str(self._place.path), UNIX)

    def server_bind(self) -> None:
        control.bind(self.socket, *self._place)
        self._bound = True
        self.server_name, self.server_port = "crawlerd", 0

    def server_close(self) -> None:
        super().server_close()
        if self._bound:
            self._place.path.unlink(missing_ok=True)


class Listeners:
    """Both servers, each on a thread. ConfigurationError when the address can never be listened on; one that is taken,
    or not there yet, is tried again until it can be. FrontierError when there is no room for the socket of commands.

    described: where metrics are, or will be: an address of HTTP, or a path.
    """

    described: str

    def __init__(self, engine: Engine) -> None:
        self._engine, self._daemon = engine, engine.settings.daemon
        self._closing = threading.Event()
        self._serving: list[tuple[threading.Thread, _Server]] = []
        self._later: threading.Thread | None = None
        address = _address(*self._daemon.listen)
        try:
            metrics = self._bind()
        except OSError as error:
            if error.errno not in PASSING:
                raise ConfigurationError([f"daemon.listen: cannot listen on {address}: {error.strerror}"]) from None
            log.error("cannot listen on %s: %s; trying again until it can be done", address, error.strerror)
            self.described = f"not listening on {address} yet"
            self._later = threading.Thread(target=self._listen_later, name="listen", daemon=True)
        else:
            self._serve(metrics)
            self.described = f"{metrics.url}/metrics"
        try:
            self._serve(_commands(self._daemon))
        except BaseException:
            self.close()
            raise
        if self._later:
            self._later.start()

    def _bind(self) -> _Server:
        where, port = self._daemon.listen
        if port == UNIX:
            return _SocketServer(control.Place(Path(where), control.OF_GROUP))
        server = (_Server6 if ":" in where else _Server)((where, port), _Handler)
        server.remote = self._daemon.allow_remote
        names = own_names(where, self._daemon.hosts) if server.remote else {where.lower()}
        server.names = frozenset(names)
        if not is_loopback(where):
            log.warning(
                "allow_remote: whoever reaches %s may read /metrics, /healthz and /readyz, without a password and in "
                "clear; nothing else is open there",
                server.url,
            )
        return server

    def _listen_later(self) -> None:
        while not self._closing.wait(RETRY_SECONDS):
            with contextlib.suppress(OSError):
                metrics = self._bind()
                self._serve(metrics)
                log.warning("listening on %s/metrics now", metrics.url)
                return

    def _serve(self, server: _Server) -> None:
        server.engine = self._engine
        thread = threading.Thread(target=server.serve_forever, name="http", args=(0.1,), daemon=True)
        thread.start()
        self._serving.append((thread, server))

    def close(self) -> None:
        self._closing.set()
        if self._later and self._later.ident:
            self._later.join()
        for thread, server in self._serving:
            server.shutdown()
            thread.join()
            server.server_close()


def _commands(daemon: Daemon) -> _Server:
    place = control.place(daemon.state_dir, daemon.socket)
    try:
        server = _SocketServer(place)
    except OSError as error:
        problem = f"cannot make the socket {place.path}: {error.strerror}"
        if error.errno in (*PASSING, errno.ENOSPC, errno.EDQUOT):
            raise FrontierError(problem) from None
        raise ConfigurationError([f"daemon.socket: {problem}"]) from None
    server.commands = True
    return server


def _address(where: str, port: int) -> str:
    if port == UNIX:
        return f"unix:{where}"
    return f"[{where}]:{port}" if ":" in where else f"{where}:{port}"
