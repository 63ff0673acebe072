"""Answers that do not end: server-sent events. Their number is limited, and the daemon's end ends them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from crawlerd.operations.problem import ProblemCode
from crawlerd.service.web.answering import problem_answer
from crawlerd.service.web.connection import STREAMS, bounded_by_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

BEAT_SECONDS = 15.0  # seconds after which a silent stream sends a comment; a broken connection is then noticed
EVENT_STREAM = "text/event-stream"
HEADERS = {
    "Connection": "close",  # it is not counted any more, so it takes no further requests
    "X-Accel-Buffering": "no",  # nginx would keep messages until it has several kilobytes of them
}


class Streams:
    """The streams of all listeners. Used on the event loop."""

    def __init__(self) -> None:
        self._open = 0
        self._most = bounded_by_files(STREAMS)
        self._closing: asyncio.Future[None] | None = None
        self._closed = False
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        return self._open

    def close(self) -> None:
        self._closed = True
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(None)

    def response(
        self, request: Request, messages: AsyncIterator[bytes], may: Callable[[], bool] = lambda: True
    ) -> Response:
        """Sends each message as it comes; 503 if too many streams are open.

        messages: each with the empty line at its end.
        may: whether the client may still have them; the stream ends as soon as it may not.
        """
        if self._open >= self._most:
            return problem_answer(
                ProblemCode.TOO_MANY_STREAMS,
                f"{self._most} event streams are open, which is the limit",
                {"Retry-After": "5"},
            )
        request.state.connection.becomes_a_stream()
        return StreamingResponse(self._counted(messages, may), headers=HEADERS, media_type=EVENT_STREAM)

    async def _counted(self, messages: AsyncIterator[bytes], may: Callable[[], bool]) -> AsyncIterator[bytes]:
        if self._open >= self._most:
            return  # others have begun at the same moment
        self._open += 1
        coming: asyncio.Task[bytes | None] | None = None
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_future()
        try:
            yield b": crawlerd\n\n"  # so that the browser knows that it is connected
            while not self._closed:
                coming = coming or asyncio.ensure_future(_next(messages))
                waited_for: set[asyncio.Future[object]] = {coming, self._closing}  # type: ignore[arg-type]  # of two types
                await asyncio.wait(waited_for, timeout=BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if self._closed or not may():
                    return
                if not coming.done():
                    yield b":\n\n"
                    continue
                if (message := coming.result()) is None:
                    return
                coming = None
                yield message
        finally:
            self._open -= 1
            ending = asyncio.ensure_future(_end(coming, messages))  # this task is being canceled and cannot wait for it
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)


async def _end(coming: asyncio.Task[bytes | None] | None, messages: AsyncIterator[bytes]) -> None:
    if coming is not None:
        coming.cancel()
        await asyncio.wait([coming])
    if isinstance(messages, AsyncGenerator):
        await messages.aclose()


async def _next(messages: AsyncIterator[bytes]) -> bytes | None:
    return await anext(messages, None)
