"""The adaptive law against small servers in virtual time: what it finds and follows, and what it must not learn."""

from __future__ import annotations

import heapq
import math
import random
import sys
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest

from crawlerd.demo.limits import AtOnce, AtRandom, FixedWindow, Limit, MovingWindow, TokenBucket
from crawlerd.ratelimit.adaptive import FIRST_RATE, LATENESS, LEAST_RATE, LONGEST_PAUSE, AdaptiveLaw, Learned, Sent
from crawlerd.ratelimit.background import LOWEST, Background
from crawlerd.ratelimit.concurrency import FIRST_PATIENCE, ConcurrencyLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

THERE, BACK = 0.010, 0.010  # seconds on the wire
SERVICE = (0.08, 0.15, 0.11, 0.24, 0.09, 0.13, 0.18)  # seconds that accepted requests take, in turn


def at_random(share: float, behind: Limit) -> AtRandom:
    return AtRandom(lambda _: share, random.Random(2), behind)


class Counts(NamedTuple):
    accepted: int
    throttled: int


class Client:
    """Asks a server for as much as the law permits, or for what `demand` says: times at which there is work."""

    def __init__(
        self,
        law: AdaptiveLaw,
        policy: Limit,
        *,
        retry_after: float | None = None,
        says: bool = False,
        cost: int = 1,
        service: tuple[float, ...] = SERVICE,
    ) -> None:
        self.law, self.policy, self.retry_after, self.says, self.service = law, policy, retry_after, says, service
        self.cost = cost
        self.now, self.starts, self.rates = 0.0, list[float](), list[float]()
        self._events: list[tuple[float, int, str, Any]] = []
        self._order = count()

    def run(self, seconds: float, demand: Iterable[float] | None = None) -> Counts:
        end, accepted, throttled = self.now + seconds, 0, 0
        work = None if demand is None else iter(demand)
        next_work = self.now if work is None else next(work, math.inf)
        while True:
            start_at = max(self.law.free_at(), self.now, next_work)
            at = min(start_at, self._events[0][0] if self._events else math.inf)
            if at >= end:
                self.now = end
                return Counts(accepted, throttled)
            if start_at == at:
                self.now = at
                self.starts.append(at)
                self.rates.append(self.law.rate)
                self._after(THERE, "arrives", self.law.start(at, self.cost))
                next_work = at if work is None else next(work, math.inf)
                continue
            self.now, number, what, sent = heapq.heappop(self._events)
            if what == "arrives" and self.policy.admit(self.now):
                accepted += 1
                self._after(self.service[number % len(self.service)], "served", sent)
            elif what == "arrives":
                throttled += 1
                self._after(BACK, "throttled", sent)
            elif what == "served":
                self.policy.release()
                self._after(BACK, "accepted", sent)
            elif what == "accepted":
                self.law.accepted(sent, self.now)
            else:
                self.law.throttled(sent, self.now, retry_after=self.retry_after, concurrency=self.says)

    def _after(self, seconds: float, what: str, sent: Sent) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), what, sent))


def refuse(law: AdaptiveLaw, sent: Sent, now: float, retry_after: float | None = None, *, says: bool = False) -> None:
    law.throttled(sent, now, retry_after=retry_after, concurrency=says)


# limits that nobody told


@pytest.mark.parametrize(
    ("policy", "permitted", "retry_after"),
    [
        (lambda: TokenBucket(10), 10, None),
        (lambda: MovingWindow(50), 50, None),
        (lambda: FixedWindow(25), 25, None),
        (lambda: FixedWindow(25), 25, 1.0),
        (lambda: TokenBucket(2, 3), 2, None),
    ],
    ids=["bucket 10", "moving 50", "fixed 25", "fixed 25, retry-after", "bucket 2"],
)
def test_a_hidden_rate_is_found_and_used(
    policy: Callable[[], Limit], permitted: float, retry_after: float | None
) -> None:
    client = Client(AdaptiveLaw(), policy(), retry_after=retry_after)
    client.run(60)
    counts = client.run(300)
    assert counts.accepted >= 0.95 * permitted * 300
    assert counts.throttled <= 0.01 * (counts.accepted + counts.throttled)


