"""One account's traffic at the local API: its moving windows, its limits, and what was seen."""

from __future__ import annotations

import math

from crawlerd.demo.limits import MovingWindow
from crawlerd.demo.server import AccountStats, EndpointStats


class Traffic:
    """The traffic of an account.

    rate, endpoint_rate: most accepted requests in any window of 1 s; 0 = no limit.
    concurrency: most at once; 0 = no limit.
    """

    def __init__(self, rate: int, endpoint_rate: int, concurrency: int) -> None:
        self.rate = rate
        self.endpoint_rate = endpoint_rate
        self.concurrency = concurrency
        self.stats = AccountStats()
        self.at_once = 0
        self._windows: dict[str, tuple[MovingWindow, MovingWindow]] = {}  # "" is the account; (accepted, arrived)

    def admit(self, endpoint: str, now: float) -> str | None:
        """Counts an arrival. Returns None if it is admitted, until `leave`; otherwise the reason why it is throttled.

        A throttled request is not counted by the windows of its limits.
        """
        stats = self.stats
        stats.requests += 1
        stats.first = now if stats.first is None else stats.first
        stats.last = now
        whole, whole_arrived = self._window("")
        part, part_arrived = self._window(endpoint)
        whole_arrived.add(now)
        part_arrived.add(now)
        reason = None
        if whole.full(now):
            reason = "global-rate"
        elif part.full(now):
            reason = "endpoint-rate"
        elif self.concurrency and self.at_once >= self.concurrency:
            reason = "global-concurrency"
        if reason is not None:
            stats.throttled[reason] = stats.throttled.get(reason, 0) + 1
            return reason
        whole.add(now)
        part.add(now)
        self.at_once += 1
        stats.most_concurrent = max(stats.most_concurrent, self.at_once)
        return None

    def leave(self) -> None:
        """Called when an admitted request was answered."""
        self.at_once -= 1

    def serve(self, endpoint: str) -> None:
        """Counts a whole, right answer."""
        self.stats.served += 1
        self._endpoint(endpoint).served += 1

    def fail(self, kind: str) -> None:
        """Counts a fault."""
        self.stats.faults[kind] = self.stats.faults.get(kind, 0) + 1

    def report(self) -> AccountStats:
        """What was seen so far."""
        for name, (accepted, arrived) in self._windows.items():
            seen = self._endpoint(name) if name else self.stats
            seen.most_accepted, seen.most_arrived = accepted.most, arrived.most
        return self.stats

    def reset(self) -> None:
        """Forgets what was seen; the windows keep their requests, so that no limit is exceeded."""
        self.stats = AccountStats()
        for accepted, arrived in self._windows.values():
            accepted.most = arrived.most = 0

    def _window(self, name: str) -> tuple[MovingWindow, MovingWindow]:
        if name not in self._windows:
            limit = self.endpoint_rate if name else self.rate
            self._windows[name] = (MovingWindow(limit or math.inf), MovingWindow())
        return self._windows[name]

    def _endpoint(self, name: str) -> EndpointStats:
        if name not in self.stats.endpoints:
            self.stats.endpoints[name] = EndpointStats()
        return self.stats.endpoints[name]
