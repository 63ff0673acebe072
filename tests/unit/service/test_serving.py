"""The web server that strangers cannot hold up, over real sockets, with a small application."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from support.descriptors import no_descriptors
from support.installation import until

from crawlerd.service.listeners import tcp_listener
from crawlerd.service.web import connection, streams
from crawlerd.service.web.app import router
from crawlerd.service.web.callers import Listener
from crawlerd.service.web.connection import CONNECTIONS
from crawlerd.service.web.guard import REQUESTS, Guard
from crawlerd.service.web.serving import Serving
from crawlerd.service.web.streams import Streams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

LINE = b"GET /healthz HTTP/1.0\r\n"


class Site:
    """A server on a port of this machine.

    gate: what requests for /slow wait for.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.waiting = 0
        self.streams = Streams()
        app = router(
            [
                Route("/healthz", self._well),
                Route("/take", self._take, methods=["POST"]),
                Route("/slow", self._slow),
                Route("/large", self._large),
                Route("/fails", self._fails),
                Route("/events", self._events),
                Route("/delay", self._delay),
            ]
        )
        self.serving = Serving(self.streams.close)
        listener = tcp_listener("127.0.0.1", 0)
        self.address = listener.getsockname()
        self.serving.add(listener, Guard(app, Listener(names=frozenset({"127.0.0.1"}))))

    def close(self) -> None:
        self.gate.set()
        self.serving.close()

    async def _well(self, request: Request) -> Response:
        return PlainTextResponse("well\n")

    async def _take(self, request: Request) -> Response:
        return PlainTextResponse(f"{len(await request.body())}\n")

    def _slow(self, request: Request) -> Response:
        self.waiting += 1
        self.gate.wait(30)
        return PlainTextResponse("at last\n")

    async def _large(self, request: Request) -> Response:
        return PlainTextResponse("x" * 30_000_000)

    async def _fails(self, request: Request) -> Response:
        raise ValueError("sk_live_secret")

    async def _delay(self, request: Request) -> Response:
        connection = request.state.connection.socket
        return PlainTextResponse(f"{connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)}\n")

    async def _events(self, request: Request) -> Response:
        return self.streams.response(request, self._messages())

    async def _messages(self) -> AsyncIterator[bytes]:
        yield b"id: 1\ndata: one\n\n"
        await asyncio.sleep(3600)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=20)

    def ask(self, request: bytes = LINE + b"\r\n") -> bytes:
        with closing(self.connect()) as made:
            made.sendall(request)
            return whole(made)


def whole(made: socket.socket) -> bytes:
    return b"".join(iter(lambda: made.recv(65536), b""))


def status(answer: bytes) -> int:
    return int(answer.split()[1])


@pytest.fixture
def site() -> Iterator[Site]:
    with closing(Site()) as made:
        yield made


def is_closed(made: socket.socket) -> bool:
    made.setblocking(False)
    try:
        return made.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_connections_that_dawdle_make_room_for_others(site: Site) -> None:
    with ExitStack() as held:
        slow = [held.enter_context(closing(site.connect())) for _ in range(2 * CONNECTIONS)]
        for each in slow:
            each.sendall(LINE)
        until(lambda: sum(map(is_closed, slow)) == CONNECTIONS)
        assert [is_closed(each) for each in slow] == [True] * CONNECTIONS + [False] * CONNECTIONS  # the oldest
        assert site.ask().endswith(b"\r\n\r\nwell\n")


@pytest.mark.parametrize("begin", [LINE + b"X: ", b"POST /take HTTP/1.0\r\nContent-Length: 1000\r\n\r\n", b""])
def test_a_request_that_drips_in_ends(site: Site, monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    """However lively it is: no byte is late."""
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.3)
    with closing(site.connect()) as made:
        made.sendall(begin)

        def drip() -> bool:
            try:
                made.setblocking(True)
                made.sendall(b"a" * bool(begin))
            except ConnectionError:
                return True
            return is_closed(made)

        until(drip)
    assert site.ask().endswith(b"well\n")