def test_a_request_that_counts_as_several_is_counted_so() -> None:
    client = Client(AdaptiveLaw(), TokenBucket(50, cost=5), cost=5)
    client.run(60)
    assert client.law.rate == pytest.approx(50, rel=0.15)
    counts = client.run(300)
    assert counts.accepted >= 0.95 * 10 * 300
    assert counts.throttled <= 0.03 * counts.accepted


@pytest.mark.parametrize("says", [False, True])
def test_a_hidden_concurrency_is_found_and_used(says: bool) -> None:
    law = AdaptiveLaw()
    client = Client(law, AtOnce(10), says=says, service=(0.15, 0.18, 0.21, 0.16, 0.2, 0.18, 0.17))
    client.run(90)
    assert law.concurrency == 10
    counts = client.run(200)
    assert counts.accepted >= 0.95 * 200 * 10 / (0.179 + THERE + BACK)
    assert counts.throttled <= 0.002 * counts.accepted


def test_a_rate_limit_is_not_taken_for_a_concurrency() -> None:
    law = AdaptiveLaw()
    Client(law, TokenBucket(30)).run(600)
    assert law.concurrency is None


def test_a_limit_that_moves_is_followed() -> None:
    bucket = TokenBucket(10)
    client = Client(AdaptiveLaw(), bucket)
    client.run(100)
    bucket.rate = 40
    client.run(40)
    assert client.run(60).accepted >= 0.95 * 40 * 60
    bucket.rate = 5
    client.run(20)
    counts = client.run(80)
    assert counts.throttled <= 0.01 * (counts.accepted + counts.throttled)
    assert counts.accepted >= 0.95 * 5 * 80


def test_a_concurrency_that_moves_is_followed() -> None:
    law, policy = AdaptiveLaw(), AtOnce(10)
    client = Client(law, policy, service=(0.15, 0.18, 0.21, 0.16, 0.2, 0.18, 0.17))
    client.run(90)
    policy.limit = 4
    client.run(60)
    assert law.concurrency == 4
    policy.limit = 10
    client.run(240)
    assert law.concurrency == 10


def test_without_a_limit_the_rate_doubles_each_second() -> None:
    client = Client(AdaptiveLaw(), TokenBucket(1e6, 1e6))
    client.run(5)
    assert FIRST_RATE * 2**4 <= client.law.rate <= FIRST_RATE * 2**5


# a limit that is told


def test_a_told_limit_is_used_from_the_first_request_and_never_exceeded() -> None:
    client = Client(AdaptiveLaw(ceiling=20), TokenBucket(20))
    assert client.run(100) == Counts(pytest.approx(2000, abs=2), 0)
    assert client.law.rate == 20


def test_it_gives_way_to_another_program_and_comes_back() -> None:
    bucket = TokenBucket(20)
    client = Client(AdaptiveLaw(ceiling=20), bucket)
    client.run(60)
    bucket.rate = 8  # another takes the rest
    client.run(20)
    counts = client.run(60)
    assert counts.throttled <= 0.02 * counts.accepted
    bucket.rate = 20
    client.run(60)
    assert client.law.rate == 20
    assert max(client.rates) == 20


def test_a_start_that_is_a_little_late_delays_no_other() -> None:
    law = AdaptiveLaw(ceiling=5, first=1.0)
    law.start(1.0)
    law.start(1.2 + 0.9 * LATENESS)
    assert law.free_at() == pytest.approx(1.4)
    law.start(1.4 + 1.1 * LATENESS)
    assert law.free_at() == pytest.approx(1.6 + 1.1 * LATENESS)


@pytest.mark.parametrize("ceiling", [0, -1, math.nan, math.inf])
def test_a_ceiling_that_is_no_rate_is_refused(ceiling: float) -> None:
    with pytest.raises(ValueError, match="is not a valid limit"):
        AdaptiveLaw(ceiling=ceiling)


# 429s that no rate cures


