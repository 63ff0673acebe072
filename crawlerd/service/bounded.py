"""An HTTP server that strangers cannot hold up: few connections, and little time for each."""

from __future__ import annotations

import io
import logging
import resource
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0  # for a whole request; and for the answer
CONNECTIONS = 32  # at once; fewer where few files may be open
SHARE = 4  # of the files that may be open, connections take at most one part in this many
BACKLOG = 64  # connections that the kernel keeps while they are not accepted
PAUSE_SECONDS = 0.1  # when the system has no descriptor for one


class BoundedServer(ThreadingHTTPServer):
    """A thread for each connection, CONNECTIONS at most: a further one takes the place of the oldest, which has had its
    time unless it dawdles."""

    request_queue_size = BACKLOG
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = CONNECTIONS if files == resource.RLIM_INFINITY else max(1, min(CONNECTIONS, files // SHARE))
        self._open: dict[socket.socket, None] = {}  # the oldest first
        self._lock = threading.Lock()
        super().__init__(*arguments)

    def get_request(self) -> tuple[Any, Any]:
        try:
            return super().get_request()
        except OSError:  # no descriptor: without a pause, the loop around this would spin
            self._make_room(len(self._open))
            time.sleep(PAUSE_SECONDS)  # no event tells that another part of the process has closed a descriptor
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        self._make_room(self._most)
        with self._lock:
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
            self.close_request(request)  # here, or `_make_room` could shut down a descriptor that is another's by now

    def _make_room(self, most: int) -> None:
        """Ends the oldest connections until there are fewer than `most`; their threads find that out at once."""
        with self._lock:
            while self._open and len(self._open) >= most:
                oldest = next(iter(self._open))
                del self._open[oldest]
                try:
                    oldest.shutdown(2)  # both ways
                except OSError as error:  # the other side was quicker
                    log.debug("a connection was closed already: %s", error)

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("a request to the daemon failed: %r", request)


class BoundedHandler(BaseHTTPRequestHandler):
    """Reads for REQUEST_SECONDS in all, however the bytes drip in."""

    server_version = "crawlerd"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Until(self.connection, time.monotonic() + REQUEST_SECONDS))

    def answer(self, status: int, body: bytes, kind: str) -> None:
        """Sends it within REQUEST_SECONDS, or not at all."""
        self.connection.settimeout(REQUEST_SECONDS)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


class _Until(io.RawIOBase):
    """What comes over a connection before a moment of the monotonic clock; then TimeoutError."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection, self._until = connection, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)
