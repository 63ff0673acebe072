"""Even pacing (GCRA): 10/s starts one request each 100 ms instead of ten at once."""

from __future__ import annotations

EFFICIENCY = 0.985  # of the limit: what is left absorbs network jitter between our clock and the server's
LATENESS = 0.050  # seconds by which a start may be late without the next ones being late too; later, it was idle


class Pacer:
    """rate: starts a second. next: monotonic time of the next start."""

    __slots__ = ("interval", "next")

    def __init__(self, rate: float, *, first: float) -> None:
        self.interval = 1.0 / (rate * EFFICIENCY)
        self.next = first

    def start(self, now: float, cost: int = 1) -> None:
        on_time = self.next >= now - LATENESS
        self.next = (self.next if on_time else now) + self.interval * cost
