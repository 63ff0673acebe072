"""One HTTP connection, on uvicorn's protocol. Its time is limited, and so is the number of connections."""

from __future__ import annotations

import http
import resource
import sys
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from crawlerd.operations.problem import ProblemCode
from crawlerd.service.web.answering import SAFE_HEADERS, problem_body

if TYPE_CHECKING:
    import asyncio
    import socket

REQUEST_SECONDS = 10.0  # for a whole request, however slowly its bytes come; and for the answer
HEADER_BYTES = 16 << 10
CONNECTIONS = 32  # most connections at once, without streams; fewer if the limit on open files is low
STREAMS = 100
SHARE = 4  # of the files that may be open, connections may use one part in this many, and streams another
MOST_UNREAD = 4 << 20  # bytes of a refused request that are read to its end
PORTION = 4 << 10  # bytes that are parsed at once; after each, the connection may be refused
# Bytes of a body in chunks that are not its content, and as a share of its content. Parsing a chunk takes as long as
# parsing kilobytes of content: a body of single bytes would keep the event loop busy for a minute.
MOST_FRAMING, FRAMING_SHARE = 16 << 10, 1 / 16
BACKLOG = 64  # connections that the kernel queues until they are accepted


def bounded_by_files(most: int) -> int:
    """`most`, or fewer if the limit on open files is low."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most if files == resource.RLIM_INFINITY else max(1, min(most, files // SHARE))


class Crowd:
    """The connections of a listener, without streams. At the limit, a new one replaces the oldest that is idle: whose
    request has not arrived, or whose answer is not taken. Only if none is idle, it replaces the oldest of all. Used on
    the event loop."""

    def __init__(self) -> None:
        self._most = bounded_by_files(CONNECTIONS)
        self._open: dict[Connection, None] = {}  # the oldest first

    def enter(self, connection: Connection) -> None:
        while len(self._open) >= self._most:
            oldest = next((each for each in self._open if each.is_idle), next(iter(self._open)))
            self.leave(oldest)
            oldest.transport.abort()
        self._open[connection] = None

    def leave(self, connection: Connection) -> None:
        self._open.pop(connection, None)

    def abort(self) -> None:
        """Closes all: no file descriptor is left for another one."""
        for each in list(self._open):
            each.transport.abort()


class _Lingering:
    """A transport whose `close` lets the other side finish sending. Closed at once, the connection would be reset, and
    the other side would lose the answer."""

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
    """A connection. Its requests have it as `state["connection"]`."""

    def __init__(self, crowd: Crowd, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._crowd = crowd
        self._late: asyncio.TimerHandle | None = None  # fires if a request is not read in time
        self._content = self._framing = 0  # bytes of the present body: its content, and all else
        self._unread = 0  # bytes that came after the answer
        self._stuck: asyncio.TimerHandle | None = None  # fires if an answer is not taken in time
        self.app_state = {**self.app_state, "connection": self}

    @property
    def socket(self) -> socket.socket:
        found: socket.socket = self.transport.get_extra_info("socket")
        return found

    @property
    def is_read(self) -> bool:
        """Whether the whole request has arrived."""
        return self.conn.their_state not in (h11.IDLE, h11.SEND_BODY, h11.ERROR)

    @property
    def is_idle(self) -> bool:
        """Whether the daemon is not at work for it: it waits for the other side."""
        return not self.is_read or self._stuck is not None

    def closes(self) -> None:
        """Notes that the connection will be closed as soon as the other side has taken the answer."""
        self._stuck = self._stuck or self.loop.call_later(REQUEST_SECONDS, self._abort)

    def becomes_a_stream(self) -> None:
        """Notes that its answer does not end; it no longer counts as a connection that others may replace."""
        self._crowd.leave(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP has no other
        self._lingering = _Lingering(transport, self)
        super().connection_made(self._lingering)  # type: ignore[arg-type]  # it passes on all that is used
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
        for at in range(0, len(data), PORTION):
            self._parse(data[at : at + PORTION])
            if self._lingering.is_closing():
                return

    def _parse(self, data: bytes) -> None:
        cycle = self.cycle
        had = len(cycle.body) if cycle else 0
        super().data_received(data)
        if self.conn.their_state is not h11.SEND_BODY or self.cycle is not cycle or not cycle:
            self._content = self._framing = 0
        elif self.conn.our_state is h11.DONE:
            self.transport.close()  # it was refused: what follows is not parsed
        else:
            content = len(cycle.body) - had
            self._content += content
            self._framing += len(data) - content
            if self._framing > MOST_FRAMING + FRAMING_SHARE * self._content:
                self.send_400_response("the chunks of the body are too small: send it whole, with a Content-Length")

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
        """uvicorn calls this for invalid requests, and for those whose head is too long."""
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = problem_body(ProblemCode.of_status(status), str(error or msg))
            headers = [
                *SAFE_HEADERS,
                ("referrer-policy", "no-referrer"),
                ("content-type", "application/problem+json"),
                ("connection", "close"),
            ]
            headers.append(("content-length", str(len(body))))
            for event in (
                h11.Response(status_code=status, headers=headers, reason=http.HTTPStatus(status).phrase.encode()),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Called when nothing has arrived for a while."""
        self._abort()

    def _abort(self) -> None:
        self.transport.abort()
