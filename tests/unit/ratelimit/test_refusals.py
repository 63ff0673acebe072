"""What a lone refusal means, told apart by the next request, in virtual time."""

from __future__ import annotations

import random
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.demo.limits import AtRandom, FixedWindow, MovingWindow, TokenBucket
from crawlerd.ratelimit.limiter import Limiter, parse_limits
from crawlerd.ratelimit.refusals import MINORITY, Others, Refusals
from crawlerd.ratelimit.window import Stamp, StartLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.demo.limits import Limit


pytestmark = pytest.mark.slow


def passing(refusals: Refusals, count: int = 100) -> None:
    for _ in range(count):
        refusals.passed(refusals.started(0.0))


def refuse(refusals: Refusals, now: float, wait: float = 60.0, *, number: int | None = None) -> bool:
    number = refusals.started(now) if number is None else number
    return refusals.refused(number, now, now + 0.1, now + 0.1 + wait)


# a lone refusal


def test_after_a_lone_refusal_the_next_request_starts_at_once_and_the_one_after_it_waits_for_what_comes_of_it() -> None:
    refusals = Refusals()
    assert not refuse(refusals, 10.0)
    assert refusals.free_at() <= 10.1
    test = refusals.started(10.2)
    assert 10.3 < refusals.free_at() < 10.5  # by then it would have been refused, as the first one was after 0.1 s
    refusals.passed(test)
    assert refusals.free_at() == 0.0
    assert refusals.passing


def test_what_was_on_its_way_is_as_good_as_a_test() -> None:
    refusals = Refusals()
    first, second = refusals.started(10.0), refusals.started(10.05)
    assert not refuse(refusals, 10.0, number=first)
    assert refusals.free_at() > 10.1
    refusals.passed(second)
    assert refusals.free_at() == 0.0


def test_three_in_a_row_block() -> None:
    refusals = Refusals()
    assert [refuse(refusals, 10.0 + number) for number in range(3)] == [False, False, True]
    assert not refusals.passing
    refusals.passed(refusals.started(80.0))
    assert refusals.passing


def test_what_was_sent_before_all_were_told_to_wait_asks_for_more_at_most() -> None:
    refusals = Refusals()
    numbers = [refusals.started(10.0 + number / 100) for number in range(10)]
    assert [refuse(refusals, 10.1, number=number) for number in numbers] == [False, False, *[True] * 8]
    refusals.passed(numbers[5], 10.05)
    assert not refusals.passing  # it was sent before
    refusals.passed(refusals.started(71.0), 71.0)
    assert refusals.passing


def test_a_refusal_that_others_have_overtaken_costs_nothing() -> None:
    refusals = Refusals()
    first, second = refusals.started(10.0), refusals.started(10.1)
    refusals.passed(second)
    assert not refuse(refusals, 10.0, number=first)
    assert not refusals.testing


def test_a_test_that_fails_otherwise_is_followed_by_another() -> None:
    refusals = Refusals()
    assert not refuse(refusals, 10.0)
    refusals.failed(refusals.started(10.2))
    assert refusals.free_at() <= 10.2


def test_nothing_waits_longer_than_the_api_asks() -> None:
    refusals = Refusals()
    number = refusals.started(10.0)
    assert not refusals.refused(number, 10.0, 20.0, 20.5)  # it took 10 s
    refusals.started(20.1)
    assert refusals.free_at() <= 20.5


def test_what_is_certain_needs_no_test() -> None:
    assert Refusals().refused(0, 10.0, 10.1, 11.0, certain=True)


# how rare tests become


def test_tests_become_rarer_while_they_fail_and_more_frequent_when_one_passes() -> None:
    refusals = Refusals()
    extra = []  # requests that were refused beyond the first one of each time
    for time in range(1000):
        passing(refusals)
        refused = 1
        while not refuse(refusals, 100.0 * time):
            refused += 1
        extra.append(refused - 1)
    assert sum(extra) <= 12  # of a server that enforces a limit, in 1,000 blocks
    assert sum(extra[500:]) <= 2
    for _ in range(1100):
        passing(refusals)
        if not refuse(refusals, 200_000.0):
            refusals.passed(refusals.started(200_000.2))
    assert all(not refuse(refusals, 300_000.0) and (passing(refusals) or True) for _ in range(20))


