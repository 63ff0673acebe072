"""A deadline for a whole request: connections whose socket another thread can shut down when the time is up."""

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

CONNECT_SECONDS = 10.0  # most for one address of a host, so that a dead one leaves time for the next

_current = threading.local()


class Deadline:
    """The time of one request, on the monotonic clock.

    sent_at: when the request left, 0.0 as long as no connection was made.
    expired: the time was up before the end, and whatever was read is not to be trusted: an end of file may be our own
        doing.
    status, received: of the answer, and bytes of its body as they came, or decompressed where they came in
        chunks; 0 until all of it is there.
    target: the path and query that are asked for, as they are to be sent; "" for as urllib3 writes them.
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
        """Seconds left; TimeoutError when there are none."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline")
        return left

    def begins(self, sock: socket.socket) -> None:
        """The request leaves through `sock`."""
        self._sock = sock
        self.sent_at = time.monotonic()
        if self.expired:  # it was cut before it had a socket to shut down
            raise TimeoutError("deadline")

    def answered(self, status: int, received: int) -> None:
        """All of the answer is there."""
        self.status, self.received = status, received

    def cut(self) -> None:
        """Ends the request from another thread."""
        self.expired = True
        if self._sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)  # an SSLSocket's own would break its reader


def current_deadline() -> Deadline:
    """Of the request that the calling thread is about to send."""
    deadline: Deadline = _current.deadline
    return deadline


class Deadlines:
    """Cuts what outlives its deadline. One thread, asleep until the earliest one of the requests under way."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: set[Deadline] = set()
        self._wakes_at = math.inf
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
        self._thread.start()

    def start(self, deadline: Deadline) -> None:
        """Begins to watch; the calling thread's connections belong to this request until `stop`."""
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
    """A connection that tells its thread's deadline which socket it uses."""

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
                sock.settimeout(deadline.remaining())  # bounds the whole TLS handshake
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
        # urllib3 encodes a target once more, and so changes what a signature may be over.
        super().request(method, _current.deadline.target or url, *args, **options)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class DeadlineAdapter(HTTPAdapter):
    """`requests`' transport over such connections: at most `connections` kept open for each of `hosts` hosts,
    and no retries.

    What it would find out for each request (proxies, which there are none of, and cookies, which nobody keeps), it
    does not ask: that took a sixth of the CPU of a page.
    """

    def __init__(self, connections: int, hosts: int) -> None:
        # By origin. The manager keeps those of the latest `hosts`; a pool that nobody holds closes its connections.
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
        """What follows the origin; a prepared URL has a path."""
        path = (request.url or "").split("/", 3)[3].partition("#")[0]
        return "/" + path.lstrip("/")

    def build_response(self, request: PreparedRequest, raw: Any) -> Response:
        return cast("Response", Answer(raw, request, raw.status, raw.headers))


class Answer(NamedTuple):
    """What is used of a `requests.Response`, here and by the package `responses` in tests of sources."""

    raw: Any
    request: PreparedRequest
    status_code: int
    headers: Any
