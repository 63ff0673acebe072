"""A deadline for a whole request: when the time is up, another thread shuts down the socket of its connection."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import WeakValueDictionary

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from crawlerd.clients.response_head import Reply

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

CONNECT_SECONDS = 10.0  # most for one address of a host, so that time is left for the next address

_current = threading.local()


class Deadline:
    """The time of one request, in monotonic seconds.

    sent_at: when the request was sent, 0.0 before a connection was made.
    expired: the time was up before the end. Do not trust what was read: an end of file may come from our own shutdown.
    status, received: the status of the response, and the bytes of its body as sent, or decompressed for a chunked body;
        0 until the response is complete.
    target: the path and query to send unchanged; "" to let urllib3 write them.
    """

    __slots__ = ("_sock", "at", "expired", "received", "sent_at", "status", "target")

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds
        self.expired = False
        self.sent_at = 0.0
        self.status = self.received = 0
        self.target = ""
        self._sock: socket.socket | None = None

    def remaining(self) -> float:
        """The seconds that are left. Raises TimeoutError when there are none."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline")
        return left

    def begins(self, sock: socket.socket) -> None:
        """The request is about to be sent through `sock`."""
        self._sock = sock
        self.sent_at = time.monotonic()
        if self.expired:  # `cut` was called before there was a socket
            raise TimeoutError("deadline")

    def answered(self, status: int, received: int) -> None:
        """The response is complete."""
        self.status, self.received = status, received

    def cut(self) -> None:
        """Ends the request from another thread."""
        self.expired = True
        if self._sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)  # SSLSocket.shutdown would break its reader


def current_deadline() -> Deadline:
    """The deadline of the request that the calling thread is about to send."""
    deadline: Deadline = _current.deadline
    return deadline


class Deadlines:
    """Ends requests at their deadline, on one thread, which sleeps until the earliest deadline."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: set[Deadline] = set()
        self._wakes_at = math.inf
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
        self._thread.start()

    def start(self, deadline: Deadline) -> None:
        """Begins to watch a deadline; the calling thread's connections belong to this request until `stop`."""
        _current.deadline = deadline
        with self._changed:
            self._running.add(deadline)
            if deadline.at < self._wakes_at:
                self._changed.notify()

    def stop(self, deadline: Deadline) -> None:
        with self._changed:
            self._running.discard(deadline)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for deadline in [each for each in self._running if each.at <= now]:
                    self._running.discard(deadline)
                    deadline.cut()
                self._wakes_at = min((each.at for each in self._running), default=math.inf)
                self._changed.wait(None if math.isinf(self._wakes_at) else self._wakes_at - now)


class _Connection(HTTPConnection):
    """A connection that passes its socket to the deadline of its thread."""

    response_class = Reply

    def _new_conn(self) -> socket.socket:
        deadline: Deadline = _current.deadline
        addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        while True:
            family, kind, protocol, _, address = addresses.pop(0)
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(min(deadline.remaining(), CONNECT_SECONDS))
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.connect(address)
                sock.settimeout(deadline.remaining())  # limits the whole TLS handshake
            except OSError:
                sock.close()
                if not addresses:
                    raise
            else:
                return sock

    def request(self, method: str, url: str, *args: Any, **options: Any) -> None:
        if self.sock is None:
            self.connect()
        _current.deadline.begins(self.sock)
        # urllib3 would encode the target once more, which would break a signature of it.
        super().request(method, _current.deadline.target or url, *args, **options)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class DeadlineAdapter(HTTPAdapter):
    """The transport of `requests` over such connections: keeps at most `connections` open for each of `hosts` hosts,
    and does not retry.

    It skips the look-up of proxies and cookies, which crawlerd does not use: that took a sixth of the CPU time of a
    page.
    """

    def __init__(self, connections: int, hosts: int) -> None:
        # By origin. The manager keeps the pools of the latest `hosts`; a dropped pool closes its connections.
        self._pools: WeakValueDictionary[str, HTTPConnectionPool] = WeakValueDictionary()
        super().__init__(pool_connections=hosts, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def get_connection_with_tls_context(
        self, request: PreparedRequest, *args: Any, **options: Any
    ) -> HTTPConnectionPool:
        origin = "/".join((request.url or "").split("/", 3)[:3])
        pool = self._pools.get(origin)
        if pool is None:
            pool = cast("_Pool", super().get_connection_with_tls_context(request, *args, **options))
            self._pools[origin] = pool
        return pool

    def request_url(self, request: PreparedRequest, proxies: object) -> str:
        """The part of the URL after the origin; a prepared URL always has a path."""
        path = (request.url or "").split("/", 3)[3].partition("#")[0]
        return "/" + path.lstrip("/")

    def build_response(self, request: PreparedRequest, raw: Any) -> Response:
        return cast("Response", Answer(raw, request, raw.status, raw.headers))


class Answer(NamedTuple):
    """The parts of a `requests.Response` that are used here, and by the package `responses` in tests of sources."""

    raw: Any
    request: PreparedRequest
    status_code: int
    headers: Any
