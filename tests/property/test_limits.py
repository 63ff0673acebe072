"""No limit is exceeded in any window, whatever the sequence of starts, late arrivals and restarts; a virtual clock."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from limits.strategies import MovingWindowRateLimiter

from crawlerd.frontier.sql.quota_rows import SqlQuotaRows
from crawlerd.frontier.sqlite.migrations import MIGRATIONS
from crawlerd.ratelimit.adaptive import LATENESS
from crawlerd.ratelimit.hold import EFFICIENCY
from crawlerd.ratelimit.limiter import Limiter, parse_limits
from crawlerd.ratelimit.quota import Ask, DurableWindows, grant
from crawlerd.ratelimit.window import MARGIN, Stamp, StartLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BEGIN = 1000.0
SETS = st.sampled_from(
    [
        ("1/second",),
        ("3/second",),
        ("2/second", "5/4 seconds"),
        ("4/2 seconds", "6/5 seconds", "9/20 seconds"),
        ("7/second", "3/second"),
    ]
)
STEP = st.sampled_from([0.0, 0.001, 0.2, 0.5]) | st.floats(0, 3)


def never(_: Ask) -> None:
    raise AssertionError("these limits have no quota")


def limiter(limits: Sequence[str], log: StartLog, **options: Any) -> Limiter:
    return Limiter("1", parse_limits(limits), log, never, **options)


def most_within(seconds: float, arrivals: Iterable[float]) -> int:
    """Most arrivals in any window of this length, its end not included."""
    times = sorted(arrivals)
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def check(limits: Sequence[str], arrivals: Sequence[float], *, longer: float = 1.0, less: float = 0.0) -> None:
    for item in parse_limits(limits):
        seconds = item.get_expiry() * longer - less - 1e-6  # a millionth for what floats round
        if seconds > 0:
            assert most_within(seconds, arrivals) <= item.amount, f"{item}: {arrivals}"


@given(
    limits=SETS,
    attempts=st.lists(st.tuples(STEP, st.floats(0, 0.9), st.floats(0, 0.09), st.integers(1, 3)), max_size=60),
)
def test_no_window_holds_more_than_its_limit_by_when_the_server_got_them(
    limits: Sequence[str], attempts: list[tuple[float, float, float, int]]
) -> None:
    """Each start arrives later than it was let go, which is known only some time after that, out of order too. As long
    as it is known within the shortest window, windows hold by the final times."""
    log = StartLog()
    guard = limiter(limits, log, smooth=False)
    now, arrivals, corrections = BEGIN, list[Stamp](), list[tuple[float, float, Stamp]]()
    for step, late, later, burst in attempts:
        now += step
        for known_at, arrived_at, stamp in corrections:
            if known_at <= now:
                stamp.at = max(stamp.at, arrived_at)
        for _ in range(burst):
            if guard.free_at(now) <= now:
                stamp = Stamp(now)
                guard.start(stamp)
                guard.finish(now)
                arrivals.append(stamp)
                corrections.append((now + late + later, now + late, stamp))
    for _, arrived_at, stamp in corrections:
        stamp.at = max(stamp.at, arrived_at)
    check(limits, [stamp.at for stamp in arrivals], longer=MARGIN)


@given(
    limits=SETS,
    attempts=st.lists(st.tuples(STEP, st.floats(0, 5)), max_size=60),
    latest=st.sampled_from([0.025, 1.0, 5.0]),
)
def test_what_is_never_known_to_arrive_late_shortens_windows_by_no_more(
    limits: Sequence[str], attempts: list[tuple[float, float]], latest: float
) -> None:
    guard = limiter(limits, StartLog(), smooth=False)
    now, arrivals = BEGIN, list[float]()
    for step, late in attempts:
        now += step
        if guard.free_at(now) <= now:
            guard.start(Stamp(now))
            guard.finish(now)
            arrivals.append(now + min(late, latest))
    check(limits, arrivals, longer=MARGIN, less=latest)


@given(limits=SETS, steps=st.lists(STEP, max_size=40), smooth=st.booleans())
def test_free_at_is_exactly_when_the_next_start_is_permitted(
    limits: Sequence[str], steps: list[float], smooth: bool
) -> None:
    log = StartLog()
    guard = limiter(limits, log, smooth=smooth)
    strategy = MovingWindowRateLimiter(log)
    now = BEGIN
    for step in steps:
        now = max(now + step, guard.free_at(now))
        guard.start(Stamp(now))  # it raises if a window refuses
        guard.finish(now)
        items = [
            (item, log.free_at(item.key_for("1"), item.amount, item.get_expiry())) for item in parse_limits(limits)
        ]
        for item, free_at in items:
            if free_at:
                log.stamp = Stamp(math.nextafter(free_at, 0.0))
                assert not strategy.hit(item, "1")
        assert guard.free_at(now) >= max(free_at for _, free_at in items)
        if not smooth:
            assert guard.free_at(now) == max(free_at for _, free_at in items)


@given(
    limit=st.integers(1, 9),
    seconds=st.integers(1, 30),
    attempts=st.lists(st.tuples(STEP, st.integers(1, 10)), max_size=60),
)
def test_a_start_may_cost_more_than_one(limit: int, seconds: int, attempts: list[tuple[float, int]]) -> None:
    (item,) = parse_limits([f"{limit}/{seconds} seconds"])
    log, key = StartLog(), item.key_for("1")
    strategy = MovingWindowRateLimiter(log)
    now, arrivals = BEGIN, list[float]()
    for step, cost in attempts:
        now += step
        log.stamp = Stamp(now)
        fits = strategy.hit(item, "1", cost=cost)
        assert fits == (cost <= limit and most_within(seconds * MARGIN, [*arrivals, *[now] * cost]) <= limit)
        if fits:
            arrivals += [now] * cost
        elif cost <= limit:
            log.stamp = Stamp(math.nextafter(log.free_at(key, limit, seconds, cost), math.inf))
            assert strategy.test(item, "1", cost=cost)


# pacing


@given(
    rate=st.sampled_from(
        ["1/second", "10/second", "25/second", "100/second", "300/second", "15/30 seconds", "5/2 seconds"]
    ),
    late=st.lists(st.floats(0, 0.008), min_size=1, max_size=30),
)
@example(rate="1000/second", late=[0.008])
@example(rate="100/second", late=[0.008])
@example(rate="25/second", late=[0.008, 0.0])
def test_starts_that_are_late_by_8_ms_keep_97_percent_of_the_rate_and_the_limit(rate: str, late: list[float]) -> None:
    (item,) = parse_limits([rate])
    guard = limiter([rate], StartLog())
    now, arrivals = BEGIN, list[float]()
    for number in range(2 * item.amount + 50):
        if guard.free_at(now) > now:
            now = guard.free_at(now) + late[number % len(late)]
        guard.start(Stamp(now))
        guard.finish(now)
        arrivals.append(now)
    check([rate], arrivals)
    achieved = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
    assert achieved >= 0.97 * item.amount / item.get_expiry()


@settings(max_examples=20)
@given(rate=st.sampled_from(["2/second", "10/second", "25/second", "50/second"]), pause=st.floats(0, 10))
def test_a_punctual_caller_starts_evenly(rate: str, pause: float) -> None:
    """Soon after a pause, too: no more of it is made up for than a late start may be."""
    (item,) = parse_limits([rate])
    interval = item.get_expiry() / item.amount / EFFICIENCY
    guard = limiter([rate], StartLog())
    now = BEGIN
    for _ in range(2):
        starts = []
        for _ in range(8 * item.amount):
            now = max(now, guard.free_at(now))
            guard.start(Stamp(now))
            starts.append(now)
        gaps = [after - before for before, after in pairwise(starts)]
        assert min(gaps) >= interval - LATENESS - 1e-9
        assert gaps[6 * item.amount :] == pytest.approx([interval] * (2 * item.amount - 1))
        now += pause


@given(
    limits=st.sampled_from([("25/second",), ("100/second",), ("3/second", "8/4 seconds")]),
    smooth=st.booleans(),
    before=st.integers(1, 60),
    start_up=st.floats(0, 2.0),
    late=st.lists(st.floats(0, 0.008), min_size=1, max_size=10),
)
@example(limits=("25/second",), smooth=True, before=13, start_up=0.0, late=[0.045, *[0.0] * 59])
@example(limits=("100/second",), smooth=True, before=50, start_up=0.0, late=[0.045, *[0.0] * 59])
def test_a_restart_does_not_exceed_a_limit(
    limits: Sequence[str], smooth: bool, before: int, start_up: float, late: list[float]
) -> None:
    """The new process knows only when the one before was last alive."""
    arrivals: list[float] = []
    now, quiet_since = BEGIN, -math.inf
    for count in (before, 60, 60):
        guard = limiter(limits, StartLog(), smooth=smooth, quiet_since=quiet_since)
        for number in range(count):
            now = max(now, guard.free_at(now)) + late[number % len(late)]
            guard.start(Stamp(now))
            arrivals.append(now)
        quiet_since = now = now + start_up
    check(limits, arrivals)


# quotas


class Granted:
    """The store's side: a table in a database, and the clock."""

    def __init__(self) -> None:
        self.database = apsw.Connection(":memory:")
        self.database.execute(MIGRATIONS[0])
        self.windows = DurableWindows(SqlQuotaRows(self.database))
        self.asks: list[Ask] = []

    def answer(self, now: float) -> None:
        asks = self.asks.copy()
        self.asks.clear()
        for ask in asks:
            if answer := grant(self.windows, ask, now):
                answer.quota.receive(answer, answer.until)


