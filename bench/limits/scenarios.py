"""Servers whose limits are hidden, each with the times that its answers take and with other programs that use it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from crawlerd.demo.limits import AtOnce, FixedWindow, Limit, MovingWindow, TokenBucket

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator


class Scenario(ABC):
    """A server with a hidden limit. nominal: starts a second that its documentation would name. wire: seconds that a
    request takes to the server, and its answer back: at least, and the mean of what is added to it."""

    title: ClassVar[str]
    seconds: ClassVar[int]
    nominal: ClassVar[float]
    retry_after: ClassVar[float | None] = None
    says_concurrency: ClassVar[bool] = False
    wire: ClassVar[tuple[float, float]] = (0.010, 0.003)
    warm_up: int = 60
    steps: ClassVar[tuple[int, ...]] = (0,)  # when what is permitted changes

    def __init__(self, randomness: random.Random) -> None:
        self.random = randomness
        self.policy = self.make()

    @abstractmethod
    def make(self) -> Limit:
        """The policy, as it is at first."""

    def permitted(self, at: float) -> float:
        """Requests a second."""
        return self.nominal

    def steady(self, second: int) -> bool:
        return second >= self.warm_up

    def service(self) -> float:
        """Seconds that the server takes for an accepted request: mostly 50 to 300 ms."""
        return min(0.45, 0.12 * math.exp(self.random.gauss(0, 0.45)))

    def others(self) -> Iterator[float]:
        """When another program sends a request."""
        return iter(())

    def changes(self) -> Iterator[tuple[float, float]]:
        """(when, new rate) of a token bucket."""
        return iter(())


class A(Scenario):
    title, seconds, nominal = "a: token bucket 10/s, burst 20", 900, 10

    def make(self) -> TokenBucket:
        return TokenBucket(10, 20)


class B(Scenario):
    title, seconds, nominal = "b: moving window 100/s", 360, 100

    def make(self) -> MovingWindow:
        return MovingWindow(100)


class C(Scenario):
    title, seconds, nominal = "c: fixed window 25/s", 660, 25

    def make(self) -> FixedWindow:
        return FixedWindow(25, self.random.random())


class CRetryAfter(C):
    title, seconds, retry_after = "c: with Retry-After: 1", 1260, 1.0


class D(Scenario):
    title, seconds, nominal, wire = "d: 10 at once, 200 ms", 480, 50, (0.002, 0.0005)

    def make(self) -> AtOnce:
        return AtOnce(10)

    def service(self) -> float:
        return max(0.05, self.random.gauss(0.195, 0.03))


class DSays(D):
    title, says_concurrency = "d: the 429 says so", True


class E(Scenario):
    """Another program sends at a share of the rate that is drawn for each step."""

    title, seconds, nominal = "e: bucket 20/s, another takes 0-70%, steps of 60 s", 3660, 20
    step: ClassVar[int] = 60
    steps = tuple(range(0, 3660, 60))
    at_random: ClassVar[bool] = False

    def make(self) -> TokenBucket:
        self._shares = [self.random.uniform(0, 0.7) for _ in range(self.seconds // self.step + 2)]
        return TokenBucket(20, 20)

    def permitted(self, at: float) -> float:
        return 20 * (1 - self._shares[int(at // self.step)])

    def others(self) -> Iterator[float]:
        now = 0.0
        while True:
            rate = 20 * self._shares[int(now // self.step)]
            wait = self.random.expovariate(1) if self.at_random else self.random.uniform(0.5, 1.5)
            if now + wait / max(rate, 0.01) >= (until := (now // self.step + 1) * self.step):
                now = until
            else:
                now += wait / rate
                yield now


class ESlow(E):
    title, seconds, step, steps = "e: steps of 300 s", 6060, 300, tuple(range(0, 6060, 300))


class EAtRandom(E):
    title, at_random = "e: steps of 60 s, the other at random (Poisson)", True


class F(Scenario):
    title, seconds, nominal, steps = "f: bucket 10 → 40 → 5/s", 900, 10, (0, 300, 600)
    rates: ClassVar[tuple[int, ...]] = (10, 40, 5)

    def make(self) -> TokenBucket:
        return TokenBucket(10, 20)

    def permitted(self, at: float) -> float:
        return self.rates[int(at // 300)]

    def steady(self, second: int) -> bool:
        return second % 300 >= self.warm_up

    def changes(self) -> Iterator[tuple[float, float]]:
        return iter([(300, 40), (600, 5)])


class Minute(Scenario):
    title, seconds, nominal = "fixed window 600/minute, undeclared", 1860, 10

    def make(self) -> FixedWindow:
        return FixedWindow(600, self.random.random(), 60)


class Fast(Scenario):
    title, seconds, nominal = "fixed window 100/s", 360, 100

    def make(self) -> FixedWindow:
        return FixedWindow(100, self.random.random())


class Slow(Scenario):
    title, seconds, nominal = "token bucket 2/s, burst 3", 1260, 2

    def make(self) -> TokenBucket:
        return TokenBucket(2, 3)


class Far(D):
    title, wire = "10 at once, 200 ms of which 40 are the wire", (0.018, 0.002)

    def service(self) -> float:
        return max(0.05, self.random.gauss(0.160, 0.03))


ASKED: list[type[Scenario]] = [A, B, C, CRetryAfter, D, E, ESlow, F]
BEYOND: list[type[Scenario]] = [DSays, EAtRandom, Fast, Slow, Far, Minute]
