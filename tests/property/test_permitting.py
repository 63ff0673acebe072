"""Requests compared with what the limits would have permitted: in virtual time, with the limiters of real runs."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bench_partners import Asked, Limits
from support.outages import outages

from crawlerd.core.configuration import LimitSpec
from crawlerd.core.outcome import DONE, Made
from crawlerd.core.pauses import PauseNote, Pauses
from crawlerd.core.task import Task
from crawlerd.engine.attempt_counts import SourceCounts
from crawlerd.engine.permitting import SLICE, Permit, Permitting
from crawlerd.engine.workbench import Workbench
from crawlerd.ratelimit.hold import Permitted
from crawlerd.ratelimit.quota import Grant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.engine.queues import Pick

    Out = list[tuple[float, int, Pick]]  # requests: when they are answered

LOOK_SECONDS = 0.25
NOW = 1000.0


class Use(NamedTuple):
    sent: int
    permitted: float

    @property
    def share(self) -> float:
        return self.sent / self.permitted if self.permitted else math.nan


class Crawl:
    """Accounts with enough work, workers with a number of threads, an API that answers after a while."""

    def __init__(self, specs: dict[int, LimitSpec], *, threads: int = 1000, latency: float = 0.1) -> None:
        self.counts = SourceCounts()
        self.asked = Asked()
        self.bench = Workbench(Limits(specs), self.asked, outages(), counts=lambda account: self.counts)
        self.permitting = Permitting()
        self.threads, self.latency = threads, latency
        self.now = self.look_at = NOW
        self.numbers, self.granted = count(1), 0
        self.out: Out = []

    def add(self, account: int, bucket: int, tasks: int) -> None:
        made = [Task(next(self.numbers), bucket, 5, 1, "s.page", 0, "{}") for _ in range(tasks)]
        self.bench.add_heads(bucket, account, f"b{bucket}", 1, made, more=False, blocked_until=0.0, now=self.now)

    def run(self, seconds: float) -> Use:
        """What was sent and permitted meanwhile."""
        until = self.now + seconds
        sent, permitted = sum(self.counts.statuses.values()), self.counts.permitted
        while self.now < until:
            self._grant()
            while self.out and self.out[0][0] <= self.now:
                _, _, pick = heappop(self.out)
                self.counts.heard(DONE, Made(self.latency, 200))
                pick.account.permit.sent()
                self.bench.finish(pick, self.now)
            while len(self.out) < self.threads and (start := self.bench.choose(self.now, 1)):
                self.bench.charge(start, self.now)
                heappush(self.out, (self.now + self.latency, next(self.numbers), start))
            if self.now >= self.look_at:
                self.look_at += LOOK_SECONDS
                self.permitting.look(self.bench, self.now)
            self.now = min(until, self.look_at, max(self.bench.next_at(), self.now + 1e-4), *self._answers())
        return Use(sum(self.counts.statuses.values()) - sent, self.counts.permitted - permitted)

    def _answers(self) -> Iterator[float]:
        yield math.inf
        if self.out:
            yield max(self.out[0][0], self.now + 1e-6)

    def _grant(self) -> None:
        """The store's part: quotas of 100 in all."""
        for ask in self.asked.quotas:
            starts = min(10, 100 - self.granted)
            self.granted += starts
            until = self.now + (36.0 if starts else 3600.0)
            self.bench.grant(Grant(ask.quota, starts, until), until, self.now)
        self.asked.quotas.clear()


def test_at_full_speed_all_is_used() -> None:
    crawl = Crawl({1: LimitSpec(limits=("20/second",))})
    crawl.add(1, 1, 5000)
    crawl.run(10)
    assert 0.96 < crawl.run(60).share <= 1.0


def test_the_first_seconds_are_no_exception() -> None:
    crawl = Crawl({1: LimitSpec(limits=("20/second",))})
    crawl.add(1, 1, 5000)
    assert 0.9 < crawl.run(10).share <= 1.0


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_too_few_threads_are_seen_as_limits_that_are_not_used(share: float) -> None:
    crawl = Crawl({1: LimitSpec(limits=("20/second",))}, threads=round(20 * share), latency=1.0)
    crawl.add(1, 1, 5000)
    crawl.run(10)
    assert crawl.run(60).share == pytest.approx(share, rel=0.1)


