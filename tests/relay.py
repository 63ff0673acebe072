"""A relay in front of the local API: notes when each request arrives, and answers or holds those it is told to."""

from __future__ import annotations

import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self


class Answer(NamedTuple):
    """What the relay answers in the API's place."""

    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = {}


class Seen(NamedTuple):
    """A request. arrived, answered: monotonic seconds. key: what its Authorization says."""

    path: str
    arrived: float
    answered: float
    status: int
    key: str = ""


class Relay:
    """script: called with the path of each request on that request's own thread; it may wait there, and returns an
    Answer, or None to ask the API. key: what the API is asked with, instead of the client's. seen: what was answered,
    in that order."""

    def __init__(
        self, target: str, script: Callable[[str], Answer | None] = lambda _: None, *, key: str | None = None
    ) -> None:
        self._netloc = urlsplit(target).netloc
        self._script = script
        self.seen: list[Seen] = []
        self._lock = threading.Lock()
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                arrived = time.monotonic()
                path = self.path.partition("?")[0]
                answer = relay._script(path) or relay._ask(
                    self.path, f"Bearer {key}" if key else self.headers["Authorization"]
                )
                with relay._lock:
                    sent_with = self.headers.get("Authorization", "")
                    relay.seen.append(Seen(path, arrived, time.monotonic(), answer.status, sent_with))
                self.send_response(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def _ask(self, target: str, authorization: str) -> Answer:
        connection = HTTPConnection(self._netloc, timeout=10)
        try:
            connection.request("GET", target, headers={"Authorization": authorization})
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def of(self, path: str) -> list[Seen]:
        """The requests for one path, in the order of their answers."""
        with self._lock:
            return [each for each in self.seen if each.path == path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is part of the tests."""
