"""One HTTP connection, on uvicorn's protocol: its time is bounded, and so is the number of them."""

from __future__ import annotations

import http
import resource
import sys
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from crawlerd.service.web.answering import SAFE_HEADERS, problem_body

if TYPE_CHECKING:
    import asyncio
    import socket

REQUEST_SECONDS = 10.0  # for a whole request, however the bytes drip in; and for the answer
HEADER_BYTES = 16 << 10
CONNECTIONS = 32  # at once, without streams; fewer where few files may be open
STREAMS = 100
SHARE = 4  # of the files that may be open, connections take at most one part in this many, and streams another
MOST_UNREAD = 4 << 20  # bytes of a refused request that are read to its end
BACKLOG = 64  # connections that the kernel keeps while they are not accepted


def bounded_by_files(most: int) -> int:
    """`most`, or fewer where few files may be open."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most if files == resource.RLIM_INFINITY else max(1, min(most, files // SHARE))


class Crowd:
    """The connections of a listener, without streams. At the bound, a further one takes the place of the oldest, which
    has had its time unless it dawdles. Used on the event loop."""

    def __init__(self) -> None:
        self._most = bounded_by_files(CONNECTIONS)
        self._open: dict[Connection, None] = {}  # the oldest first

    def enter(self, connection: Connection) -> None:
        while len(self._open) >= self._most:
            oldest = next(iter(self._open))
            self.leave(oldest)
            oldest.transport.abort()
        self._open[connection] = None

    def leave(self, connection: Connection) -> None:
        self._open.pop(connection, None)

    def abort(self) -> None:
        """Ends all: there is no descriptor for another one."""
        for each in list(self._open):
            each.transport.abort()


class _Lingering:
    """A transport whose `close` lets the other side finish what it sends: closed at once, the connection would break
    under it, and the answer would be lost."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._transport, self._connection = transport, connection
        self.lingers = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self.lingers or self._transport.is_closing()

    def close(self) -> None:
        self._connection.closes()
        if self._connection.is_read or self._transport.is_closing():
            self._transport.close()
        elif not self.lingers:
            self.lingers = True
            self._transport.write_eof()
            self._transport.resume_reading()


class Connection(H11Protocol):
    """Its requests have it as `state["connection"]`."""

    def __init__(self, crowd: Crowd, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._crowd = crowd
        self._late: asyncio.TimerHandle | None = None  # runs while a request is read
        self._unread = 0  # bytes that came after the answer
        self._stuck: asyncio.TimerHandle | None = None  # runs while an answer is not taken
        self.app_state = {**self.app_state, "connection": self}

    @property
    def socket(self) -> socket.socket:
        found: socket.socket = self.transport.get_extra_info("socket")
        return found

    @property
    def is_read(self) -> bool:
        """Whether nothing of a request is still to come."""
        return self.conn.their_state not in (h11.IDLE, h11.SEND_BODY, h11.ERROR)

    def closes(self) -> None:
        """It is about to be closed, once the other side has taken the answer."""
        self._stuck = self._stuck or self.loop.call_later(REQUEST_SECONDS, self._abort)

    def becomes_a_stream(self) -> None:
        """Its answer does not end, and others do not take its place."""
        self._crowd.leave(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._lingering = _Lingering(transport, self)
        super().connection_made(self._lingering)  # type: ignore[arg-type]
        self._crowd.enter(self)
        self._late = self.loop.call_later(REQUEST_SECONDS, self._abort)

    def data_received(self, data: bytes) -> None:
        if self._lingering.lingers:
            self._unread += len(data)
            if self._unread > MOST_UNREAD:
                self._abort()
            return
        if self._late is None and self.conn.their_state is h11.IDLE:
            self._late = self.loop.call_later(REQUEST_SECONDS, self._abort)
        super().data_received(data)

    def handle_events(self) -> None:
        super().handle_events()
        if self._late is not None and self.is_read:
            self._late.cancel()
            self._late = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self._stuck or self.loop.call_later(REQUEST_SECONDS, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck is not None and not self.transport.is_closing():
            self._stuck.cancel()
            self._stuck = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.leave(self)
        for timer in (self._late, self._stuck):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls it for what is no request, or has too long a head."""
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            title = http.HTTPStatus(status).phrase
            body = problem_body(status, title, str(error or msg))
            headers = [
                *SAFE_HEADERS,
                ("referrer-policy", "no-referrer"),
                ("content-type", "application/problem+json"),
                ("connection", "close"),
            ]
            headers.append(("content-length", str(len(body))))
            for event in (
                h11.Response(status_code=status, headers=headers, reason=title.encode()),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing is on its way."""
        self._abort()

    def _abort(self) -> None:
        self.transport.abort()
