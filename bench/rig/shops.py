"""An API of shops that limits, fails and goes away: each has orders with lines, a key, a limit, and troubles."""

from __future__ import annotations

import json
import math
import random
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from crawlerd.demo.limits import MovingWindow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PAGE = 10
DESCRIPTION = """
name = "shop"
auth = { type = "bearer" }
[endpoints.orders]
path = "/orders"
records = "data"
paginator = { type = "cursor_in_body", cursor = "next", parameter = "after" }
[endpoints.lines]
parent = "orders"
path = "/orders/{parent.id}/lines"
"""


@dataclass
class Shop:
    """One account. Its fields may be set at any time.

    limit: requests that it accepts in any second.
    faults: share of the accepted ones that go wrong: 500, cut off, or not JSON.
    latency: seconds before each answer.
    refused: it does not know the key.
    poison: the order whose lines always answer 500; -1 for none.
    away: it does not answer.
    orders: its records.
    requests: that have arrived, of which so many were answered with 429 (throttled), came while it was away, and had
        a key that it refuses (unauthorized).
    """

    limit: float = math.inf
    faults: float = 0.0
    latency: float = 0.0
    refused: bool = False
    poison: int = -1
    away: bool = False
    orders: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    throttled: int = 0
    while_away: int = 0
    unauthorized: int = 0

    def __post_init__(self) -> None:
        self.window = MovingWindow(self.limit)

    def add(self, count: int) -> None:
        first = len(self.orders)
        self.orders += [{"id": number, "state": 0} for number in range(first, first + count)]

    def lines(self, order: int) -> list[dict[str, Any]]:
        return [{"id": f"{order}-{number}", "order": order} for number in range(order % 3)]


class Shops(ThreadingHTTPServer):
    """One origin. shops: by key."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, shops: Mapping[str, Shop], seed: int) -> None:
        self.shops, self.random, self.lock = shops, random.Random(seed), threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Clients that are killed leave."""


class _Handler(BaseHTTPRequestHandler):
    server: Shops
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def do_GET(self) -> None:
        shop = self.server.shops[self.headers.get("Authorization", "").removeprefix("Bearer ")]
        fault = None
        with self.server.lock:
            shop.requests += 1
            if shop.away:
                shop.while_away += 1
                return self._reset()
            if shop.refused:
                shop.unauthorized += 1
                return self._answer(401, {"error": "invalid key"})
            if not shop.window.admit(time.monotonic()):
                shop.throttled += 1
                return self._answer(429, {"error": "slow down"})
            if self.server.random.random() < shop.faults:
                fault = self.server.random.choice(("500", "reset", "cut", "html"))
        if shop.latency:
            time.sleep(shop.latency)
        match fault:
            case "500":
                return self._answer(500, {"error": "try again"})
            case "reset":
                return self._reset()
            case "cut":
                return self._cut()
            case "html":
                return self._answer(200, b"<html>back soon</html>", "text/html")
        return self._serve(shop)

    def _serve(self, shop: Shop) -> None:
        parts = urlsplit(self.path)
        words = parts.path.strip("/").split("/")
        if words == ["orders"]:
            first = int(parse_qs(parts.query).get("after", ["0"])[0])
            following = first + PAGE if first + PAGE < len(shop.orders) else None
            return self._answer(200, {"data": shop.orders[first : first + PAGE], "next": following})
        order = int(words[1])
        if order == shop.poison:
            return self._answer(500, {"error": "this order cannot be read"})
        return self._answer(200, shop.lines(order))

    def _answer(self, status: int, body: Any, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"data": [')
        self._reset()

    def _reset(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(*origins: Mapping[str, Shop]) -> Iterator[list[Shops]]:
    """Each a server of its own."""
    servers = [Shops(shops, number) for number, shops in enumerate(origins)]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield servers
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
