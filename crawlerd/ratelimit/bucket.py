"""A model of the server's token bucket that never overdraws it, whenever the requests under way may arrive."""

from __future__ import annotations

import math

from crawlerd.ratelimit.window import MARGIN


class TokenBucket:
    """Holds up to `burst` tokens, and gains `rate` each second; each start takes one. O(1). Monotonic seconds.

    A request reaches the server at some time between its start and its answer. Until its answer is here, it counts as
    arriving just now; then it is dated by its answer. So the server's bucket never has fewer tokens than this one,
    whatever the order and the delays of requests. While the bucket is not full, this dating costs no tokens.

    empty_at: when the bucket counts as empty, since earlier starts are unknown.
    """

    __slots__ = ("_burst", "_full_at", "_interval", "_out")

    def __init__(self, rate: float, burst: int, *, empty_at: float = -math.inf) -> None:
        self._interval = MARGIN / rate
        self._burst = burst
        self._out = 0  # tokens that the requests under way have taken
        self._full_at = empty_at + burst * self._interval

    def free_at(self, cost: int = 1) -> float:
        """When the next request may start; infinity when one under way must end first."""
        spare = self._burst - self._out - cost
        return math.inf if spare < 0 else self._full_at - spare * self._interval

    def start(self, cost: int = 1) -> None:
        self._out += cost

    def expect(self, out: int) -> None:
        """Call after construction if requests are under way already, which will call `finish`. out: their tokens."""
        self._out = out

    def finish(self, now: float, cost: int = 1) -> None:
        self._out = max(0, self._out - cost)
        self._full_at = max(self._full_at, now) + cost * self._interval

    def refused(self, now: float) -> None:
        """The server has refused a request: its bucket is empty, because other programs take tokens, too."""
        self._full_at = max(self._full_at, now + self._burst * self._interval)

    @property
    def quiet_at(self) -> float:
        """When it will be full; infinity while requests are under way."""
        return math.inf if self._out else self._full_at
