"""The daemon's listeners: metrics, health, the API and the page over TCP; the same over its socket, for commands."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.core.errors import ConfigurationError, FrontierError
from crawlerd.core.notation import UNIX, is_loopback
from crawlerd.service import control
from crawlerd.service.hosts import own_names
from crawlerd.service.metrics import Metrics
from crawlerd.service.repeated import Keys
from crawlerd.service.signs_of_life import sentence
from crawlerd.service.web.app import application
from crawlerd.service.web.callers import Callers, Listener
from crawlerd.service.web.connection import BACKLOG
from crawlerd.service.web.context import PageContext
from crawlerd.service.web.happenings import Happenings
from crawlerd.service.web.serving import Serving
from crawlerd.service.web.streams import Streams

if TYPE_CHECKING:
    from crawlerd.core.configuration import Daemon
    from crawlerd.engine.engine import Engine
    from crawlerd.service.notifying import Notifier

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # seconds between attempts to listen on an address
PASSING = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


class _Bound(NamedTuple):
    """A bound socket, and how clients reach it.

    url: an address for clients.
    path: the socket's file, which is removed with it.
    """

    socket: socket.socket
    listener: Listener
    url: str
    path: Path | None = None


class Listeners:
    """Both listeners, on one thread. An address that is in use, or not there yet, is tried again until it works.

    Raises ConfigurationError if the address can never work, and FrontierError if the disk has no room for the socket of
    commands.

    described: where metrics are or will be: an HTTP address, or a path.
    """

    described: str

    def __init__(self, engine: Engine, notifier: Notifier) -> None:
        self._daemon, self._metrics, self._insight = engine.settings.daemon, Metrics(engine), engine.insight
        streams = Streams()
        self._callers = Callers(lambda: engine.settings.daemon)
        self._closing = threading.Event()
        self._paths: list[Path] = []
        self._serving = Serving(streams.close)
        self._happenings = Happenings(self._serving.loop, partial(sentence, engine))
        self._context = PageContext(engine, notifier, Keys(), streams, self._happenings)
        self._later: threading.Thread | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        if self._later:
            self._later.start()

    def _open(self) -> None:
        address = _address(*self._daemon.listen)
        try:
            metrics = self._bind()
        except OSError as error:
            if error.errno not in PASSING:
                raise ConfigurationError([f"daemon.listen: cannot listen on {address}: {error.strerror}"]) from None
            log.error("cannot listen on %s: %s; trying again until it succeeds", address, error.strerror)
            self.described = f"not listening on {address} yet"
            self._later = threading.Thread(target=self._listen_later, name="listen", daemon=True)
        else:
            self._serve(metrics)
            self._insight.listening = metrics.url.removeprefix("http://")
            self.described = f"{metrics.url}/metrics"
        self._serve(_commands(self._daemon))

    def _bind(self) -> _Bound:
        where, port = self._daemon.listen
        if port == UNIX:
            place = control.Place(Path(where), control.OF_GROUP)
            return _unix(place, Listener(is_private=True, names=_socket_names(self._daemon)))
        bound = tcp_listener(where, port)
        remote = not is_loopback(where)
        has_tokens = self._callers.need_tokens
        names = own_names(where, self._daemon.allowed_hosts) if remote else {where.lower(), *self._daemon.allowed_hosts}
        url = f"http://{_address(*bound.getsockname()[:2])}"
        if remote and not has_tokens:
            log.warning(
                "allow_remote: whoever reaches %s may read /metrics, /healthz and /readyz, without a password or "
                "encryption; nothing else can be read there",
                url,
            )
        return _Bound(bound, Listener(names=frozenset(names), is_remote=remote, is_open=has_tokens or not remote), url)

    def _listen_later(self) -> None:
        while not self._closing.wait(RETRY_SECONDS):
            with contextlib.suppress(OSError):
                metrics = self._bind()
                self._serve(metrics)
                self._insight.listening = metrics.url.removeprefix("http://")
                log.warning("listening on %s/metrics now", metrics.url)
                return

    def _serve(self, bound: _Bound) -> None:
        if bound.path is not None:
            self._paths.append(bound.path)
        app = application(self._context, self._metrics, self._callers, bound.listener)
        self._serving.add(bound.socket, app, "" if bound.listener.is_trusted else self._daemon.root_path)

    def close(self) -> None:
        self._closing.set()
        if self._later and self._later.ident:
            self._later.join()
        self._happenings.close()
        self._serving.close()
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._metrics.close()


def _commands(daemon: Daemon) -> _Bound:
    place = control.place(daemon.state_dir, daemon.socket)
    try:
        return _unix(place, Listener(is_private=True, is_trusted=True, names=_socket_names(daemon)))
    except OSError as error:
        problem = f"cannot make the socket {place.path}: {error.strerror}"
        if error.errno in (*PASSING, errno.ENOSPC, errno.EDQUOT):
            raise FrontierError(problem) from None
        raise ConfigurationError([f"daemon.socket: {problem}"]) from None


def _socket_names(daemon: Daemon) -> frozenset[str]:
    """The names for requests to the socket. With `ssh -L`, a browser can reach it, and then so could any web site whose
    name points there."""
    return frozenset(own_names("localhost", daemon.allowed_hosts))


def _unix(place: control.Place, listener: Listener) -> _Bound:
    made = socket.socket(socket.AF_UNIX)
    try:
        control.bind(made, *place)
    except BaseException:
        made.close()
        raise
    return _Bound(made, listener, _address(str(place.path), UNIX), place.path)


def tcp_listener(where: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in where else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is given
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((where, port))
        made.listen(BACKLOG)  # if two processes have bound the address, the second fails here
    except BaseException:
        made.close()
        raise
    return made


def _address(where: str, port: int) -> str:
    if port == UNIX:
        return f"unix:{where}"
    return f"[{where}]:{port}" if ":" in where else f"{where}:{port}"
