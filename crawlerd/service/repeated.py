"""Requests that may come again: the same key and request gets the first answer, and nothing is done again."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.core.errors import CrawlerdError
from crawlerd.operations.problem import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_KEY = 255  # characters
PATIENCE_SECONDS = 8.0  # for the first of two that come at once: less than whoever asks waits


class Mismatch(CrawlerdError):
    """The key belongs to another request."""


class UnderWay(CrawlerdError):
    """The first request of this key has no answer yet."""


class Repeatable(NamedTuple):
    """A request that has a key. digest: of all that it asks for, and who asks."""

    key: str
    digest: str


def repeatable(key: str | None, *parts: str | bytes) -> Repeatable | None:
    """None without a key. Refused for an invalid one. parts: of the request, and who asks."""
    if key is None:
        return None
    key = key.strip()
    if not key or len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise Refused(f"Idempotency-Key: 1 to {LONGEST_KEY} printable ASCII characters, others for each request")
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8) + data)
    return Repeatable(key, digest.hexdigest())


class Keys:
    """The keys of requests that are under way. Used from any thread."""

    def __init__(self) -> None:
        self._under_way: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def one_at_a_time(self, key: str) -> Iterator[None]:
        """Waits for the end of another request of this key; UnderWay when that takes too long."""
        with self._changed:
            if not self._changed.wait_for(lambda: key not in self._under_way, PATIENCE_SECONDS):
                raise UnderWay("the first request with this Idempotency-Key is still under way; ask again later")
            self._under_way.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._under_way.discard(key)
                self._changed.notify_all()
