"""Limits as servers enforce them, by any clock: for the local API, and for tests and benchmarks of the laws."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable


class Limit(ABC):
    """A limit. Times are seconds of the caller's clock, which never goes back."""

    @abstractmethod
    def admit(self, now: float) -> bool:
        """Whether a request that arrives now is accepted. A refused one is not counted."""

    def release(self) -> None:  # noqa: B027 - of interest to few
        """Called when an accepted request was answered."""

    def change(self, now: float, rate: float) -> None:
        """Changes the rate. Raises TypeError if the limit has none."""
        raise TypeError(f"a {type(self).__name__} has no rate that could change")


class TokenBucket(Limit):
    """Fills at a rate, and holds at most the burst.

    rate: tokens per second; may be set at any time.
    burst: tokens that it holds, and has at first.
    cost: tokens that a request takes.
    """

    def __init__(self, rate: float, burst: float = 20, cost: int = 1) -> None:
        self.rate, self._burst, self._tokens, self._cost, self._at = rate, burst, burst, cost, 0.0

    def admit(self, now: float) -> bool:
        self._fill(now)
        if self._tokens < self._cost:
            return False
        self._tokens -= self._cost
        return True

    def change(self, now: float, rate: float) -> None:
        self._fill(now)
        self.rate = rate

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self.rate)
        self._at = now


class MovingWindow(Limit):
    """Limits requests in any span of time.

    limit: requests; math.inf only counts.
    seconds: the length of the span.
    most: the most requests that there were in one span; may be reset.
    """

    def __init__(self, limit: float = math.inf, seconds: float = 1.0) -> None:
        self._limit, self._seconds, self._starts = limit, seconds, deque[float]()
        self.most = 0

    def admit(self, now: float) -> bool:
        if self.full(now):
            return False
        self.add(now)
        return True

    def full(self, now: float) -> bool:
        return self._count(now) >= self._limit

    def add(self, now: float) -> None:
        """Counts a request, whatever the limit."""
        self._starts.append(now)
        self.most = max(self.most, self._count(now))

    def _count(self, now: float) -> int:
        """Requests in the span that ends now; one from exactly its beginning is no longer in it."""
        while self._starts and self._starts[0] <= now - self._seconds:
            self._starts.popleft()
        return len(self._starts)


class FixedWindow(Limit):
    """Limits requests in each span of the calendar.

    limit: requests.
    phase: share of a span by which spans begin earlier than the clock's full ones.
    seconds: the length of a span.
    """

    def __init__(self, limit: float, phase: float = 0.0, seconds: float = 1.0) -> None:
        self._limit, self._phase, self._seconds, self._window, self._count = limit, phase, seconds, -1, 0

    def admit(self, now: float) -> bool:
        window = math.floor(now / self._seconds + self._phase)
        if window != self._window:
            self._window, self._count = window, 0
        if self._count >= self._limit:
            return False
        self._count += 1
        return True


class AtOnce(Limit):
    """Limits requests under way.

    limit: requests; may be set at any time.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self._active = limit, 0

    def admit(self, now: float) -> bool:
        if self._active >= self.limit:
            return False
        self._active += 1
        return True

    def release(self) -> None:
        self._active -= 1


class AtRandom(Limit):
    """Refuses a share of all requests, whatever their rate, and passes the others on.

    share: by the time; may be set at any time.
    behind: the limit that decides about the others; None accepts them.
    """

    def __init__(self, share: Callable[[float], float], randomness: random.Random, behind: Limit | None = None) -> None:
        self.share, self._random, self._behind = share, randomness, behind

    def admit(self, now: float) -> bool:
        return self._random.random() >= self.share(now) and (self._behind is None or self._behind.admit(now))

    def release(self) -> None:
        if self._behind is not None:
            self._behind.release()

    def change(self, now: float, rate: float) -> None:
        if self._behind is None:
            super().change(now, rate)
        else:
            self._behind.change(now, rate)
