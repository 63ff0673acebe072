"""The HTTP server that strangers cannot hold up, over real sockets."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
from support.descriptors import no_descriptors
from support.installation import until

from crawlerd.service import bounded
from crawlerd.service.bounded import BACKLOG, CONNECTIONS, BoundedHandler, BoundedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = b"GET / HTTP/1.0\r\n"


class Handler(BoundedHandler):
    def do_GET(self) -> None:  # noqa: N802 - the library calls it so
        self.answer(200, b"well\n", "text/plain")


@pytest.fixture
def server() -> Iterator[BoundedServer]:
    with BoundedServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def connect(server: BoundedServer) -> socket.socket:
    return socket.create_connection(server.server_address[:2], timeout=20)


def ask(server: BoundedServer) -> bytes:
    with closing(connect(server)) as connection:
        connection.sendall(LINE + b"\r\n")
        return b"".join(iter(lambda: connection.recv(1000), b""))


def threads_of(server: BoundedServer) -> int:
    return sum("process_request" in thread.name for thread in threading.enumerate())


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_connections_that_dawdle_make_room_for_others(server: BoundedServer) -> None:
    with ExitStack() as held:
        slow = [held.enter_context(closing(connect(server))) for _ in range(2 * CONNECTIONS)]
        for each in slow:
            each.sendall(LINE)
        until(lambda: sum(map(is_closed, slow)) == CONNECTIONS)
        assert [is_closed(each) for each in slow] == [True] * CONNECTIONS + [False] * CONNECTIONS  # the oldest
        assert ask(server).endswith(b"\r\n\r\nwell\n")
        until(lambda: threads_of(server) <= CONNECTIONS)
    until(lambda: threads_of(server) == 0)


def test_a_request_that_drips_in_ends(server: BoundedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However lively it is: no byte is late."""
    monkeypatch.setattr(bounded, "REQUEST_SECONDS", 0.3)
    with closing(connect(server)) as connection:
        connection.sendall(LINE + b"X: ")

        def drip() -> bool:
            try:
                connection.setblocking(True)
                connection.sendall(b"a")
            except ConnectionError:
                return True
            return is_closed(connection)

        until(drip, 20)
    assert ask(server).endswith(b"well\n")


def test_it_pauses_while_no_descriptor_is_left(server: BoundedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that cannot be accepted stays readable: the loop around it would spin."""
    tries = 0
    get_request = BoundedServer.get_request

    def counted(self: BoundedServer) -> object:
        nonlocal tries
        tries += 1
        return get_request(self)

    monkeypatch.setattr(BoundedServer, "get_request", counted)
    with closing(socket.socket()) as waiting:
        with no_descriptors():
            started = time.monotonic()
            waiting.connect(server.server_address[:2])
            until(lambda: tries >= 3)
            assert tries <= 1 + (time.monotonic() - started) / bounded.PAUSE_SECONDS
        waiting.sendall(LINE + b"\r\n")
        assert waiting.recv(1000).startswith(b"HTTP/1.0 200")


def test_the_kernel_keeps_some_more() -> None:
    assert BoundedServer.request_queue_size == BACKLOG == 64
    assert CONNECTIONS == 32