def test_of_buckets_and_account_the_lower_limit_counts() -> None:
    crawl = Crawl({1: LimitSpec(limits=("30/second",), bucket_limits=("20/second",))})
    crawl.add(1, 1, 3000)
    crawl.run(10)
    alone = crawl.run(30)
    assert alone.permitted == pytest.approx(600, rel=0.05)
    crawl.add(1, 2, 3000)
    crawl.run(10)
    both = crawl.run(30)
    assert both.permitted == pytest.approx(900, rel=0.05)
    assert 0.94 < both.share <= 1.01


def test_accounts_add_up() -> None:
    crawl = Crawl({number: LimitSpec(limits=("2/second",)) for number in range(1, 201)})
    for number in range(1, 201):
        crawl.add(number, number, 500)
    assert SLICE < 200  # they are looked at in turn
    crawl.run(10)
    assert 0.94 < crawl.run(60).share <= 1.01


def test_an_account_without_work_is_permitted_nothing() -> None:
    crawl = Crawl({1: LimitSpec(limits=("20/second",))})
    crawl.add(1, 1, 100)
    first = crawl.run(20)
    assert first.sent == 100
    assert first.permitted == pytest.approx(100, rel=0.2)
    assert crawl.run(60) == (0, 0)


def test_a_paused_account_is_permitted_nothing() -> None:
    crawl = Crawl({1: LimitSpec(limits=("20/second",))})
    crawl.add(1, 1, 5000)
    crawl.run(10)
    account = crawl.bench.known(1)
    assert account is not None
    note = PauseNote(kind="account", name=account.name, reason="holiday", by="kim", since=0.0)
    crawl.bench.hold(Pauses([note], lambda name: "s"), crawl.now)
    crawl.run(1)
    assert crawl.run(60) == (0, 0)


def test_a_throttled_bucket_is_permitted_nothing_meanwhile() -> None:
    crawl = Crawl({1: LimitSpec(limits=("20/second",))})
    crawl.add(1, 1, 5000)
    crawl.run(10)
    account = crawl.bench.known(1)
    assert account is not None
    account.limiter.block(crawl.now + 30, *account.limiter.blocked_for)
    crawl.bench.place(account, crawl.now)
    crawl.run(1)
    assert crawl.run(25) == (0, 0)
    crawl.run(10)
    assert 0.94 < crawl.run(60).share <= 1.01


def test_a_quota_permits_what_was_sent_until_it_is_used_up() -> None:
    crawl = Crawl({1: LimitSpec(limits=("100/hour",))})
    crawl.add(1, 1, 5000)
    assert crawl.run(60).share == pytest.approx(1.0)
    assert sum(crawl.counts.statuses.values()) == 100
    assert crawl.run(600) == (0, 0)


def test_what_no_limit_holds_counts_as_permitted() -> None:
    crawl = Crawl({1: LimitSpec()}, threads=4)
    crawl.add(1, 1, 3000)
    use = crawl.run(20)
    assert use.sent > 100
    assert use.permitted == use.sent


def test_an_api_s_store_is_permitted_as_well() -> None:
    """A token bucket: the burst, and the rate from then on."""
    crawl = Crawl({1: LimitSpec(limits=("10/second burst 50",))})
    crawl.add(1, 1, 5000)
    use = crawl.run(60)
    assert use.sent > 600
    assert use.permitted == pytest.approx(650, rel=0.1)
    assert use.share <= 1.0


@given(
    st.lists(
        st.one_of(
            st.just(None),
            st.tuples(st.floats(0, 50), st.floats(0, 100), st.floats(0.01, 60)),
        )
    )
)
def test_never_is_more_sent_than_permitted(steps: list[tuple[float, float, float] | None]) -> None:
    """None: a request; else a look, some seconds later."""
    counts, sent, now, earned = SourceCounts(), 0, 0.0, 0.0
    permit = Permit(counts)
    permit.look(Permitted(0.0), now)
    for step in steps:
        if step is None:
            permit.sent()
            sent += 1
        else:
            rate, stored, seconds = step
            now += seconds
            permit.look(Permitted(rate, stored), now)
            earned += rate * seconds
        assert sent <= counts.permitted + 1e-6
        assert counts.permitted <= earned + sent + 1e-6