@pytest.mark.parametrize("share", [0.005, 0.02, 0.05])
def test_429s_at_random_do_not_slow_it_down(share: float) -> None:
    client = Client(AdaptiveLaw(ceiling=50), at_random(share, TokenBucket(1e6, 1e6)))
    client.run(60)
    counts = client.run(240)
    assert counts.accepted >= 0.9 * (1 - share) * 50 * 240
    assert client.law.concurrency is None


def test_429s_at_random_with_retry_after_cost_their_pauses_and_little_more() -> None:
    client = Client(AdaptiveLaw(ceiling=50), at_random(0.02, TokenBucket(1e6, 1e6)), retry_after=1.0)
    client.run(60)
    assert client.run(240).accepted >= 0.75 * 0.98 * 50 / (1 + 0.02 * 50) * 240


def test_starts_all_at_once_between_long_pauses_leave_it_a_rate() -> None:
    background = Background(0.0)
    background.control(1.0, 0.0)
    assert background.factor == LOWEST
    background.paused = 100.0
    background.control(1.0, 0.0)
    assert background.factor == LOWEST


def test_a_hidden_limit_is_found_beside_429s_at_random() -> None:
    client = Client(AdaptiveLaw(), at_random(0.02, TokenBucket(20)))
    client.run(200)
    counts = client.run(400)
    assert counts.accepted >= 0.85 * 20 * 400
    assert counts.throttled <= 0.035 * (counts.accepted + counts.throttled)


@pytest.mark.parametrize(("fallen", "patience"), [(10, 100), (4, 300)])
def test_a_limit_that_falls_and_rises_beside_429s_at_random_is_followed(fallen: float, patience: float) -> None:
    bucket = TokenBucket(20)
    client = Client(AdaptiveLaw(ceiling=20), at_random(0.02, bucket))
    client.run(200)
    bucket.rate = fallen
    client.run(60)
    counts = client.run(200)
    assert counts.accepted >= 0.85 * fallen * 200
    assert counts.throttled <= 0.06 * (counts.accepted + counts.throttled)
    bucket.rate = 20
    client.run(patience)
    assert client.run(100).accepted >= 0.85 * 0.98 * 20 * 100


def test_429s_at_random_may_begin_and_end_and_the_limit_is_kept() -> None:
    server = at_random(0.0, TokenBucket(20))
    client = Client(AdaptiveLaw(), server)
    client.run(100)
    server.share = lambda _: 0.05
    client.run(100)
    assert client.run(200).accepted >= 0.85 * 20 * 200
    server.share = lambda _: 0.0
    client.run(200)
    counts = client.run(200)
    assert counts.accepted >= 0.95 * 20 * 200
    assert counts.throttled <= 0.01 * (counts.accepted + counts.throttled)


# what says nothing


def test_success_without_demand_raises_nothing() -> None:
    client = Client(AdaptiveLaw(), TokenBucket(10))
    client.run(3600, (n / 3 for n in range(10_000)))
    assert client.law.rate < 9


def test_bursts_that_a_bucket_has_stored_for_do_not_raise_the_rate_without_bound() -> None:
    client = Client(AdaptiveLaw(), TokenBucket(10))
    client.run(10 * 3600, (60.0 * minute for minute in range(600) for _ in range(10)))
    assert client.law.rate <= 10 / 0.5 + 10
    counts = client.run(20)
    assert counts.throttled <= 20


def test_hours_of_idleness_change_nothing() -> None:
    client = Client(AdaptiveLaw(), TokenBucket(10))
    client.run(100)
    before = client.law.learned()
    client.run(6 * 3600, [])
    assert client.law.learned() == before
    counts = client.run(60)
    assert counts.accepted >= 0.95 * 600
    assert counts.throttled <= 0.015 * counts.accepted


