"""Limiters: limits as they are written, throttling, concurrency, what may be forgotten, and quotas on disk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits.strategies import MovingWindowRateLimiter

from crawlerd.frontier import open_frontier
from crawlerd.ratelimit.adaptive import LATENESS, AdaptiveLaw, Learned
from crawlerd.ratelimit.hold import EFFICIENCY
from crawlerd.ratelimit.limiter import THROTTLED_FIRST, THROTTLED_MOST, Limiter, parse_limits
from crawlerd.ratelimit.quota import GRANULARITY, KEPT, Ask, DurableWindows, Grant, grant
from crawlerd.ratelimit.window import MARGIN, Stamp, StartLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

JITTER = st.floats(0, 1, exclude_max=True)


def limiter(*limits: str, asks: list[Ask] | None = None, log: StartLog | None = None, **options: Any) -> Limiter:
    asks = [] if asks is None else asks
    return Limiter("1", parse_limits(limits), log or StartLog(), asks.append, **options)


def starts(of: Limiter, now: float) -> int:
    """How many may start at once now; they do."""
    count = 0
    while of.free_at(now) <= now:
        of.start(Stamp(now))
        of.finish(now)
        count += 1
    return count


# limits as they are written


@pytest.mark.parametrize(
    ("text", "amounts", "seconds"),
    [
        ("25/second", [25], [1]),
        ("100 per 10 seconds", [100], [10]),
        ("25/second;10000/day", [25, 10000], [1, 86400]),
        ("10/minute, 5/hour", [10, 5], [60, 3600]),
    ],
)
def test_limits_are_read_in_the_notation_of_the_library(text: str, amounts: list[int], seconds: list[int]) -> None:
    items = parse_limits([text])
    assert [item.amount for item in items] == amounts
    assert [item.get_expiry() for item in items] == seconds


@pytest.mark.parametrize("text", ["", "fast", "25", "25/fortnight", "-1/second", "0/second", "1/100ms"])
def test_what_is_no_limit_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=f'"{text}" (is not a limit|permits nothing)'):
        parse_limits(["1/second", text])


def test_a_limit_that_is_given_twice_counts_once() -> None:
    of = limiter("3/second", "3 per second; 9/10 seconds", smooth=False)
    assert starts(of, 100.0) == 3


# windows


def test_several_limits_are_charged_together_and_none_when_one_refuses() -> None:
    log = StartLog()
    of = limiter("2/second", "3/10 seconds", smooth=False, log=log)
    assert starts(of, 100.0) == 2
    assert of.free_at(100.0) == 100.0 + MARGIN
    assert starts(of, 101.1) == 1
    assert of.free_at(101.1) == 100.0 + 10 * MARGIN
    strategy = MovingWindowRateLimiter(log)
    second, ten = parse_limits(["2/second", "3/10 seconds"])
    log.stamp = Stamp(101.1)
    assert strategy.get_window_stats(second, "1").remaining == 1
    assert strategy.get_window_stats(ten, "1").remaining == 0


def test_a_start_that_was_not_free_is_an_error_and_not_an_excess() -> None:
    of = limiter("1/second", smooth=False)
    of.start(Stamp(100.0))
    with pytest.raises(AssertionError, match="1 per 1 second of 1 was free and is not"):
        of.start(Stamp(101.0))


def test_without_smoothing_all_that_is_permitted_starts_at_once_and_with_it_one() -> None:
    assert starts(limiter("25/second", smooth=False), 100.0) == 25
    assert starts(limiter("10/second"), 100.0) == 1


def test_a_quota_is_not_paced() -> None:
    assert limiter("3600/hour").free_at(100.0) == math.inf  # it asks the store, and nothing else is in the way
    of = limiter("25/second", "3600/hour")
    assert of.free_at(100.0) == math.inf


def test_a_later_arrival_moves_all_windows() -> None:
    of = limiter("1/second", "2/10 seconds", smooth=False)
    stamp = Stamp(100.0)
    of.start(stamp)
    stamp.at = 100.5
    assert of.free_at(100.6) == 100.5 + MARGIN
    of.start(Stamp(102.0))
    assert of.free_at(102.0) == 100.5 + 10 * MARGIN


def test_keys_do_not_share_windows() -> None:
    log = StartLog()
    first = limiter("1/second", smooth=False, log=log)
    other = Limiter("1/1", parse_limits(["1/second"]), log, list[Ask]().append, smooth=False)
    assert starts(first, 100.0) == 1
    assert starts(other, 100.0) == 1
    first.forget()
    assert starts(first, 100.0) == 1
    assert other.free_at(100.0) > 100.0


def test_memory_is_one_stamp_for_each_start_that_a_window_permits() -> None:
    log = StartLog()
    of = limiter("3/second", smooth=False, log=log)
    (item,) = parse_limits(["3/second"])
    for number in range(100):
        assert starts(of, 100.0 + 2 * number) == 3
    assert log.get(item.key_for("1")) == 3
    assert log.reset() == 1
    assert log.get(item.key_for("1")) == 0


def test_a_window_is_all_that_it_keeps() -> None:
    with pytest.raises(TypeError, match="moving windows only"):
        StartLog().incr("key", 1)


def test_what_costs_more_than_a_window_permits_never_starts_and_harms_nothing() -> None:
    of = limiter("3/second", smooth=False)
    assert of.free_at(100.0, cost=4) == math.inf
    assert starts(of, 100.0) == 3
    assert of.free_at(200.0, cost=4) == math.inf


# pacing


def test_a_pause_is_not_made_up_for_but_lateness_is() -> None:
    pacer = AdaptiveLaw(ceiling=10)
    pacer.start(100.0)
    on_time = pacer.free_at()
    assert on_time == pytest.approx(100.1)
    pacer.start(on_time + 0.008)
    assert pacer.free_at() == pytest.approx(on_time + 0.1)
    pacer.start(on_time + 0.1, cost=3)
    assert pacer.free_at() == pytest.approx(on_time + 0.4)


@pytest.mark.parametrize(("limits", "rate"), [(["10/second", "50/10 seconds"], 5), (["10/second", "9000/hour"], 10)])
def test_the_pace_is_that_of_the_slowest_window_that_is_no_quota(limits: list[str], rate: float) -> None:
    asks: list[Ask] = []
    of = limiter(*limits, asks=asks)
    of.free_at(100.0)
    for ask in asks:
        ask.quota.receive(Grant(ask.quota, 5, 0.0), 200.0)
    of.start(Stamp(100.0))
    assert of.free_at(100.0) == pytest.approx(100.0 + 1 / rate / EFFICIENCY)


# a restart


def test_after_a_restart_the_first_start_keeps_its_distance_from_the_last_before() -> None:
    both_late = 2 * LATENESS
    assert limiter("10/second", quiet_since=100.0).free_at(100.0) == pytest.approx(100 + 0.1 / EFFICIENCY + both_late)
    assert limiter("10/second", "20/4 seconds", quiet_since=100.0).free_at(100.0) == pytest.approx(
        100 + 0.2 / EFFICIENCY + both_late
    )


def test_after_a_restart_bursts_wait_until_the_longest_window_is_over() -> None:
    of = limiter("10/second", "20/4 seconds", quiet_since=100.0, smooth=False)
    assert of.free_at(100.0) == 104.0
    assert limiter("10/second", smooth=False).free_at(100.0) <= 100.0


# concurrency


def test_concurrency_is_a_number_of_requests_and_not_a_rate() -> None:
    of = limiter(concurrency=2)
    for _ in range(2):
        assert of.free_at(100.0) <= 100.0
        of.start(Stamp(100.0))
    assert of.free_at(100.0) == math.inf
    assert not of.quiet(1000.0)
    of.finish(100.0)
    assert of.free_at(100.0) <= 100.0


# throttling


@given(jitter=JITTER, retry_after=st.floats(0, 86400))
def test_retry_after_is_honoured_to_the_second(jitter: float, retry_after: float) -> None:
    of = limiter()
    of.throttled(99.0, 100.0, retry_after, jitter, certain=True)
    assert of.free_at(100.0) == 100.0 + retry_after


def test_the_longest_retry_after_counts_even_of_a_request_sent_before_the_first_answer() -> None:
    of = limiter()
    of.throttled(99.0, 100.0, 5.0, 0.5, certain=True)
    of.throttled(99.0, 100.1, 60.0, 0.5, certain=True)
    of.throttled(99.0, 100.2, 1.0, 0.5, certain=True)
    assert of.free_at(100.2) == 160.1


@given(jitters=st.lists(JITTER, min_size=12, max_size=12))
def test_without_retry_after_waits_double_up_to_their_cap(jitters: list[float]) -> None:
    of = limiter()
    now = 100.0
    for number, jitter in enumerate(jitters):
        of.throttled(now, now, None, jitter, certain=True)
        longest = min(THROTTLED_MOST, THROTTLED_FIRST * 2**number)
        wait = of.free_at(now) - now
        assert longest / 2 - 1e-9 <= wait <= longest + 1e-9
        now = of.free_at(now)


def test_a_success_begins_the_waits_anew() -> None:
    of = limiter()
    for _ in range(5):
        of.throttled(200.0, 200.0, None, 0.0, certain=True)
    assert of.free_at(200.0) == 200.0 + THROTTLED_FIRST * 2**4 / 2
    of.start(passed := Stamp(250.0))
    of.succeeded(passed, passed.at)
    of.throttled(300.0, 300.0, None, 0.0, certain=True)
    assert of.free_at(300.0) == 300.0 + THROTTLED_FIRST / 2


def test_answers_to_what_was_sent_before_we_slowed_down_say_nothing_new() -> None:
    of = limiter()
    of.throttled(99.9, 100.0, None, 0.0, certain=True)
    until = of.free_at(100.0)
    for sent_at in (99.8, 99.95, 99.999):
        of.throttled(sent_at, 100.2, None, 0.9, certain=True)
        assert of.free_at(100.2) == until
    of.throttled(100.3, 100.4, None, 0.0, certain=True)
    assert of.free_at(100.4) == 100.4 + THROTTLED_FIRST * 2 / 2


def test_throttling_never_frees_what_a_window_holds() -> None:
    of = limiter("1/10 seconds", smooth=False)
    of.start(Stamp(100.0))
    of.throttled(100.0, 100.0, 1.0, 0.5, certain=True)
    assert of.free_at(100.0) == 100.0 + 10 * MARGIN


def test_it_says_whether_its_pace_is_configured_or_learned() -> None:
    of = limiter("1/second")
    of.start(Stamp(100.0))
    assert not any("learned" in hold.text for hold in of.holds(100.0))
    of = limiter("40/second", learned=Learned(0.375))
    of.start(Stamp(100.0))
    (hold,) = of.holds(100.0)
    assert hold.text == "its pace of a request every 2.67 s, learned from what the API has refused"


def test_a_pace_is_in_requests_per_second() -> None:
    of = limiter("20/second")
    of.start(Stamp(100.0))
    paces = [hold.text for hold in of.holds(100.0) if "pace" in hold.text]
    assert paces == ["its pace of 19.7 requests per second"]


# what may be forgotten


@pytest.mark.parametrize("smooth", [True, False])
def test_a_limiter_is_quiet_when_a_new_one_would_permit_no_more(smooth: bool) -> None:
    of = limiter("2/second", smooth=smooth)
    assert of.quiet(100.0)
    of.start(Stamp(100.0))
    assert not of.quiet(200.0)  # its request is on its way
    of.finish(100.0)
    assert not of.quiet(100.0 + MARGIN - 0.001)
    assert of.quiet(100.0 + MARGIN + 0.001)
    of.throttled(200.0, 200.0, 30.0, 0.5, certain=True)
    assert not of.quiet(229.0)
    assert of.quiet(230.0)
    of.throttled(300.0, 300.0, None, 0.5, certain=True)
    assert of.quiet(400.0) == smooth  # without a law, how often it was throttled in a row counts until a success
    of.start(passed := Stamp(398.0))
    of.succeeded(passed, passed.at)
    of.finish(398.1)
    assert of.quiet(400.0)


# quotas


class Store:
    """Grants quotas as the store does: in a transaction of a real frontier."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.asks: list[Ask] = []
        self.open()

    def open(self) -> None:
        self.frontier = open_frontier(self.state_dir, now=0.0)
        self.windows = DurableWindows(self.frontier.quota_rows)

    def restart(self) -> None:
        """What was granted and not used is lost, as in a crash."""
        self.frontier.close()
        self.asks.clear()
        self.open()

    def answer(self, now: float) -> list[Grant]:
        grants: list[Grant] = []
        asks = self.asks.copy()
        self.asks.clear()

        def charge() -> None:
            grants.extend(each for ask in asks if (each := grant(self.windows, ask, now)))

        self.frontier.commit([], now=now, charge=charge)
        for each in grants:
            each.quota.receive(each, each.until)
        return grants

    def starts(self, of: Limiter, now: float) -> int:
        count = 0
        while True:
            if of.free_at(now) == math.inf:
                self.answer(now)
            if of.free_at(now) > now:
                return count
            count += starts(of, now)

    def charged(self, item: str) -> Sequence[tuple[float, int]]:
        return self.frontier.quota_rows.charged(parse_limits([item])[0].key_for("1"), 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.frontier.close()


def test_a_quota_is_asked_for_once_and_granted_in_hundredths(store: Store) -> None:
    of = limiter("1000/day", asks=store.asks)
    assert of.free_at(100.0) == math.inf
    assert of.free_at(100.0) == math.inf
    assert [(ask.cost, ask.unused) for ask in store.asks] == [(1, 0)]
    (granted,) = store.answer(100.0)
    assert (granted.starts, granted.until) == (1000 // GRANULARITY, 100.0 + 86400 / GRANULARITY)
    assert starts(of, 100.0) == 10
    assert store.charged("1000/day") == [(granted.until, 10)]


def test_a_spent_quota_says_when_it_is_free_again_and_survives_a_crash(store: Store) -> None:
    of = limiter("250/hour", asks=store.asks)
    assert store.starts(of, 100.0) == 250
    for _ in range(2):
        assert of.free_at(100.0) == pytest.approx(100.0 + 3600 * KEPT)
        assert store.asks == []
        store.restart()
        of = limiter("250/hour", asks=store.asks)
        assert store.starts(of, 100.0) == 0
    assert store.starts(of, 100.0 + 3600 * KEPT - 1) == 0
    assert store.starts(of, 100.0 + 3600 * KEPT + 1) == 250


def test_a_crash_wastes_a_hundredth_and_an_orderly_end_nothing(store: Store) -> None:
    of = limiter("1000/hour", asks=store.asks)
    assert of.free_at(100.0) == math.inf
    store.answer(100.0)
    of.start(Stamp(100.0))
    store.restart()
    of = limiter("1000/hour", asks=store.asks)
    assert of.free_at(100.0) == math.inf
    store.answer(100.0)
    of.start(Stamp(100.0))
    of.give_back()
    of.give_back()
    store.answer(101.0)
    assert sum(count for _, count in store.charged("1000/hour")) == 10 + 1
    assert store.starts(limiter("1000/hour", asks=store.asks), 102.0) == 1000 - 11


def test_a_grant_is_not_used_after_its_time_and_its_rest_is_given_back(store: Store) -> None:
    of = limiter("1000/hour", asks=store.asks)
    of.free_at(100.0)
    store.answer(100.0)
    of.start(Stamp(100.0))
    assert of.free_at(135.9) <= 135.9
    assert of.free_at(136.1) == math.inf
    assert [(ask.cost, ask.unused) for ask in store.asks] == [(1, 9)]
    store.answer(136.1)
    assert [count for _, count in store.charged("1000/hour")] == [1, 10]


def test_what_a_start_costs_is_granted_as_a_whole(store: Store) -> None:
    of = limiter("100/hour", asks=store.asks)
    assert of.free_at(100.0, cost=60) == math.inf
    store.answer(100.0)
    assert of.free_at(100.0, cost=60) <= 100.0
    of.start(Stamp(100.0), cost=60)
    assert of.free_at(100.0, cost=60) == math.inf
    store.answer(100.0)
    assert of.free_at(100.0, cost=60) == pytest.approx(100.0 + 3600 * KEPT)


def test_old_charges_are_dropped(store: Store) -> None:
    of = limiter("5/minute", asks=store.asks, smooth=False)
    for number in range(20):
        assert store.starts(of, 100.0 * number) == 5
    assert len(store.charged("5/minute")) <= GRANULARITY


def test_quotas_cannot_be_reset_by_the_way(store: Store) -> None:
    with pytest.raises(TypeError, match="quotas are not reset"):
        store.windows.reset()
    with pytest.raises(TypeError, match="moving windows only"):
        store.windows.incr("key", 60)


# concurrency that is to be found


def test_concurrency_auto_begins_at_four_and_goes_by_what_the_server_says() -> None:
    of = limiter(concurrency="auto")
    assert not of.unlimited
    law = of.law
    assert law is not None
    stamps = [Stamp(100.0) for _ in range(4)]
    for stamp in stamps:
        assert of.free_at(100.0) <= 100.0
        of.start(stamp)
    assert of.free_at(100.0) == math.inf
    *others, last = stamps
    for stamp in others:
        law.accepted(stamp.marks[0][1], 100.1)
        of.finish(100.1)
    law.throttled(last.marks[0][1], 100.1, retry_after=None, concurrency=True)
    of.finish(100.1)
    assert law.concurrency == 3
    assert law.rate > 1000  # it is no matter of the rate
    for _ in range(3):
        assert of.free_at(100.2) <= 100.2
        of.start(Stamp(100.2))
    assert of.free_at(100.2) == math.inf


def test_concurrency_that_was_found_is_not_found_again() -> None:
    of = limiter(concurrency="auto", learned=Learned(concurrency=7))
    assert of.law is not None
    assert of.law.concurrency == 7


# limits that are changed while requests are out


def follows(old: Limiter, *texts: str, now: float, asks: list[Ask] | None = None, **options: Any) -> Limiter:
    """The limiter that takes the place of `old` at this moment."""
    new = Limiter(
        old.key, parse_limits(texts), old._log, (asks if asks is not None else []).append, quiet_since=now, **options
    )
    new.follow(old)
    return new


@pytest.mark.parametrize(("before", "after"), [("100/day", "40/day"), ("100/day", "250/day"), ("30/hour", "20/hour")])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_quota_of_another_amount_counts_what_was_sent_under_the_last_one(
    store: Store, before: str, after: str, restarted: bool
) -> None:
    old = limiter(before, asks=store.asks)
    first = 0
    while first < 25 and store_one(store, old):
        first += 1
    if restarted:
        old.give_back()
        store.answer(100.0)
        store.restart()
        new = limiter(after, asks=store.asks)
    else:
        new = follows(old, after, now=100.0, asks=store.asks)
    amount = parse_limits([after])[0].amount
    assert store.starts(new, 101.0) == max(0, amount - first)


def store_one(store: Store, of: Limiter) -> int:
    if of.free_at(100.0) == math.inf:
        store.answer(100.0)
    if of.free_at(100.0) > 100.0:
        return 0
    of.start(Stamp(100.0))
    return 1


def test_a_quota_that_goes_back_to_its_old_amount_knows_what_was_sent_meanwhile(store: Store) -> None:
    first = limiter("100/day", asks=store.asks)
    assert store.starts(first, 100.0) == 100
    second = follows(first, "150/day", now=101.0, asks=store.asks)
    assert store.starts(second, 102.0) == 50
    third = follows(second, "100/day", now=103.0, asks=store.asks)
    assert store.starts(third, 104.0) == 0


def test_quotas_of_other_windows_are_not_taken_for_this_one(store: Store) -> None:
    assert store.starts(limiter("30/hour", asks=store.asks), 100.0) == 30
    assert store.starts(limiter("40/day", asks=store.asks), 101.0) == 40


def test_what_a_replaced_quota_is_granted_late_is_given_back(store: Store) -> None:
    old = limiter("1000/day", asks=store.asks)
    assert old.free_at(100.0) == math.inf  # asked
    new = follows(old, "500/day", now=100.0, asks=store.asks)
    store.answer(100.0)
    new.give_back()
    store.answer(100.0)
    assert sum(count for _, count in store.charged("1000/day")) == 0


def test_a_lowered_window_counts_what_was_started_in_the_old_one() -> None:
    old = limiter("10/second", smooth=False)
    assert starts(old, 100.0) == 10
    new = follows(old, "4/second", now=100.2, smooth=False)
    assert starts(new, 100.9) == 0
    assert starts(new, 101.1) == 4


def test_a_raised_window_permits_the_difference_at_once() -> None:
    old = limiter("4/second", smooth=False)
    assert starts(old, 100.0) == 4
    assert starts(follows(old, "10/second", now=100.2, smooth=False), 100.3) == 6


def test_a_longer_window_begins_as_after_a_restart() -> None:
    old = limiter("4/second", smooth=False)
    starts(old, 100.0)
    new = follows(old, "4/second", "20/30 seconds", now=100.2, smooth=False)
    assert new.free_at(120.0) == pytest.approx(130.2)


def test_other_limits_leave_a_wait_that_the_api_has_asked_for_and_what_is_under_way() -> None:
    old = limiter("10/second")
    old.start(Stamp(100.0))
    old.throttled(100.0, 100.1, 30.0, 0.5, certain=True)
    new = follows(old, "20/second", now=100.2, concurrency=1)
    assert new.free_at(140.0) == math.inf  # one is under way
    new.finish(140.0)
    assert new.free_at(100.3) >= 130.0
