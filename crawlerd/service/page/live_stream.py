"""The event stream of a page: the parts of it that have changed, once a second at most.

A page that is the same for several people is made only once. Pages are made one at a time, and only for a small part of
the time, so that importing goes on however many are open.
"""

from __future__ import annotations

import asyncio
import re
import time
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import escape
from starlette.concurrency import run_in_threadpool

from crawlerd.service.page.rendering import regions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

EVERY = 1.0  # least seconds between two messages of a stream
IDLE = 4.0  # after a page was made, none is made for this many times as long as that took
MOST_IDLE = 5.0  # but for this many seconds at most: the machine may only have been busy for a moment
# after this many seconds all parts are sent again: some may not have been replaced, as they were under the pointer
AGAIN = 15.0
SPOKEN = 60.0  # least seconds between two verdicts that are read aloud

_KEY = re.compile(r'name="key" value="[^"]*"')  # differs each time without being a change
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
_SENTENCE = re.compile(r"<strong>(.*?)</strong>", re.DOTALL)
_ROW = re.compile(r"^(import|run|letter|account)-\w+$")


class Made(NamedTuple):
    """A page that was made.

    at: when, in monotonic seconds.
    parts: its parts, by the `id` of their elements.
    """

    at: float
    title: str
    parts: dict[str, str]


class LiveStreams:
    """The streams of all pages. Used on the event loop."""

    def __init__(self) -> None:
        self._made: dict[object, Made] = {}
        self._open: dict[object, int] = {}
        self._turn = asyncio.Lock()
        self._free_at = 0.0

    async def messages(self, key: object, make: Callable[[], str]) -> AsyncIterator[bytes]:
        """The messages of one stream.

        key: equal for people who see the same.
        make: makes the whole current page; called on a thread.
        """
        self._open[key] = self._open.get(key, 0) + 1
        sent = Sent()
        try:
            while True:
                made = await self._newest(key, make)
                if message := sent.message(made):
                    yield message
                await asyncio.sleep(EVERY)
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
                self._made.pop(key, None)

    async def _newest(self, key: object, make: Callable[[], str]) -> Made:
        async with self._turn:
            found = self._made.get(key)
            if found is not None and time.monotonic() - found.at < EVERY * 0.9:
                return found
            await asyncio.sleep(max(0.0, self._free_at - time.monotonic()))
            began = time.monotonic()
            body = await run_in_threadpool(make)
            ended = time.monotonic()
            self._free_at = ended + min(MOST_IDLE, IDLE * (ended - began))
            title = _TITLE.search(body)
            made = self._made[key] = Made(ended, title[1] if title else "", regions(body))
            return made


class Sent:
    """What one browser has received. Pure."""

    def __init__(self) -> None:
        self._digests: dict[str, bytes] = {}
        self._rows: set[str] | None = None  # the rows that its page has
        self._all_at = self._spoken_at = float("-inf")
        self._spoken = self._title = ""
        self._new = 0

    def message(self, made: Made) -> bytes:
        """The differences as one event; empty if there are none."""
        rows = {name for name in made.parts if _ROW.match(name)}
        if self._rows is None:
            self._rows = rows
        whole = made.at - self._all_at >= AGAIN
        if whole:
            self._all_at = made.at
        parts = []
        for name, text in made.parts.items():
            digest = sha256(_KEY.sub("", text).encode()).digest()
            if (whole or self._digests.get(name) != digest) and (name not in rows or name in self._rows):
                parts.append(_partial(name, text))
            self._digests[name] = digest
        if (new := len(rows - self._rows)) != self._new:
            self._new = new
            parts.append(_partial("news", _news(new)))
        parts += self._aloud(made)
        if made.title != self._title:
            self._title = made.title
            parts.append(f"<title>{made.title}</title>")
        if not parts:
            return b""
        lines = "\n".join(parts).splitlines()
        return "".join(f"data: {line}\n" for line in lines).encode() + b"\n"

    def _aloud(self, made: Made) -> list[str]:
        """The verdict, for people who hear the page; empty if it was read already."""
        found = _SENTENCE.search(made.parts.get("verdict", ""))
        said = found[1] if found else ""
        if self._spoken_at == float("-inf"):
            self._spoken, self._spoken_at = said, made.at
        if said == self._spoken or made.at - self._spoken_at < SPOKEN:
            return []
        self._spoken, self._spoken_at = said, made.at
        return [_partial("spoken", f'<p id="spoken" class="vh" aria-live="polite">{said}</p>')]


def _partial(name: str, text: str) -> str:
    return f'<hx-partial hx-target="#{escape(name)}" hx-swap="outerMorph">{text}</hx-partial>'


def _news(count: int) -> str:
    told = f'{count:,} new: <a href="">show</a>' if count else ""
    return f'<p id="news">{told}</p>'
