"""The adaptive law and its peers, which pace a client's requests by what comes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from botocore.retries.adaptive import ClientRateLimiter, RateClocker
from botocore.retries.bucket import TokenBucket
from botocore.retries.throttling import CubicCalculator

from crawlerd.ratelimit.hold import EFFICIENCY
from crawlerd.ratelimit.limiter import Limiter, parse_limits
from crawlerd.ratelimit.window import Stamp, StartLog

if TYPE_CHECKING:
    from bench.limits.scenarios import Scenario

CAUGHT_UP = 0.050  # seconds by which a start of a peer may be late without the next ones being late too, as in the law
PEERS = ["half the nominal rate", "botocore adaptive", "AIMD", "this law"]
TOLD = "this law, told the nominal rate"


class Law(Protocol):
    def free_at(self) -> float: ...
    def start(self, now: float) -> Any: ...
    def accepted(self, sent: Any, now: float) -> None: ...
    def throttled(self, sent: Any, now: float, *, retry_after: float | None, concurrency: bool) -> None: ...


class FixedRate:
    """Even pacing at a rate that nothing changes."""

    def __init__(self, rate: float) -> None:
        self.rate, self._next, self._until = rate, 0.0, 0.0

    def free_at(self) -> float:
        return max(self._next, self._until)

    def start(self, now: float) -> float:
        due = self.free_at()
        self._next = (due if now <= due + CAUGHT_UP else now) + 1 / self.rate
        return now

    def accepted(self, sent: float, now: float) -> None: ...

    def throttled(self, sent: float, now: float, *, retry_after: float | None, concurrency: bool) -> None:
        self._until = max(self._until, now + (retry_after or 0.0))


class Aimd(FixedRate):
    """The textbook's: one a second more each second, half at a 429; one cut for all that was on its way."""

    def __init__(self) -> None:
        super().__init__(2.0)
        self._cut_at = 0.0

    def accepted(self, sent: float, now: float) -> None:
        self.rate += 1 / self.rate

    def throttled(self, sent: float, now: float, *, retry_after: float | None, concurrency: bool) -> None:
        super().throttled(sent, now, retry_after=retry_after, concurrency=concurrency)
        if sent >= self._cut_at:
            self._cut_at, self.rate = now, max(0.5, self.rate / 2)


class Botocore:
    """botocore's own classes (`retries.mode = "adaptive"`) on our clock. It waits for a token where we ask when."""

    def __init__(self) -> None:
        self._now, self._filled_at, self._enabled = 0.0, 0.0, False
        self._bucket = TokenBucket(max_rate=1, clock=self)
        self._limiter = ClientRateLimiter(
            CubicCalculator(starting_max_rate=0, start_time=0.0), RateClocker(self), self._bucket, self, self
        )

    def current_time(self) -> float:
        return self._now

    def is_throttling_error(self, throttled: bool) -> bool:
        return throttled

    def free_at(self) -> float:
        if not self._enabled:
            return 0.0
        at: float = self._filled_at + max(0.0, 1 - self._bucket.available_capacity) / self._bucket.max_rate + 1e-6
        return at

    def start(self, now: float) -> None:
        if self._enabled:
            self._now = self._filled_at = now
            self._bucket.acquire(block=False)

    def accepted(self, sent: None, now: float, *, throttled: bool = False) -> None:
        self._now = self._filled_at = now
        self._enabled |= throttled
        self._limiter.on_receiving_response(throttled=throttled)

    def throttled(self, sent: None, now: float, *, retry_after: float | None, concurrency: bool) -> None:
        self.accepted(sent, now, throttled=True)


class Limited:
    """The law as an account has it: whoever waits after a lone 429 with `Retry-After` is found out first."""

    def __init__(self, told: float | None) -> None:
        """told: starts a second that are never exceeded, those of a limit but for what jitter takes."""
        limits = [f"{round(told / EFFICIENCY)}/second"] if told else []
        self._limiter = Limiter("", parse_limits(limits), StartLog(), lambda ask: None, auto=not told)
        self._now = 0.0

    def free_at(self) -> float:
        return self._limiter.free_at(self._now)

    def start(self, now: float) -> Stamp:
        self._now, stamp = now, Stamp(now)
        self._limiter.start(stamp)
        return stamp

    def accepted(self, sent: Stamp, now: float) -> None:
        self._now = now
        self._limiter.succeeded(sent, sent.at)
        for law, mark in sent.marks:
            law.accepted(mark, now)
        self._limiter.finish(now)

    def throttled(self, sent: Stamp, now: float, *, retry_after: float | None, concurrency: bool) -> None:
        self._now = now
        pause = self._limiter.throttled(sent.at, now, retry_after, 0.5, stamp=sent)
        for law, mark in sent.marks:
            law.throttled(mark, now, retry_after=retry_after, concurrency=concurrency, pause=pause)
        self._limiter.finish(now)


def law_named(name: str, scenario: type[Scenario]) -> Law:
    match name:
        case "half the nominal rate":
            return FixedRate(scenario.nominal / 2)
        case "botocore adaptive":
            return Botocore()
        case "AIMD":
            return Aimd()
        case "this law":
            return Limited(None)
        case told if told == TOLD:
            return Limited(EFFICIENCY * scenario.nominal)
    raise KeyError(name)
