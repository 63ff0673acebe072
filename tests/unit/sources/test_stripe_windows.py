"""How a long list is cut into windows: lists of many shapes read with the real handlers, timed in virtual time."""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left, bisect_right
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.listing import listing
from crawlerd.engine import kinds
from crawlerd.source import Records
from crawlerd.sources.stripe import stripe
from crawlerd.sources.stripe.pages import PAGES, Page
from crawlerd.sources.stripe.paging import PAGE
from crawlerd.sources.stripe.windows import Line, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

START = 1_672_531_200
SPAN = 2 * 365 * 86_400  # seconds
PACED = 0.985 * 100  # requests a second, of an account that may do 100
AROUND = 0.012  # seconds from an answer to the tasks that it leads to, beside the latency
AT_ONCE = 32  # requests: two worker processes with 16 threads


class Lists:
    """An API with one list. seconds: of its objects, ascending. created: it heeds these filters."""

    mode = "test"

    def __init__(self, seconds: list[int], *, created: bool = True) -> None:
        self._seconds, self._created = seconds, created

    def get(self, path: str, params: Mapping[str, Any]) -> Any:
        low, high = 0, len(self._seconds)
        if self._created and params["created[gte]"] is not None:
            low = bisect_left(self._seconds, params["created[gte]"])
        if self._created and params.get("created[lte]") is not None:
            high = bisect_right(self._seconds, params["created[lte]"])
        if params["starting_after"] is not None:
            high = min(high, int(params["starting_after"]))
        page = range(high - 1, max(low, high - PAGE) - 1, -1)
        return {"data": [{"id": str(at), "created": self._seconds[at]} for at in page], "has_more": high - PAGE > low}

    def listing(self, path: str, params: Mapping[str, Any], **options: Any) -> Any:
        return listing(msgspec.json.encode(self.get(path, params)), kind="charges", **options)


class Asked(NamedTuple):
    """One request. found: ids. following: the places in `Read.asked` of what it led to."""

    found: list[str]
    following: range