QUOTAS = st.sampled_from(
    [("3/minute",), ("101/minute",), ("250/hour",), ("700/minute", "1000/5 minutes"), ("5/minute", "40/hour")]
)


@given(
    limits=QUOTAS,
    attempts=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.59, 0.61, 35.0, 59.42, 60.0, 299.0]) | st.floats(0, 700),
            st.sampled_from([1, 1, 4, 100]),
            st.sampled_from(["", "", "", "", "crash", "stop"]),
        ),
        max_size=80,
    ),
)
@example(limits=("101/minute",), attempts=[(0, 1, ""), (0.59, 100, ""), (59.42, 100, "")])
def test_quotas_hold_over_restarts(limits: Sequence[str], attempts: list[tuple[float, int, str]]) -> None:
    granted = Granted()
    now, arrivals = BEGIN, list[float]()

    def fresh() -> Limiter:
        granted.asks.clear()
        return Limiter("1", parse_limits(limits), StartLog(), granted.asks.append, smooth=False)

    guard = fresh()
    for step, burst, end in attempts:
        now += step
        for _ in range(burst):
            if guard.free_at(now) > now:
                granted.answer(now)
            if guard.free_at(now) <= now:
                guard.start(Stamp(now))
                arrivals.append(now)
        if end == "stop":
            guard.give_back()
            granted.answer(now)
        if end:
            guard = fresh()
    check(limits, arrivals)


@settings(max_examples=30)
@given(limits=st.sampled_from([("300/minute",), ("1000/hour",)]), gap=st.floats(0.01, 1.0), restart=st.booleans())
def test_a_quota_can_be_used_nearly_to_the_full(limits: Sequence[str], gap: float, restart: bool) -> None:
    """Whether asked for all at once or bit by bit: at least 97% of two windows' quota are had in two windows."""
    (item,) = parse_limits(limits)
    granted = Granted()
    guard = Limiter("1", [item], StartLog(), granted.asks.append, smooth=False)
    now, started = BEGIN, 0
    while now < BEGIN + 2 * item.get_expiry():
        if guard.free_at(now) > now:
            granted.answer(now)
        free_at = guard.free_at(now)
        if free_at <= now:
            guard.start(Stamp(now))
            started += 1
            now += gap * item.get_expiry() / item.amount
        else:
            now = max(now + 0.001, free_at if free_at < math.inf else 0.0)
        if restart and started == item.amount // 2:
            guard.give_back()
            guard = Limiter("1", [item], StartLog(), granted.asks.append, smooth=False)
    assert started >= 0.97 * 2 * item.amount