def test_the_second_request_of_a_connection_has_its_own_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.5)
    with closing(site.connect()) as made:
        began = time.monotonic()
        asked = 0
        while time.monotonic() < began + 1.2:
            made.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            said = b""
            while not said.endswith(b"well\n"):
                said += made.recv(65536)
                assert said
            asked += 1
        assert asked > 1


def test_an_answer_that_nobody_takes_ends(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.3)
    with closing(site.connect()) as made:
        made.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        until(lambda: site.serving.connections)
        until(lambda: not site.serving.connections)
        assert len(whole(made)) < 30_000_000


def test_it_pauses_while_no_descriptor_is_left(site: Site) -> None:
    """A connection that cannot be accepted stays readable: the loop around it would spin."""
    with closing(socket.socket()) as waiting:
        with no_descriptors():
            before = time.process_time()
            began = time.monotonic()
            waiting.connect(site.address)
            until(lambda: time.monotonic() > began + 0.5)
            spun = time.process_time() - before
        waiting.settimeout(20)
        waiting.sendall(LINE + b"\r\n")
        assert status(waiting.recv(1000)) == 200
    assert spun < 0.4


def test_headers_and_bodies_have_bounds(site: Site) -> None:
    long = b"GET /healthz HTTP/1.0\r\nX: " + b"x" * 17_000 + b"\r\n\r\n"
    assert status(site.ask(long)) == 431
    assert status(site.ask(b"GET /healthz HTTP/1.0\r\nX: " + b"x" * 15_000 + b"\r\n\r\n")) == 200
    json_ = b"POST /take HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    assert site.ask(json_ + b"Content-Length: 1048576\r\n\r\n" + b"x" * 1048576).endswith(b"1048576\n")
    assert status(site.ask(json_ + b"Content-Length: 2000000\r\n\r\n" + b"x" * 2_000_000)) == 413
    chunk = b"%x\r\n" % 100_000 + b"x" * 100_000 + b"\r\n"
    assert status(site.ask(json_ + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 20 + b"0\r\n\r\n")) == 413
    for wrong in (b"nonsense\r\n\r\n", b"GET /healthz HTTP/1.1\r\n\r\n"):
        assert status(site.ask(wrong)) == 400
    assert status(site.ask(b"BREW /healthz HTTP/1.0\r\n\r\n")) == 501


def test_tiny_chunks_do_not_keep_it_busy(site: Site) -> None:
    """Each is parsed as long as kilobytes of content."""
    head = b"POST /take HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    for size, many, expected in ((1, 100_000, 400), (1, 2000, 200), (400, 2000, 200)):
        answer = site.ask(head + (b"%x\r\n" % size + b"x" * size + b"\r\n") * many + b"0\r\n\r\n")
        assert status(answer) == expected
        assert answer.endswith(b"%d\n" % (size * many)) == (expected == 200)
    assert b"with a Content-Length" in site.ask(head + b"1\r\nx\r\n" * 10_000)


def test_what_is_more_than_can_be_done_at_once_is_refused_at_once(site: Site) -> None:
    with ExitStack() as held:
        asking = [held.enter_context(closing(site.connect())) for _ in range(REQUESTS)]
        for each in asking:
            each.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        until(lambda: site.waiting == REQUESTS)
        busy = site.ask(b"GET /slow HTTP/1.0\r\n\r\n")
        assert status(busy) == 503
        assert b"retry-after: 1" in busy
        assert status(site.ask()) == 200  # /healthz
        site.gate.set()
        assert all(whole(each).endswith(b"at last\n") for each in asking)
    assert status(site.ask(b"GET /slow HTTP/1.0\r\n\r\n")) == 200


def test_a_fault_is_a_problem_without_its_text(site: Site) -> None:
    answer = site.ask(b"GET /fails HTTP/1.0\r\n\r\n")
    assert status(answer) == 500
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"] == "ValueError; the daemon's log says more"


