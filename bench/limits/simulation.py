"""A client that always has more to ask, against a scenario in virtual time; and the figures of what came of it."""

from __future__ import annotations

import heapq
import math
import statistics
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.limits.laws import Law
    from bench.limits.scenarios import Scenario

THREADS = 64  # requests that the client can have on their way
LATENESS = 0.002  # mean seconds by which it wakes up late to start a request
CONVERGED_SECONDS = 10  # of at least 90% used and at most 5% throttled, from when on a law counts as converged


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
    mean = (
        math.inf if not reached or missed > len(reached) / 2 else statistics.fmean(s for s in reached if s < math.inf)
    )
    return Figures(100 * used / permitted, 100 * refused / max(1, used + refused), mean)


def mean(runs: Sequence[Figures]) -> str:
    return f"{statistics.fmean(r.used for r in runs):.1f} / {statistics.fmean(r.throttled for r in runs):.2f}"


def worst(runs: Sequence[Figures]) -> str:
    return f"{min(r.used for r in runs):.1f} / {max(r.throttled for r in runs):.2f}"


def converged(runs: Sequence[Figures]) -> str:
    seconds = statistics.fmean(r.converged for r in runs)
    return "-" if math.isinf(seconds) else f"{seconds:.0f} s"