def test_where_many_are_refused_that_concerns_all() -> None:
    refusals = Refusals()
    passing(refusals, 1000)
    blocked = 0
    for time in range(100):  # one of five
        passing(refusals, 4)
        blocked += refuse(refusals, 10.0 * time)
        refusals.passed(refusals.started(10.0 * time + 1))
    assert blocked >= 50


# others, and one task


@given(outcomes=st.lists(st.booleans(), max_size=400))
def test_the_share_of_others_is_a_share(outcomes: list[bool]) -> None:
    others = Others()
    for refused in outcomes:
        (others.refused if refused else others.passed)()
        assert 0 <= others.share <= 1


def test_one_task_among_many_that_pass_is_no_accident_at_its_first_refusal_already() -> None:
    others = Others()
    for number in range(39):
        others.passed() if number != 13 else others.refused()
    assert others.share == 0
    assert others.mostly_pass
    assert not others.could_be_chance(1)


@pytest.mark.parametrize(("share", "times"), [(0.02, 2.5), (0.1, 4), (0.3, 8)])
def test_the_more_others_are_refused_the_more_often_it_takes(share: float, times: float) -> None:
    others, randomness = Others(), random.Random(7)
    for _ in range(5000):
        (others.refused if randomness.random() < share else others.passed)()
    believed = next(number for number in range(1, 100) if not others.could_be_chance(number))
    assert times / 2 <= believed <= times * 2


def test_where_most_are_refused_it_is_never_the_tasks_own() -> None:
    others = Others()
    for _ in range(100):
        others.passed()
        others.refused()
        others.refused()
    assert others.share > MINORITY
    assert not others.mostly_pass


# against servers, in virtual time


def crawl(
    limiter: Limiter, server: Limit, *, seconds: float, latency: float, threads: int, retry_after: float = 1.0
) -> tuple[int, int, float]:
    """Served and refused requests, and the least time from a block's start to the next request."""
    now, served, refused, shortest = 0.0, 0, 0, retry_after
    blocked_at: float | None = None
    flying: deque[tuple[float, Stamp, bool]] = deque()
    while now < seconds:
        free_at = limiter.free_at(now) if len(flying) < threads else float("inf")
        if flying and flying[0][0] <= max(now, free_at):
            now, stamp, good = flying.popleft()
            if good:
                limiter.succeeded(stamp, stamp.at)
                served += 1
            else:
                refused += 1
                if limiter.throttled(stamp.at, now, retry_after, 0.5, stamp=stamp):
                    blocked_at = now
            for law, sent in stamp.marks:
                if good:
                    law.accepted(sent, now)
                else:
                    law.throttled(sent, now, retry_after=retry_after, concurrency=False, pause=blocked_at == now)
            limiter.ended(stamp)
            limiter.finish(now)
            continue
        now = max(now, free_at)
        if blocked_at is not None:
            shortest, blocked_at = min(shortest, now - blocked_at), None
        stamp = Stamp(now)
        limiter.start(stamp)
        flying.append((now + latency, stamp, server.admit(now + latency / 2)))
    return served, refused, shortest


def limiter_of(limit: str, **more: bool) -> Limiter:
    return Limiter("x", parse_limits([limit] if limit else []), StartLog(), lambda ask: None, **more)


@pytest.mark.parametrize(("latency", "threads"), [(0.15, 64), (0.001, 64), (0.001, 1)])
@pytest.mark.parametrize("rate", [5, 25, 100])
def test_random_refusals_with_retry_after_leave_nine_tenths_of_a_known_limit(
    rate: int, latency: float, threads: int
) -> None:
    shares = []
    for seed in range(3):
        server = AtRandom(lambda now: 0.02, random.Random(seed), MovingWindow(rate))
        seconds = max(300.0, 6000.0 / rate)
        limiter = limiter_of(f"{rate}/second")
        served, _, _ = crawl(limiter, server, seconds=seconds, latency=latency, threads=threads)
        shares.append(served / seconds / rate)
    assert sum(shares) / 3 >= 0.9


