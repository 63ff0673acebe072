"""A token bucket as the server keeps it, never overdrawn, whenever the requests under way may arrive there."""

from __future__ import annotations

import math

from crawlerd.ratelimit.window import MARGIN


class TokenBucket:
    """Holds `burst` tokens when full, and gets `rate` a second; each start takes one. O(1); monotonic seconds.

    A request reaches the server at some time until its answer is here. So it is dated by its answer, and until then it
    counts as arriving just now: whatever the order and the delays on the way, the server's bucket is never emptier than
    this one. While it is not full, which is when it matters, the dating costs no token.

    empty_at: nothing is known of the starts before.
    """

    __slots__ = ("_burst", "_full_at", "_interval", "_out")

    def __init__(self, rate: float, burst: int, *, empty_at: float = -math.inf) -> None:
        self._interval = MARGIN / rate
        self._burst = burst
        self._out = 0  # tokens of the requests under way
        self._full_at = empty_at + burst * self._interval

    def free_at(self, cost: int = 1) -> float:
        """When the next request may start; infinity when one under way has to end first."""
        spare = self._burst - self._out - cost
        return math.inf if spare < 0 else self._full_at - spare * self._interval

    def start(self, cost: int = 1) -> None:
        self._out += cost

    def expect(self, out: int) -> None:
        """Made while requests are under way, that will `finish` here."""
        self._out = out

    def finish(self, now: float, cost: int = 1) -> None:
        self._out = max(0, self._out - cost)
        self._full_at = max(self._full_at, now) + cost * self._interval

    def refused(self, now: float) -> None:
        """The server's bucket is empty: somebody else takes from it too."""
        self._full_at = max(self._full_at, now + self._burst * self._interval)

    @property
    def quiet_at(self) -> float:
        """When it is full; infinity while something is under way."""
        return math.inf if self._out else self._full_at