def test_answers_to_what_was_sent_before_a_cut_say_nothing_more() -> None:
    law = AdaptiveLaw(learned=Learned(rate=100))
    early = [law.start(1.0) for _ in range(4)]
    for n in range(6):
        law.accepted(law.start(1 + n / 100), 1.1)
    for n in range(6, 8):
        refuse(law, law.start(1 + n / 100), 1.1)
    cut, pause = law.rate, law.free_at()
    assert 50 < cut < 90
    law.accepted(early[0], 1.2)
    refuse(law, early[1], 1.2)
    refuse(law, early[2], 1.2)
    assert (law.rate, law.free_at()) == (cut, pause)
    for n in range(20):
        law.accepted(law.start(2 + n / 50), 2.5)
    refuse(law, early[3], 2.6)
    assert law.rate == cut


def test_one_429_among_few_answers_is_no_judgement() -> None:
    law = AdaptiveLaw(learned=Learned(rate=10))
    sent = [law.start(1 + n / 10) for n in range(10)]
    law.accepted(sent[0], 2.1)
    refuse(law, sent[1], 2.1)
    assert law.rate == 10
    for each in sent[2:9]:
        law.accepted(each, 2.1)
    refuse(law, sent[9], 2.1)
    assert 7 < law.rate < 10


def test_a_failure_says_nothing_but_makes_room() -> None:
    law = AdaptiveLaw(learned=Learned(rate=10, concurrency=1))
    sent = law.start(1.0)
    assert law.free_at() == math.inf
    law.failed(sent, 2.0)
    assert law.free_at() < 2
    assert law.learned() == Learned(rate=10, concurrency=1)


# refusals


def test_retry_after_is_waited_for() -> None:
    law = AdaptiveLaw(ceiling=100)
    sent = [law.start(1.0 + n / 100) for n in range(3)]
    refuse(law, sent[0], 1.1, 7.0)
    refuse(law, sent[1], 1.2, 3.0)
    law.accepted(sent[2], 1.3)
    assert law.free_at() == 8.1


def test_while_nothing_is_accepted_single_probes_come_ever_more_rarely() -> None:
    bucket = TokenBucket(10)
    client = Client(AdaptiveLaw(), bucket)
    client.run(60)
    rate, bucket.rate = client.law.rate, 0.0
    client.run(30)
    banned_at = len(client.starts)
    client.run(1200)
    gaps = [b - a for a, b in zip(client.starts[banned_at:], client.starts[banned_at + 1 :], strict=False)]
    assert min(gaps[2:]) >= 0.9 * LONGEST_PAUSE
    assert max(gaps) <= LONGEST_PAUSE + 0.1
    bucket.rate = 10
    client.run(LONGEST_PAUSE)
    assert client.law.rate > 0.5 * rate
    assert client.run(60).accepted >= 0.9 * 600


def test_a_window_of_a_minute_is_not_asked_in_vain_all_the_time() -> None:
    client = Client(AdaptiveLaw(), FixedWindow(600, seconds=60))
    client.run(300)
    counts = client.run(600)
    assert counts.accepted >= 0.95 * 6000
    assert counts.throttled <= 0.03 * counts.accepted


def test_alone_and_told_that_it_is_too_many_at_once_it_slows_down() -> None:
    law = AdaptiveLaw(learned=Learned(rate=10))
    now = 0.0
    for n in range(40):
        now = max(law.free_at(), now)
        sent = law.start(now)
        if n % 2:
            refuse(law, sent, now + 0.01, says=True)
        else:
            law.accepted(sent, now + 0.01)
    assert law.rate < 7
    assert law.concurrency is None


def test_the_rate_never_falls_so_low_that_it_could_not_recover() -> None:
    law = AdaptiveLaw(learned=Learned(rate=LEAST_RATE * 1.5))
    now = 0.0
    for n in range(100):
        now = max(law.free_at(), now)
        sent = law.start(now)
        if n % 10:
            refuse(law, sent, now + 0.01)
        else:
            law.accepted(sent, now + 0.01)
    assert law.rate == LEAST_RATE


# what most may be on their way


def test_most_failures_from_some_number_on_and_none_below_it_are_a_concurrency() -> None:
    limit = ConcurrencyLimit()
    assert not limit.throttled(7, said=False)  # the first one shows where to look
    for beside in range(7):
        for _ in range(20):
            limit.accepted(beside)
    assert limit.throttled(8, said=False)
    assert limit.most == 7


