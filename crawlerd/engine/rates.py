"""How many requests per second the runs under way make, and how many are made for each account."""

from __future__ import annotations

from collections import Counter, deque

from crawlerd.core.task import PART

EVERY, SPAN = 2.0, 10.0  # seconds between two looks, and the seconds over which a rate is averaged


class Rates:
    """Computes requests per second. Times are monotonic seconds.

    started: requests by run, counted by the dispatcher.
    lately: requests since the last look, by account or part, counted by the dispatcher. An account without recent
        requests has no entry, which bounds memory.
    """

    def __init__(self) -> None:
        self.started: Counter[int] = Counter()
        self.lately: Counter[str] = Counter()
        self._spans: deque[tuple[float, Counter[str]]] = deque()  # when each span began, and its counts
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
        """Requests per second by run; runs without requests are left out. From any thread."""
        if not (points := list(self._points)):
            return {}
        at, before = next(((at, then) for at, then in points if now - at <= SPAN + EVERY), points[-1])
        seconds = max(now - at, 0.001)
        return {run: (count - before.get(run, 0)) / seconds for run, count in dict(self.started).items()}

    def by_account(self, now: float) -> dict[str, float]:
        """Requests per second by account; accounts without recent requests are left out. From any thread."""
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
        """The run has ended. From any thread."""
        self.started.pop(run, None)
