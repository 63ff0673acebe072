"""The limits of one account or of one bucket: several windows, a pace, a concurrency cap, and what a 429 changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from limits import RateLimitItem, parse_many
from limits.strategies import MovingWindowRateLimiter

from crawlerd.core.backoff import backoff
from crawlerd.ratelimit.pacer import Pacer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crawlerd.ratelimit.window import Stamp, StartLog

PACED_WINDOW = 60  # seconds; a longer window is a quota: it caps, and may be used up as fast as the shorter ones permit
THROTTLED_FIRST, THROTTLED_MOST = 0.5, 30.0  # seconds to wait after a 429 that does not say how long


def parse_limits(texts: Iterable[str]) -> list[RateLimitItem]:
    """`limits` notation. ValueError names the text that is wrong."""
    items = []
    for text in texts:
        try:
            parsed = parse_many(text)
        except ValueError:
            raise ValueError(f'"{text}" is not a limit; write for example "25/second" or "10000/day"') from None
        if any(item.amount < 1 or item.multiples < 1 for item in parsed):
            raise ValueError(f'"{text}" permits nothing; use a number above zero')
        items += parsed
    return items


class Limiter:
    """Times are monotonic seconds. Used by the dispatcher's thread only.

    quiet_since: no request of an earlier process was sent after this time, but any number may have been before.
    """

    __slots__ = (
        "_items",
        "_log",
        "_pacer",
        "_reacted_at",
        "_strategy",
        "_throttles",
        "blocked_until",
        "concurrency",
        "inflight",
    )

    def __init__(
        self,
        key: str,
        limits: Iterable[RateLimitItem],
        log: StartLog,
        *,
        smooth: bool = True,
        concurrency: int | None = None,
        quiet_since: float = -math.inf,
    ) -> None:
        self._items = [(item, key, item.key_for(key)) for item in limits]
        self._log = log
        self._strategy = MovingWindowRateLimiter(log)
        self._pacer: Pacer | None = None
        self._throttles = 0
        self._reacted_at = 0.0
        self.concurrency = concurrency
        self.inflight = 0
        self.blocked_until = 0.0
        paced = [item for item, _, _ in self._items if item.get_expiry() <= PACED_WINDOW]
        if smooth and paced:
            rate = min(item.amount / item.get_expiry() for item in paced)
            self._pacer = Pacer(rate, first=quiet_since + 1 / rate)
        elif paced:
            self.blocked_until = quiet_since + max(item.get_expiry() for item in paced)

    @property
    def unlimited(self) -> bool:
        return not self._items and self.concurrency is None

    def free_at(self) -> float:
        """When the next request may start; infinity while as many as permitted are on their way."""
        if self.concurrency is not None and self.inflight >= self.concurrency:
            return math.inf
        at = self.blocked_until
        if self._pacer is not None:
            at = max(at, self._pacer.next)
        for item, _, key in self._items:
            at = max(at, self._log.free_at(key, item.amount, item.get_expiry()))
        return at

    def start(self, stamp: Stamp) -> None:
        """Charges a start that `free_at` permitted."""
        self._log.stamp = stamp
        for item, key, _ in self._items:
            if not self._strategy.hit(item, key):
                raise AssertionError(f"{item} of {key} was free and is not")
        if self._pacer is not None:
            self._pacer.start(stamp.at)
        self.inflight += 1

    def finish(self) -> None:
        self.inflight -= 1

    def succeeded(self) -> None:
        self._throttles = 0

    def throttled(self, sent_at: float, now: float, retry_after: float | None, jitter: float) -> None:
        """A 429 to a request sent at `sent_at`. Those sent before we reacted to an earlier one say nothing new,
        unless they ask for more time."""
        if retry_after is None:
            if sent_at < self._reacted_at:
                return
            self._reacted_at = now
            self._throttles += 1
            longest = backoff(self._throttles, base=THROTTLED_FIRST, cap=THROTTLED_MOST, jitter=1.0)
            retry_after = longest * (0.5 + jitter / 2)
        self.blocked_until = max(self.blocked_until, now + retry_after)

    def quiet(self, now: float) -> bool:
        """Nothing that this limiter remembers matters any more: it may be dropped and made anew."""
        return (
            self.inflight == 0
            and self.free_at() <= now
            and not self._throttles
            and all(
                self._log.free_at(key, item.amount, item.get_expiry(), item.amount) <= now
                for item, _, key in self._items
            )
        )

    def forget(self) -> None:
        for _, _, key in self._items:
            self._log.clear(key)
