"""The adaptive law beside its peers, each against limits that it is not told, in virtual time: a markdown table."""

from __future__ import annotations

import argparse
import heapq
import math
import random
import statistics
from abc import ABC, abstractmethod
from collections import deque
from itertools import count
from multiprocessing import Pool
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from botocore.retries.adaptive import ClientRateLimiter, RateClocker
from botocore.retries.bucket import TokenBucket as BotocoreBucket
from botocore.retries.throttling import CubicCalculator
from rig import table

from crawlerd.ratelimit.adaptive import AdaptiveLaw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

THREADS = 64  # requests that the client can have on their way
LATENESS = 0.002  # mean seconds by which it wakes up late to start a request
CAUGHT_UP = 0.050  # seconds by which a start of a peer may be late without the next ones being late too, as in the law
CONVERGED_SECONDS = 10  # of at least 90% used and at most 5% throttled, from when on a law counts as converged


# what limits


class TokenBucket:
    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self._burst, self._tokens, self._at = rate, burst, burst, 0.0

    def admit(self, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def change(self, now: float, rate: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self.rate)
        self._at, self.rate = now, rate

    def release(self) -> None: ...


class MovingWindow:
    """Most requests in any second."""

    def __init__(self, limit: int) -> None:
        self._limit, self._starts = limit, deque[float]()

    def admit(self, now: float) -> bool:
        while self._starts and self._starts[0] <= now - 1:
            self._starts.popleft()
        if len(self._starts) >= self._limit:
            return False
        self._starts.append(now)
        return True

    def release(self) -> None: ...


class FixedWindow:
    """Most requests in each second (or so many) that begins at `phase`."""

    def __init__(self, limit: int, phase: float, seconds: float = 1.0) -> None:
        self._limit, self._phase, self._seconds, self._window, self._count = limit, phase, seconds, -1, 0

    def admit(self, now: float) -> bool:
        window = math.floor(now / self._seconds + self._phase)
        if window != self._window:
            self._window, self._count = window, 0
        if self._count >= self._limit:
            return False
        self._count += 1
        return True

    def release(self) -> None: ...


class AtOnce:
    def __init__(self, limit: int) -> None:
        self._limit, self._active = limit, 0

    def admit(self, now: float) -> bool:
        if self._active >= self._limit:
            return False
        self._active += 1
        return True

    def release(self) -> None:
        self._active -= 1


class Scenario(ABC):
    """A server with a hidden limit. nominal: starts a second that its documentation would name. wire: seconds that a
    request takes to the server, and its answer back: at least, and the mean of what is added to it."""

    title: ClassVar[str]
    seconds: ClassVar[int]
    nominal: ClassVar[float]
    retry_after: ClassVar[float | None] = None
    says_concurrency: ClassVar[bool] = False
    wire: ClassVar[tuple[float, float]] = (0.010, 0.003)
    warm_up: ClassVar[int] = 60
    steps: ClassVar[tuple[int, ...]] = (0,)  # when what is permitted changes

    def __init__(self, randomness: random.Random) -> None:
        self.random = randomness
        self.policy: Any = self.make()

    @abstractmethod
    def make(self) -> Any:
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
    """Another program sends at a share of the rate that is drawn anew for each step."""

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


class AtRandom:
    """Before another policy: a share of all requests is throttled, whatever their rate."""

    def __init__(self, behind: Any, share: Callable[[float], float], randomness: random.Random) -> None:
        self.behind, self._share, self._random = behind, share, randomness

    def admit(self, now: float) -> bool:
        return self._random.random() >= self._share(now) and (self.behind is None or bool(self.behind.admit(now)))

    def change(self, now: float, rate: float) -> None:
        self.behind.change(now, rate)

    def release(self) -> None: ...


class Noise(Scenario):
    """shares, limits: (from when on, share of all requests that is throttled at random; starts a second that are
    permitted beside that). told: starts a second that the law never exceeds."""

    seconds, nominal, warm_up = 900, 1, 180
    shares: ClassVar[tuple[tuple[float, float], ...]] = ((0, 0.0),)
    limits: ClassVar[tuple[tuple[float, float], ...]] = ((0, math.inf),)
    told: ClassVar[float | None] = None

    def make(self) -> AtRandom:
        return AtRandom(self.behind(), self.share, self.random)

    def behind(self) -> Any:
        return None

    def share(self, now: float) -> float:
        return [share for since, share in self.shares if since <= now][-1]

    def permitted(self, at: float) -> float:
        """What a law that sends as fast as it may gets accepted; each `Retry-After` costs a pause."""
        share = self.share(at)
        limit = [rate for since, rate in self.limits if since <= at][-1]
        sent = min(limit / (1 - share), self.told or math.inf)
        return sent * (1 - share) / (1 + sent * share * (self.retry_after or 0.0))

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


# who asks


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
        self._bucket = BotocoreBucket(max_rate=1, clock=self)
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
        return self._filled_at + max(0.0, 1 - self._bucket.available_capacity) / self._bucket.max_rate + 1e-6

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


def law_named(name: str, scenario: type[Scenario]) -> Law:
    match name:
        case "half the nominal rate":
            return FixedRate(scenario.nominal / 2)
        case "botocore adaptive":
            return Botocore()
        case "AIMD":
            return Aimd()
        case "this law":
            return AdaptiveLaw()
        case "this law, told the nominal rate":
            return AdaptiveLaw(ceiling=scenario.nominal)
    raise KeyError(name)


PEERS = ["half the nominal rate", "botocore adaptive", "AIMD", "this law"]


# what comes of it


class Figures(NamedTuple):
    """used, throttled: percent of what was permitted, of what was sent. converged: mean seconds after a change."""

    used: float
    throttled: float
    converged: float


def simulate(scenario: Scenario, law: Law) -> tuple[list[int], list[int]]:
    """Requests accepted and throttled in each second, as the server counts. The client has always more to ask."""
    accepted, throttled = [0] * (scenario.seconds + 1), [0] * (scenario.seconds + 1)
    randomness, policy = scenario.random, scenario.policy
    shortest, added = scenario.wire
    events: list[tuple[float, int, str, Any]] = []
    order = count()

    def after(at: float, what: str, sent: Any = None) -> None:
        heapq.heappush(events, (at, next(order), what, sent))

    def wire() -> float:
        return shortest + randomness.expovariate(1 / added)

    for at, rate in scenario.changes():
        after(at, "change", rate)
    others = scenario.others()
    after(next(others, math.inf), "other")
    now, inflight, late = 0.0, 0, 0.0
    while now < scenario.seconds:
        free_at = law.free_at() if inflight < THREADS else math.inf
        start_at = free_at + late if free_at > now else now
        if start_at < events[0][0]:
            now = start_at
            inflight += 1
            late = randomness.expovariate(1 / LATENESS)
            after(now + wire(), "arrives", law.start(now))
            continue
        now, _, what, sent = heapq.heappop(events)
        match what:
            case "arrives" if policy.admit(now):
                accepted[int(now)] += 1
                after(now + scenario.service(), "served", sent)
            case "arrives":
                throttled[int(now)] += 1
                after(now + wire(), "throttled", sent)
            case "served":
                policy.release()
                after(now + wire(), "accepted", sent)
            case "accepted":
                inflight -= 1
                law.accepted(sent, now)
            case "throttled":
                inflight -= 1
                retry_after, concurrency = scenario.retry_after, scenario.says_concurrency
                law.throttled(sent, now, retry_after=retry_after, concurrency=concurrency)
            case "other":
                policy.admit(now)
                after(next(others), "other")
            case "change":
                policy.change(now, sent)
    return accepted, throttled


def measure(job: tuple[type[Scenario], str, int]) -> Figures:
    kind, name, seed = job
    scenario = kind(random.Random(seed))
    return figures(scenario, *simulate(scenario, law_named(name, kind)), kind.seconds)


def measure_noise(job: tuple[int, int]) -> Figures:
    kind = NOISY[job[0]]
    scenario = kind(random.Random(job[1]))
    return figures(scenario, *simulate(scenario, AdaptiveLaw(ceiling=kind.told)), kind.seconds)


def figures(scenario: Scenario, accepted: Sequence[int], throttled: Sequence[int], seconds: int) -> Figures:
    """Of requests accepted and throttled in each of the first so many seconds, as the server counts."""
    steady = [second for second in range(seconds) if scenario.steady(second)]
    used = sum(accepted[second] for second in steady)
    refused = sum(throttled[second] for second in steady)
    permitted = sum(map(scenario.permitted, steady))

    def converged(since: int) -> float:
        until = min(seconds, next((step for step in scenario.steps if step > since), seconds))
        for start in range(since, until - CONVERGED_SECONDS + 1):
            span = range(start, start + CONVERGED_SECONDS)
            good, bad = sum(accepted[s] for s in span), sum(throttled[s] for s in span)
            if good >= 0.9 * sum(map(scenario.permitted, span)) and bad <= 0.05 * (good + bad):
                return float(start - since)
        return math.inf

    reached = [converged(step) for step in scenario.steps if step < seconds - CONVERGED_SECONDS]
    missed = sum(map(math.isinf, reached))
    mean = math.inf if missed > len(reached) / 2 else statistics.fmean(s for s in reached if s < math.inf)
    return Figures(100 * used / permitted, 100 * refused / max(1, used + refused), mean)


def mean(runs: Sequence[Figures]) -> str:
    return f"{statistics.fmean(r.used for r in runs):.1f} / {statistics.fmean(r.throttled for r in runs):.2f}"


def worst(runs: Sequence[Figures]) -> str:
    return f"{min(r.used for r in runs):.1f} / {max(r.throttled for r in runs):.2f}"


def converged(runs: Sequence[Figures]) -> str:
    seconds = statistics.fmean(r.converged for r in runs)
    return "-" if math.isinf(seconds) else f"{seconds:.0f} s"


def show_limits(seeds: Sequence[int], processes: int) -> None:
    rows: list[tuple[type[Scenario], str]] = [(kind, name) for kind in ASKED + BEYOND for name in PEERS]
    told = "this law, told the nominal rate"
    rows += [(kind, told) for kind in (B, E)]
    jobs = [(kind, name, seed) for kind, name in rows for seed in seeds]
    with Pool(processes) as pool:
        results = dict(zip(jobs, pool.map(measure, jobs, chunksize=1), strict=True))

    def runs(kind: type[Scenario], name: str) -> list[Figures]:
        return [results[kind, name, seed] for seed in seeds]

    def last(kind: type[Scenario], name: str) -> list[str]:
        return [mean(runs(kind, name)), worst(runs(kind, name)), converged(runs(kind, name))]

    for kinds in (ASKED, BEYOND):
        header = ["hidden limit", *PEERS, "its worst seed", "converges in"]
        lines = [
            [kind.title, *(mean(runs(kind, name)) for name in PEERS[:-1]), *last(kind, PEERS[-1])] for kind in kinds
        ]
        print(table(header, lines), end="\n\n")
    lines = [[kind.title, *last(kind, told)] for kind in (B, E)]
    print(table(["hidden limit", told, "its worst seed", "converges in"], lines), end="\n\n")


def show_noise(seeds: Sequence[int], processes: int) -> None:
    jobs = [(row, seed) for row in range(len(NOISY)) for seed in seeds]
    with Pool(processes) as pool:
        results = dict(zip(jobs, pool.map(measure_noise, jobs, chunksize=1), strict=True))
    runs = [[results[row, seed] for seed in seeds] for row in range(len(NOISY))]
    steady = range(0, len(NOISE_STEADY), len(NOISES))
    lines = [[NOISY[row].title, *map(mean, runs[row : row + len(NOISES)])] for row in steady]
    print(table(["429s that no rate cures", *(f"{100 * share:g}%" for share in NOISES)], lines), end="\n\n")
    lines = [[NOISY[row].title, mean(runs[row]), worst(runs[row])] for row in range(len(NOISE_STEADY), len(NOISY))]
    print(table(["429s that no rate cures", "this law", "its worst seed"], lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="100-115", help="first-last; the constants were tuned on 0-7")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", choices=["limits", "noise"], help="limits beside peers, or 429s that no rate cures")
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split("-"))
    seeds = range(first, last + 1)
    print(
        f"{len(seeds)} seeds ({arguments.seeds}); percent of the permitted capacity used / of the requests throttled\n"
    )
    if arguments.only != "noise":
        show_limits(seeds, arguments.jobs)
    if arguments.only != "limits":
        show_noise(seeds, arguments.jobs)


if __name__ == "__main__":
    main()
