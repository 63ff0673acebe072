"""Requests that may be sent twice: a request with the same key gets the first answer, and is not done again."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.core.errors import CrawlerdError
from crawlerd.operations.problem import Refused, UnderWay

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_KEY = 255  # characters of a key
PATIENCE_SECONDS = 8.0  # how long a repeated request waits for the first one; less than a client waits


class Mismatch(CrawlerdError):
    """The key was used for another request."""


class Repeatable(NamedTuple):
    """A request that has a key.

    digest: a digest of the request and of the person who sent it.
    """

    key: str
    digest: str


def repeatable(key: str | None, *parts: str | bytes) -> Repeatable | None:
    """The request with its key; None without a key. Raises Refused for an invalid key.

    parts: the request, and the person who sent it.
    """
    if key is None:
        return None
    key = key.strip()
    if not key or len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise Refused(f"Idempotency-Key: use 1 to {LONGEST_KEY} printable ASCII characters, different for each request")
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8) + data)
    return Repeatable(key, digest.hexdigest())


class Keys:
    """The keys of requests under way. Used from any thread."""

    def __init__(self) -> None:
        self._under_way: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def one_at_a_time(self, key: str) -> Iterator[None]:
        """Waits for the end of another request with this key. Raises UnderWay if that takes too long."""
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