class Read:
    """A list, read to its end. Nothing in that depends on time, so it is timed afterwards."""

    def __init__(self, seconds: list[int], *, created: bool = True) -> None:
        api = Lists(seconds, created=created)
        self.asked: list[Asked] = []
        self.tasks: list[Page] = [PAGES["charges"](("charges",))]
        while len(self.asked) < len(self.tasks):
            task = self.tasks[len(self.asked)]
            outputs = list(kinds.perform(stripe, api, task.kind, msgspec.json.encode(task).decode()))
            start = len(self.tasks)
            self.tasks += [output for output in outputs if isinstance(output, Page)]
            found = [str(key) for output in outputs if isinstance(output, Records) for key in output.keys]
            self.asked.append(Asked(found, range(start, len(self.tasks))))
        self.found = {key for each in self.asked for key in each.found}
        self.requests = len(self.asked)
        self.empty = sum(not each.found for each in self.asked)

    @property
    def over_pages(self) -> int:
        return self.requests - max(1, -(-len(self.found) // PAGE))

    def took(self, latency: float) -> float:
        """Seconds from the first request to the last, first come, first served."""
        ready, busy = deque([0]), list[tuple[float, int]]()
        now = permitted = last = 0.0
        while ready or busy:
            if busy and (not ready or len(busy) == AT_ONCE or busy[0][0] <= max(now, permitted)):
                now, place = heapq.heappop(busy)
                ready += self.asked[place].following
            else:
                now = last = max(now, permitted)
                permitted = now + 1 / PACED
                heapq.heappush(busy, (now + latency + AROUND, ready.popleft()))
        return last

    def over_limit(self, latency: float) -> float:
        return self.took(latency) / (self.requests / 100) - 1


def in_bursts(count: int, length: int) -> Callable[[], int]:
    starts = [START + random.Random(number).randrange(SPAN) for number in range(count)]
    return lambda: random.choice(starts) + random.randrange(length)


def uniform() -> int:
    return START + int(random.random() * SPAN)


def peak() -> int:
    return START + int(SPAN * random.gauss(0.5, 0.05))


class Shape(NamedTuple):
    """Of 100,000 objects. over: how much longer than requests / limit reading them may take, where answers take 20, 50,
    150 and 300 ms. Pacing alone takes 1.5%; the first answer 0.2, 0.5, 1.6 and 3%."""

    second: Callable[[], int]
    over: tuple[float, float, float, float]
    requests: int = 1_100
    empty: float = 0.04


SHAPES = {
    "even": Shape(uniform, (0.02, 0.025, 0.045, 0.08)),
    "growing": Shape(lambda: START + int(SPAN * random.random() ** 0.5), (0.02, 0.025, 0.05, 0.12)),
    "falling": Shape(lambda: START + int(SPAN * (1 - random.random() ** 0.5)), (0.02, 0.03, 0.065, 0.15)),
    "shrinking": Shape(lambda: START + int(SPAN * random.random() ** 2), (0.02, 0.025, 0.05, 0.12)),
    "400 in the very first second": Shape(lambda: START + int(SPAN * random.random() ** 3), (0.03, 0.045, 0.10, 0.22)),
    "a peak": Shape(peak, (0.02, 0.03, 0.075, 0.16)),
    "a peak on level ground": Shape(lambda: random.choice((uniform, peak))(), (0.02, 0.03, 0.05, 0.10)),
    "8 years": Shape(lambda: START + int((1 - 4 * random.random()) * SPAN), (0.02, 0.025, 0.045, 0.09)),
    "a second each": Shape(lambda: START + random.randrange(100_000), (0.02, 0.03, 0.05, 0.11)),
    "20 bursts of an hour": Shape(in_bursts(20, 3_600), (0.03, 0.05, 0.18, 0.60), 1_160, 0.06),
    "200 bursts of 10 minutes": Shape(in_bursts(200, 600), (0.03, 0.04, 0.10, 0.20), 1_220, 0.10),
    "long gone": Shape(lambda: START - 300_000_000 + int(random.random() * 86_400), (0.02, 0.03, 0.05, 0.11)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_100_000_objects_keep_the_limit_full(name: str) -> None:
    shape = SHAPES[name]
    random.seed(name)
    seconds = sorted(shape.second() for _ in range(100_000))
    read = Read(seconds)
    assert len(read.found) == len(seconds)
    assert read.requests <= shape.requests
    assert read.empty <= shape.empty * read.requests
    over = [read.over_limit(latency) for latency in (0.02, 0.05, 0.15, 0.3)]
    assert all(found <= most for found, most in zip(over, shape.over, strict=True)), over


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250, 400, 700])
def test_a_short_list_takes_at_most_two_requests_more_than_it_has_pages(count: int) -> None:
    random.seed(count)
    for seconds in sorted(uniform() for _ in range(count)), [START + number // 2 for number in range(count)]:
        read = Read(seconds)
        assert len(read.found) == count
        assert read.over_pages <= (2 if count > 100 else 0)


def test_everything_in_one_second_ends() -> None:
    read = Read([START] * 20_000)
    assert (len(read.found), read.empty <= 8) == (20_000, True)


def test_a_list_that_does_not_heed_created_is_read_once() -> None:
    read = Read([START + number for number in range(5_000)], created=False)
    assert len(read.found) == 5_000
    assert read.requests < 2 * 50 + 10


@pytest.mark.slow
@given(
    st.lists(st.integers(START, START + 40_000).flatmap(lambda at: st.lists(st.just(at), max_size=400)), max_size=12)
)
def test_any_list_is_read_whole_and_each_object_once(groups: list[list[int]]) -> None:
    seconds = sorted(second for group in groups for second in group)
    read = Read(seconds)
    assert sorted(int(key) for each in read.asked for key in each.found) == list(range(len(seconds)))
    payloads = [msgspec.json.encode(task) for task in read.tasks]
    assert len(set(payloads)) == len(payloads)  # a task that was there before would be a dead letter


SECONDS = st.integers(0, 2_000_000_000)


@given(
    st.builds(Line, SECONDS, st.integers(0, 31), st.integers(1, 100)),
    st.one_of(st.none(), SECONDS),
    st.one_of(st.none(), SECONDS),
    SECONDS,
    SECONDS,
)
def test_the_parts_of_a_window_are_disjoint_and_are_all_of_it(
    line: Line, low: int | None, gap: int | None, span: int, oldest: int
) -> None:
    at, following = cut(line, low=low, gap=gap, span=span, oldest=oldest)
    assert all(isinstance(each, int) for each in at)
    # the page goes on from `oldest` down to at[0], and each part ends a second below the one before
    ends = (oldest, *(each - 1 for each in at))
    starts = (*at, -1 if low is None else low)
    if at or low is None or low <= oldest:
        assert all(start <= end for start, end in zip(starts, ends, strict=True))
    assert all(above > below for above, below in pairwise(at))
    assert following.age < 32
    assert 1 <= following.abreast <= 100
