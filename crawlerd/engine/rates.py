"""How many requests a second are made, by the runs under way and for accounts."""

from __future__ import annotations

from collections import Counter, deque

from crawlerd.core.task import PART

EVERY, SPAN = 2.0, 10.0  # seconds between looks, and over which a rate is the mean


class Rates:
    """Times are monotonic seconds.

    started: requests by run, counted by the dispatcher.
    lately: those since the last look, by account or part of one, counted by the dispatcher. Only what was asked
        in the last seconds has an entry, however many accounts there are.
    """

    def __init__(self) -> None:
        self.started: Counter[int] = Counter()
        self.lately: Counter[str] = Counter()
        self._spans: deque[tuple[float, Counter[str]]] = deque()  # when each began
        self._began: float | None = None
        self._points: deque[tuple[float, dict[int, int]]] = deque()

    def look(self, now: float) -> None:
        """Call a few times a second."""
        if not self._points or now - self._points[-1][0] >= EVERY:
            self._points.append((now, dict(self.started)))
            while len(self._points) > 2 and now - self._points[1][0] >= SPAN:
                self._points.popleft()
            if self._began is not None:
                self._spans.append((self._began, self.lately))
            self.lately, self._began = Counter(), now
            while len(self._spans) > 1 and now - self._spans[1][0] >= SPAN:
                self._spans.popleft()

    def by_run(self, now: float) -> dict[int, float]:
        """From any thread. Nothing of runs that have made no request."""
        if not (points := list(self._points)):
            return {}
        at, before = next(((at, then) for at, then in points if now - at <= SPAN + EVERY), points[-1])
        seconds = max(now - at, 0.001)
        return {run: (count - before.get(run, 0)) / seconds for run, count in dict(self.started).items()}

    def by_account(self, now: float) -> dict[str, float]:
        """From any thread. Nothing of accounts that were not asked anything lately."""
        spans = [each for each in self._spans.copy() if now - each[0] <= SPAN + EVERY]
        began = spans[0][0] if spans else self._began
        if began is None:
            return {}
        found: Counter[str] = Counter()
        for counts in (*(each for _, each in spans), self.lately):
            for name, count in counts.copy().items():
                found[name.partition(PART)[0]] += count
        return {name: count / max(now - began, 0.001) for name, count in found.items()}

    def forget(self, run: int) -> None:
        """It has ended. From any thread."""
        self.started.pop(run, None)