def test_each_answer_has_the_headers_that_protect_it(site: Site) -> None:
    for request in (
        LINE + b"\r\n",
        b"GET /nothing HTTP/1.0\r\n\r\n",
        b"GET /fails HTTP/1.0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: evil.example\r\n\r\n",
    ):
        head = site.ask(request).partition(b"\r\n\r\n")[0].decode().lower()
        assert "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'" in head
        for line in (
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-opener-policy: same-origin",
            "cache-control: no-store",
        ):
            assert line in head
        assert "access-control" not in head
        assert "\r\nserver:" not in head


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("", 403),
        ("Content-Type: application/json", 200),
        ("Content-Type: application/x-www-form-urlencoded", 403),
        ("Sec-Fetch-Site: same-origin", 200),
        ("Sec-Fetch-Site: none", 200),
        ("Sec-Fetch-Site: same-site\r\nContent-Type: application/json", 403),
        ("Sec-Fetch-Site: cross-site\r\nContent-Type: application/json", 403),
        ("Origin: http://127.0.0.1:5", 200),
        ("Origin: http://127.0.0.1:6\r\nContent-Type: application/json", 403),
        ("Origin: null\r\nContent-Type: application/json", 403),
        ("Origin: http://evil.example", 403),
    ],
)
def test_a_change_comes_from_no_other_web_site(site: Site, headers: str, expected: int) -> None:
    head = f"POST /take HTTP/1.0\r\nHost: 127.0.0.1:5\r\n{headers}\r\n".replace("\r\n\r\n", "\r\n")
    assert status(site.ask(head.encode() + b"\r\n")) == expected


def test_an_answer_goes_at_once(site: Site) -> None:
    """Its head and its body are two packets: the second must not wait until the first is confirmed, for 40 ms."""
    assert site.ask(b"GET /delay HTTP/1.0\r\n\r\n").endswith(b"1\n")


# streams


def stream(site: Site) -> socket.socket:
    made = site.connect()
    made.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    said = b""
    while b"data: one" not in said:
        said += made.recv(4096)
    assert b"content-type: text/event-stream" in said
    assert b"x-accel-buffering: no" in said.lower()
    assert b"connection: close" in said.lower()  # it is not counted, and must not be used for further requests
    return made


@pytest.fixture
def few_streams(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(streams, "STREAMS", 3)
    return 3


def test_streams_have_a_bound_and_take_nobodys_place(few_streams: int, site: Site) -> None:
    with ExitStack() as held:
        opened = [held.enter_context(closing(stream(site))) for _ in range(few_streams)]
        assert status(site.ask(b"GET /events HTTP/1.0\r\n\r\n")) == 503
        idle = [held.enter_context(closing(site.connect())) for _ in range(2 * CONNECTIONS)]
        until(lambda: is_closed(idle[0]))
        assert not any(is_closed(each) for each in opened)
        opened.pop().close()
        until(lambda: site.streams.open < few_streams)
        held.enter_context(closing(stream(site)))


def test_streams_that_begin_at_once_have_the_same_bound(few_streams: int, site: Site) -> None:
    with ExitStack() as held:
        asking = [held.enter_context(closing(site.connect())) for _ in range(5 * few_streams)]
        for each in asking:
            each.sendall(b"GET /events HTTP/1.0\r\n\r\n")
        until(lambda: sum(map(is_closed, asking)) == 4 * few_streams)
        assert site.streams.open == few_streams


def test_a_hundred_streams_end_at_once(site: Site) -> None:
    with ExitStack() as held:
        opened = [held.enter_context(closing(stream(site))) for _ in range(100)]
        began = time.monotonic()
        site.close()
        assert time.monotonic() - began < 1
        for each in opened:
            with suppress(ConnectionError):
                assert b"data" not in whole(each)
        assert site.streams.open == 0


def test_a_silent_stream_says_that_it_lives(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BEAT_SECONDS", 0.05)
    with closing(stream(site)) as made:
        assert b":\n\n" in made.recv(4096)


def test_a_request_that_hangs_does_not_hold_up_the_end(site: Site) -> None:
    with closing(site.connect()) as made:
        made.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        until(lambda: site.waiting)
        began = time.monotonic()
        site.serving.close()
        assert time.monotonic() - began < 1
        site.gate.set()
