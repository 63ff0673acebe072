"""Server-sent events: the events of the log, and the verdict when it changes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
from starlette.concurrency import run_in_threadpool

from crawlerd.core import log_events
from crawlerd.core.redaction import cut, printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

log = logging.getLogger(__name__)

KEPT = 1000  # events that are kept for browsers that reconnect
VERDICT_SECONDS = 5.0  # between checks of the verdict, while anybody listens
FAULT_SECONDS = 60.0  # the pause after a check that failed
LONGEST_TEXT = 500  # characters
ENCODER = msgspec.json.Encoder(enc_hook=str)
Kind = Literal["verdict", "run", "account", "operation", "pause", "daemon", "reset"]
KINDS: dict[str, Kind] = {  # the kind of an event of the log, by the first part of its name
    "RUN": "run",
    "START": "run",
    "STARTS": "run",
    "DEAD": "run",
    "PAUSED": "pause",
    "RESUMED": "pause",
    "OPERATION": "operation",
    "ACCOUNT": "account",
    "CHECK": "account",
    "KEY": "account",
    "THROTTLED": "account",
    "TASK": "account",
    "LIMIT": "account",
    "OUTAGE": "account",
}


class Happening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event.

    at: Unix seconds.
    event: its name in the log; "verdict" or "reset" if it is not from the log.
    text: for people.
    fields: further data of the event.
    """

    at: float
    event: str
    text: str
    fields: dict[str, Any] = {}


class _Kept(NamedTuple):
    number: int
    kind: Kind
    message: bytes


class Happenings:
    """The events of one daemon, from construction to `close`. Everything but `close` must be called on the event loop.

    sentence: the state of the daemon; it may block.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sentence: Callable[[], str]) -> None:
        self._loop, self._sentence = loop, sentence
        self._boot = f"{int(time.time()):x}"
        self._kept: deque[_Kept] = deque(maxlen=KEPT)
        self._last = 0
        self._news: asyncio.Future[None] = loop.create_future()
        self._listeners = 0
        self._looking: asyncio.Task[None] | None = None
        self._verdict: tuple[str, bytes] | None = None
        log_events.listeners.append(self._told)

    def close(self) -> None:
        with suppress(ValueError):
            log_events.listeners.remove(self._told)

    async def messages(self, last_id: str | None, kinds: Collection[str] = ()) -> AsyncIterator[bytes]:
        """All events from now on, after those missed since `last_id` (the Last-Event-ID). If these are no longer known,
        a `reset` comes first: the client must read everything again.

        kinds: only these; empty for all.
        """
        position = self._position(last_id)
        if position is None:
            position = self._last
            text = "some events were missed and are no longer kept: read again what you show"
            yield self._message(position, "reset", Happening(at=time.time(), event="reset", text=text))
        self._listeners += 1
        self._looking = self._looking or asyncio.ensure_future(self._look())
        try:
            if self._verdict is not None and position == self._last and (not kinds or "verdict" in kinds):
                yield self._verdict[1]
            while True:
                news = self._news
                for each in [each for each in self._kept if each.number > position]:
                    position = each.number
                    if not kinds or each.kind in kinds:
                        yield each.message
                await asyncio.shield(news)
        finally:
            self._listeners -= 1
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    def _position(self, last_id: str | None) -> int | None:
        """The number after which to continue; None if it is no longer known."""
        if last_id is None:
            return self._last
        boot, _, number = last_id.partition("-")
        if boot != self._boot or not number.isdecimal() or len(number) > 18 or int(number) > self._last:
            return None
        missed = self._kept[0].number - 1 if self._kept else self._last
        return int(number) if int(number) >= missed else None

    def _told(self, event: log_events.Event, text: str, fields: dict[str, object]) -> None:
        """Takes an event. May be called from any thread."""
        kind = KINDS.get(event.name.partition("_")[0], "daemon")
        said = {name: _harmless(value) if isinstance(value, str) else value for name, value in fields.items()}
        happening = Happening(at=time.time(), event=event.name.lower(), text=_harmless(text), fields=said)
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._add, kind, happening)

    def _add(self, kind: Kind, happening: Happening) -> bytes:
        self._last += 1
        message = self._message(self._last, kind, happening)
        self._kept.append(_Kept(self._last, kind, message))
        news, self._news = self._news, self._loop.create_future()
        if not news.done():
            news.set_result(None)
        return message

    def _message(self, number: int, kind: Kind, happening: Happening) -> bytes:
        data = ENCODER.encode(happening)
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (self._boot.encode(), number, kind.encode(), data)

    async def _look(self) -> None:
        while True:
            try:
                sentence = await run_in_threadpool(self._sentence)
            except Exception:
                log.exception("the verdict cannot be determined; trying again in %g s", FAULT_SECONDS)
                await asyncio.sleep(FAULT_SECONDS)
                continue
            if self._verdict is None or self._verdict[0] != sentence:
                happening = Happening(at=time.time(), event="verdict", text=printable(sentence))
                self._verdict = sentence, self._add("verdict", happening)
            await asyncio.sleep(VERDICT_SECONDS)


def _harmless(text: str) -> str:
    return cut(printable(text), LONGEST_TEXT)
