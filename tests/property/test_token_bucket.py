"""Token buckets: the server's is never overdrawn, in whatever order requests arrive, and its whole rate is used."""

from __future__ import annotations

import heapq
import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.notation import BurstLimit, limit
from crawlerd.ratelimit.limiter import Limiter
from crawlerd.ratelimit.window import Stamp, StartLog

BEGIN = 1_000.0
LIMITS = st.sampled_from(["1/second burst 2", "2/second burst 2", "10/second burst 15", "5/2 seconds burst 4"])
DELAYS = st.lists(st.tuples(st.floats(0, 0.4), st.floats(0, 0.4)), min_size=1, max_size=40)


class ServerBucket:
    """As AWS documents it: full at first, a token a request, `amount` a second."""

    def __init__(self, item: BurstLimit) -> None:
        self.rate, self.burst = item.amount / item.get_expiry(), item.burst
        self.tokens, self.at = float(self.burst), 0.0

    def take(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1 - 1e-9:
            return False
        self.tokens -= 1
        return True


def limiter(text: str, quiet_since: float = -math.inf) -> tuple[Limiter, ServerBucket]:
    item = limit(text)
    assert isinstance(item, BurstLimit)
    return Limiter("1", [item], StartLog(), [].append, quiet_since=quiet_since), ServerBucket(item)


def crawl(guard: Limiter, delays: list[tuple[float, float]], requests: int) -> tuple[list[float], list[float]]:
    """Starts as many as soon as permitted; each arrives and is answered after delays of its own. When each started and
    when each arrived, in order."""
    now = BEGIN
    answers: list[tuple[float, int, Stamp]] = []
    starts: list[float] = []
    arrivals: list[float] = []
    while len(starts) < requests:
        at = guard.free_at(now)
        if at <= now:
            there, back = delays[len(starts) % len(delays)]
            stamp = Stamp(now)
            guard.start(stamp)
            starts.append(now)
            arrivals.append(now + there)
            heapq.heappush(answers, (now + there + back, len(starts), stamp))
        else:
            now = min(at, answers[0][0]) if answers else at
            while answers and answers[0][0] <= now:
                *_, stamp = heapq.heappop(answers)
                for law, sent in stamp.marks:
                    law.accepted(sent, now)
                guard.finish(now)
    return starts, sorted(arrivals)


@given(text=LIMITS, delays=DELAYS, requests=st.integers(1, 120))
def test_the_servers_bucket_is_never_overdrawn(text: str, delays: list[tuple[float, float]], requests: int) -> None:
    guard, server = limiter(text)
    _, arrivals = crawl(guard, delays, requests)
    assert all(server.take(at) for at in arrivals)


@given(text=LIMITS, used=st.integers(0, 20), killed=st.floats(0, 3), delays=DELAYS)
def test_nor_after_a_restart(text: str, used: int, killed: float, delays: list[tuple[float, float]]) -> None:
    """The process before may have used it up at the last moment at which it can have lived."""
    guard, server = limiter(text, quiet_since=BEGIN - killed)
    for _ in range(used):
        server.take(BEGIN - killed)
    _, arrivals = crawl(guard, delays, 60)
    assert all(server.take(at) for at in arrivals)


@given(latency=st.floats(0.001, 0.2), requests=st.integers(20, 300))
def test_its_burst_and_its_rate_are_used(latency: float, requests: int) -> None:
    guard, server = limiter("10/second burst 15")
    starts, _ = crawl(guard, [(latency / 2, latency / 2)], requests)
    assert starts[14] == BEGIN
    least = (requests - server.burst) / server.rate
    assert starts[-1] - BEGIN <= 1.006 * least + latency


def test_after_a_refusal_it_counts_as_empty_and_the_law_slows_down() -> None:
    guard, _ = limiter("10/second burst 15")
    crawl(guard, [(0.0, 0.01)], 100)
    now = BEGIN + 100.0
    stamp = Stamp(now)
    assert guard.free_at(now) <= now
    guard.start(stamp)
    guard.throttled(now, now + 0.05, None, 0.5, stamp=stamp)
    assert guard.law is not None
    ((law, sent),) = stamp.marks
    law.throttled(sent, now + 0.05, retry_after=None, concurrency=False)
    guard.finish(now + 0.05)
    assert guard.free_at(now + 0.05) >= now + 0.15
    starts, _ = crawl(guard, [(0.0, 0.01)], 40)
    assert guard.law.rate < 9.8
    gaps = [after - before for before, after in pairwise(starts[1:])]
    assert min(gaps) > 0.09  # what was slowed down uses no burst