def test_failures_at_any_number_are_none() -> None:
    limit = ConcurrencyLimit()
    for n in range(2000):
        beside = 1 + n * 7 % 10
        if n % 50:
            limit.accepted(beside)
        else:
            assert not limit.throttled(beside, said=False)
    assert limit.most == math.inf


def test_one_more_is_tried_ever_more_rarely_while_it_fails() -> None:
    limit = ConcurrencyLimit(4)
    tries = []
    for n in range(5000):
        if limit.most == 5:
            assert limit.throttled(4, said=False)
            tries.append(n)
        limit.accepted(3)
    assert limit.most == 4
    assert tries == pytest.approx([500, 1500, 3500], rel=0.02)


def test_what_was_sent_before_a_limit_was_found_does_not_lower_it() -> None:
    limit = ConcurrencyLimit()
    assert limit.throttled(12, said=True)
    assert limit.throttled(10, said=True)
    assert limit.throttled(14, said=True)
    assert limit.most == 10


def test_a_limit_found_anew_is_soon_tried_again() -> None:
    limit = ConcurrencyLimit(4)
    for _ in range(1000):  # one more has failed many times
        limit.accepted(3)
        limit.throttled(4, said=False)
    assert limit.most == 4
    assert limit.throttled(2, said=True)
    for _ in range(FIRST_PATIENCE):
        limit.accepted(1)
    assert limit.most == 3


def test_a_limit_that_has_risen_is_climbed_quickly_once_noticed() -> None:
    limit = ConcurrencyLimit(4)
    for _ in range(1000):  # it has not risen for long
        limit.accepted(3)
        limit.throttled(4, said=False)
    assert limit.most == 4
    while limit.most == 4:
        limit.accepted(3)
    for _ in range(9 * FIRST_PATIENCE):
        limit.accepted(int(limit.most) - 1)
    assert limit.most >= 12


# what is kept


def test_what_was_learned_goes_on_after_a_restart() -> None:
    before = Client(AdaptiveLaw(), AtOnce(10), says=True)
    before.run(60)
    before.says = False
    before.policy = TokenBucket(12)
    before.run(60)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(before.law.learned()), type=Learned)
    after = AdaptiveLaw(learned=kept)
    assert (after.rate, after.concurrency) == (before.law.rate, before.law.concurrency)
    client = Client(after, TokenBucket(12))
    counts = client.run(60)
    assert counts.accepted >= 0.95 * 12 * 60
    assert counts.throttled <= 0.02 * counts.accepted


def test_nothing_is_learned_before_the_first_429() -> None:
    client = Client(AdaptiveLaw(), TokenBucket(1e6, 1e6))
    client.run(5)
    assert client.law.learned() == Learned()
    told = Client(AdaptiveLaw(ceiling=5), TokenBucket(5))
    told.run(5)
    assert told.law.learned() == Learned()


def test_a_lower_ceiling_outweighs_what_was_learned() -> None:
    assert AdaptiveLaw(ceiling=5, learned=Learned(rate=40)).rate == 5


@pytest.mark.parametrize(
    "kept",
    [
        {"rate": 0},
        {"rate": -3.0},
        {"rate": math.nan},
        {"rate": math.inf},
        {"rate": 1e300},
        {"rate": "10"},
        {"concurrency": 0},
        {"concurrency": -4},
        {"concurrency": 2.5},
        {"rate": 10, "concurrency": True},
        [10, 3],
    ],
)
def test_what_no_law_has_learned_is_rejected(kept: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=Learned)


def test_a_law_takes_less_than_a_kilobyte() -> None:
    client = Client(AdaptiveLaw(), TokenBucket(10))
    client.run(300)

    def size(of: Any) -> int:
        held = [getattr(of, name) for name in getattr(of, "__slots__", ())]
        return sys.getsizeof(of) + sum(map(size, held))

    assert size(client.law) < 1024
    assert len(msgspec.msgpack.encode(client.law.learned())) < 64
