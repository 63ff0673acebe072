"""Servers that refuse a share of all requests at random, whatever the rate, in addition to their limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from bench.limits.scenarios import Scenario
from crawlerd.demo.limits import AtRandom, FixedWindow, Limit, MovingWindow, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Iterator


class Noise(Scenario):
    """shares, limits: (from when on, share of all requests that is throttled at random; starts a second that are
    permitted in addition). told: starts a second that the law never exceeds."""

    seconds, nominal, warm_up = 900, 1, 180
    shares: ClassVar[tuple[tuple[float, float], ...]] = ((0, 0.0),)
    limits: ClassVar[tuple[tuple[float, float], ...]] = ((0, math.inf),)
    told: ClassVar[float | None] = None

    def make(self) -> AtRandom:
        return AtRandom(self.share, self.random, self.behind())

    def behind(self) -> Limit | None:
        return None

    def share(self, now: float) -> float:
        return [share for since, share in self.shares if since <= now][-1]

    def permitted(self, at: float) -> float:
        """What a law that sends as fast as it may gets accepted."""
        share = self.share(at)
        limit = [rate for since, rate in self.limits if since <= at][-1]
        return min(limit / (1 - share), self.told or math.inf) * (1 - share)

    def changes(self) -> Iterator[tuple[float, float]]:
        return iter(self.limits[1:])


class NoiseBucket(Noise):
    def behind(self) -> TokenBucket:
        return TokenBucket(self.limits[0][1], 20)


class NoiseMoving(Noise):
    def behind(self) -> MovingWindow:
        return MovingWindow(int(self.limits[0][1]))


class NoiseFixed(Noise):
    def behind(self) -> FixedWindow:
        return FixedWindow(int(self.limits[0][1]), self.random.random())


class NoiseInBursts(Noise):
    """20% in 5 s of each minute."""

    def share(self, now: float) -> float:
        return 0.2 if now % 60 < 5 else 0.0


def noise(base: type[Noise], title: str, **given: Any) -> type[Noise]:
    return type(title, (base,), {"title": title, **given})


NOISES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
NOISE_SERVERS: list[tuple[str, type[Noise], dict[str, Any]]] = [
    ("told 25/s, no other limit", Noise, {"told": 24.6}),
    ("told 25/s, a moving window of that", NoiseMoving, {"told": 24.6, "limits": ((0, 25),)}),
    ("told 100/s, no other limit", Noise, {"told": 98.5}),
    ("told 100/s, a moving window of that", NoiseMoving, {"told": 98.5, "limits": ((0, 100),)}),
    ("token bucket 10/s, burst 20", NoiseBucket, {"limits": ((0, 10),)}),
    ("moving window 100/s", NoiseMoving, {"limits": ((0, 100),)}),
    ("fixed window 25/s", NoiseFixed, {"limits": ((0, 25),)}),
]
NOISE_STEADY: list[type[Noise]] = [
    noise(base, f"{title}{after}", shares=((0, share),), retry_after=retry_after, **given)
    for retry_after, after in ((None, ""), (1.0, "; Retry-After: 1"))
    for title, base, given in NOISE_SERVERS
    for share in NOISES
]
TWENTY = {"told": 20.0, "shares": ((0, 0.02),), "seconds": 1800}
NOISE_MOVING: list[type[Noise]] = [
    noise(Noise, "told 100/s: 2% begins after 300 s", told=98.5, shares=((0, 0.0), (300, 0.02))),
    noise(NoiseBucket, "bucket 10/s: 5% begins after 300 s", limits=((0, 10),), shares=((0, 0.0), (300, 0.05))),
    noise(NoiseBucket, "bucket 10/s: 5% ends after 300 s", limits=((0, 10),), shares=((0, 0.05), (300, 0.0))),
    noise(NoiseInBursts, "told 25/s: 20% in 5 s of each minute", told=24.6),
    noise(NoiseBucket, "told 20/s, 2%: bucket 20 → 10 → 20/s", limits=((0, 20), (600, 10), (1200, 20)), **TWENTY),
    noise(NoiseBucket, "told 20/s, 2%: bucket 20 → 4 → 20/s", limits=((0, 20), (600, 4), (1200, 20)), **TWENTY),
    noise(
        NoiseBucket,
        "5%: bucket 20 → 4 → 20/s",
        limits=((0, 20), (600, 4), (1200, 20)),
        shares=((0, 0.05),),
        seconds=1800,
    ),
    noise(Noise, "told 100/s: 2% for three hours", told=98.5, shares=((0, 0.02),), seconds=10_800),
]
NOISY = NOISE_STEADY + NOISE_MOVING