SERVERS: list[Callable[[], Limit]] = [lambda: TokenBucket(10, 20), lambda: MovingWindow(25), lambda: FixedWindow(25)]


@pytest.mark.parametrize("make", SERVERS)
@pytest.mark.parametrize(("latency", "threads"), [(0.1, 32), (0.002, 32), (0.002, 1)])
def test_a_server_that_enforces_a_limit_refuses_no_more_than_if_every_refusal_blocked(
    make: Callable[[], Limit], latency: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a client without any limit, which nothing else slows down."""
    seconds = 300.0
    limiter = limiter_of("", smooth=False)
    served, refused, shortest = crawl(limiter, make(), seconds=seconds, latency=latency, threads=threads)
    with monkeypatch.context() as patch:
        patch.setattr("crawlerd.ratelimit.refusals.CREDIT", 0.0)
        before = limiter_of("", smooth=False)
        before.refusals._credit = 0.0
        served_before, refused_before, _ = crawl(before, make(), seconds=seconds, latency=latency, threads=threads)
    assert refused <= refused_before * 1.05 + 5
    assert served >= 0.97 * served_before
    assert shortest >= 1.0 - 1e-9  # a block lasts as long as the API asks


@given(
    answers=st.lists(st.sampled_from(["pass", "refuse", "fail"]), min_size=1, max_size=60),
    waits=st.lists(st.floats(0.01, 100), min_size=60, max_size=60),
)
def test_it_never_stands_still_and_never_waits_past_what_was_asked(answers: list[str], waits: list[float]) -> None:
    limiter = limiter_of("", smooth=False)
    now, asked, starts = 0.0, 0.0, []
    for answer, wait in zip(answers, waits, strict=False):
        free_at = limiter.free_at(now)
        assert free_at <= max(now, asked)
        now = max(now, free_at)
        starts.append(now)
        stamp = Stamp(now)
        limiter.start(stamp)
        now += 0.1
        if answer == "pass":
            limiter.succeeded(stamp, stamp.at)
        elif answer == "refuse":
            limiter.throttled(now - 0.1, now, wait, 0.5, stamp=stamp)
            asked = max(asked, now + wait)
        else:
            limiter.failed(stamp)
        limiter.ended(stamp)
        limiter.finish(now)
    assert all(later >= earlier for earlier, later in pairwise(starts))


# where no pace spreads the starts


def blocked(now: float = 10.0) -> Refusals:
    refusals = Refusals(one_first=True)
    assert [refuse(refusals, now + number) for number in range(3)] == [False, False, True]
    return refusals


def test_the_first_request_after_a_block_goes_alone_until_it_has_ended() -> None:
    refusals = blocked()
    for start in (80.0, 150.0, 220.0):
        assert refusals.free_at() <= start
        probe = refusals.started(start)
        assert refusals.free_at() > start + 20
        assert refuse(refusals, start, number=probe)  # at once, without a further test
        refusals.ended(probe)
        assert refusals.free_at() <= start + 0.1
    probe = refusals.started(300.0)
    refusals.failed(probe)  # nothing was learned: the next one goes alone as well
    refusals.ended(probe)
    assert refusals.free_at() <= 300.1
    probe = refusals.started(301.0)
    assert refusals.free_at() > 320
    refusals.passed(probe, 301.0)
    assert refusals.free_at() == 0.0
    refusals.ended(probe)
    assert [refusals.started(302.0), refusals.free_at()][1] == 0.0


def test_one_that_never_ends_holds_the_others_up_for_a_while_alone() -> None:
    refusals = blocked()
    refusals.started(80.0)
    assert 100.0 < refusals.free_at() <= 110.0
    refusals.go_on(one_first=True)
    assert refusals.free_at() <= 80.0
