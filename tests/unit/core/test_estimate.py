"""When a run will end, against runs in virtual time whose end is known."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlerd.core.estimate import Estimate, RunFlow, Stage, estimate
from crawlerd.core.histogram import level_of
from crawlerd.core.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WRONG_BY = 0.25
FROM = 0.2  # of the run


class Work(NamedTuple):
    """A task: its kind, and what tells it from the others."""

    kind: str
    place: tuple[int, ...]
    chain: int = 0


Place: TypeAlias = tuple[str, tuple[int, ...]]  # of a task that is asked for: its kind, and what tells it from others
Ask: TypeAlias = "Callable[[Work], list[Place]]"
Shape: TypeAlias = "tuple[list[Work], Ask]"


class Seen(NamedTuple):
    """What was known at a time."""

    at: float
    flow: RunFlow


def crawl(
    start: list[Work],
    ask: Ask,
    *,
    rates: dict[str, float],
    latency: float = 0.2,
    deep_first: bool = False,
    every: int = 50,
) -> list[Seen]:
    """A run: what was known each time that so many tasks were done. The last one is its end.

    rates: starts a second that each kind's bucket permits.
    deep_first: the newest task goes first, else the oldest.
    """
    numbers = count()
    waiting: dict[str, list[tuple[int, Work]]] = defaultdict(list)
    stages: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    asked: Counter[tuple[str, int, str]] = Counter()
    served: Counter[tuple[str, int]] = Counter()
    paces: dict[int, Pace] = {}
    bucket = {kind: number for number, kind in enumerate(rates)}
    free_at = dict.fromkeys(rates, 0.0)
    running: list[tuple[float, int, Work]] = []
    now, done, found = 0.0, 0, []

    def add(work: Work, now: float) -> None:
        number = next(numbers)
        heapq.heappush(waiting[work.kind], (-number if deep_first else number, work))
        stage = stages[work.kind, level_of(work.chain)]
        stage[0] += 1
        stage[3] = max(stage[3], work.chain + 1)

    def begin(now: float) -> None:
        for kind, queue in waiting.items():
            while queue and free_at[kind] <= now:
                _, work = heapq.heappop(queue)
                heapq.heappush(running, (now + latency, next(numbers), work))
                free_at[kind] = max(free_at[kind], now) + 1 / rates[kind]

    for work in start:
        asked["", 0, work.kind] += 1
        add(work, now)
    while True:
        begin(now)
        next_at = [free_at[kind] for kind, queue in waiting.items() if queue]
        if not running and not next_at:
            break
        if not running or (next_at and min(next_at) < running[0][0]):
            now = max(now, min(next_at))
            continue
        now, _, work = heapq.heappop(running)
        done += 1
        level = level_of(work.chain)
        stages[work.kind, level][0] -= 1
        stages[work.kind, level][1] += 1
        served[work.kind, bucket[work.kind]] += 1
        pace = paces.get(bucket[work.kind])
        paces[bucket[work.kind]] = pace.after(1, now) if pace else Pace(0, 0, now)
        for kind, place in ask(work):
            asked[work.kind, level, kind] += 1
            add(Work(kind, place, work.chain + 1 if kind == work.kind else 0), now)
        if done % every == 0:
            found.append(Seen(now, flow(stages, asked, served, paces, latency)))
    found.append(Seen(now, flow(stages, asked, served, paces, latency)))
    return found


def flow(
    stages: dict[tuple[str, int], list[int]],
    asked: Counter[tuple[str, int, str]],
    served: Counter[tuple[str, int]],
    paces: dict[int, Pace],
    latency: float,
) -> RunFlow:
    return RunFlow(
        {key: Stage(*each) for key, each in stages.items()},
        dict(asked),
        dict(served),
        {bucket: pace.rate for bucket, pace in paces.items() if pace.rate is not None},
        {kind: latency for kind, _ in stages},
    )


def estimates(seen: list[Seen], before: list[Seen] | None = None) -> Iterator[tuple[float, float, Estimate | None]]:
    """How far the run is, how long it still takes, and what is said of that."""
    end = seen[-1].at
    usual = before[-1].flow if before else None
    for each in seen:
        if each.at == end:
            return
        yield each.at / end, end - each.at, estimate(each.flow, usual)


def assert_right(seen: list[Seen], before: list[Seen] | None = None) -> None:
    """From a fifth of the run on an end is said, and it is right; before, it is at most unknown."""
    end = seen[-1].at
    told = 0
    for share, left, found in estimates(seen, before):
        if share < FROM:
            continue
        assert found is not None, f"unknown at {share:.0%}"
        told += 1
        assert abs(found.seconds - left) <= WRONG_BY * max(left, 0.1 * end), (
            f"{found} at {share:.0%}, {left:.0f} s left"
        )
    assert told >= 10


# the shapes


def flat(items: int, children: Callable[[int], int]) -> Shape:
    """A list of pages of 100 items, which are asked for one by one; each has some children."""

    def ask(work: Work) -> list[Place]:
        if work.kind == "page":
            (number,) = work.place
            following = [("page", (number + 1,))] if (number + 1) * 100 < items else []
            return [*following, *(("item", (each,)) for each in range(number * 100, min(items, number * 100 + 100)))]
        if work.kind == "item":
            return [("child", (*work.place, each)) for each in range(children(work.place[0]))]
        return []

    return [Work("page", (0,))], ask


def chain(length: int) -> Shape:
    """One list of so many pages, each known only by the one before."""

    def ask(work: Work) -> list[Place]:
        (number,) = work.place
        return [("page", (number + 1,))] if number + 1 < length else []

    return [Work("page", (0,))], ask


def tree(depth: int, fan: int) -> Shape:
    """Folders in folders."""

    def ask(work: Work) -> list[Place]:
        return [("folder", (*work.place, each)) for each in range(fan)] if len(work.place) < depth else []

    return [Work("folder", ())], ask


@settings(max_examples=15, deadline=None)
@given(items=st.integers(1_000, 3_000), most=st.integers(1, 4), rate=st.sampled_from([5.0, 50.0]))
def test_a_list_with_children_that_is_read_for_the_first_time(items: int, most: int, rate: float) -> None:
    start, ask = flat(items, lambda number: number * 7919 % (most + 1))
    assert_right(crawl(start, ask, rates={"page": rate, "item": rate, "child": rate}))


@settings(max_examples=10, deadline=None)
@given(depth=st.integers(3, 4), fan=st.integers(7, 9), rate=st.sampled_from([5.0, 50.0]), deep_first=st.booleans())
def test_a_tree_that_is_read_for_the_first_time(depth: int, fan: int, rate: float, deep_first: bool) -> None:
    start, ask = tree(depth, fan)
    assert_right(crawl(start, ask, rates={"folder": rate}, deep_first=deep_first, every=20))


@settings(max_examples=10, deadline=None)
@given(length=st.integers(300, 1_500), grown=st.floats(0.95, 1.05), latency=st.floats(0.05, 2.0))
def test_a_deep_chain_of_pages_after_a_run_that_has_read_it(length: int, grown: float, latency: float) -> None:
    before = crawl(*chain(length), rates={"page": 1000.0}, latency=latency)
    assert_right_so_far(crawl(*chain(round(length * grown)), rates={"page": 1000.0}, latency=latency, every=10), before)


def assert_right_so_far(seen: list[Seen], before: list[Seen]) -> None:
    """As `assert_right`, but what has grown since the run before is not known before it is reached."""
    end = seen[-1].at
    for share, left, found in estimates(seen, before):
        if FROM <= share <= 0.75:
            assert found is not None, f"unknown at {share:.0%}"
            assert abs(found.seconds - left) <= WRONG_BY * max(left, 0.1 * end)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(length=st.integers(20, 800))
def test_nobody_knows_how_long_a_chain_is_that_nobody_has_read(length: int) -> None:
    assert all(found is None for _, _, found in estimates(crawl(*chain(length), rates={"page": 50.0}, every=7)))


@pytest.mark.parametrize("shape", [flat(3_000, lambda number: 2), tree(4, 6)])
def test_before_enough_is_known_nothing_is_said(
    shape: Shape,
) -> None:
    start, ask = shape
    seen = crawl(start, ask, rates={"page": 50.0, "item": 50.0, "child": 50.0, "folder": 50.0}, every=3)
    early = [found for share, _, found in estimates(seen) if share < 0.05]
    assert early
    assert all(found is None for found in early)


@settings(max_examples=10, deadline=None)
@given(length=st.integers(200, 800), rate=st.floats(20.0, 500.0))
def test_the_end_is_not_before_that_of_the_longest_chain(length: int, rate: float) -> None:
    """Its buckets could do all that is left sooner."""
    latency = 1.0
    before = crawl(*chain(length), rates={"page": rate}, latency=latency)
    seen = crawl(*chain(length), rates={"page": rate}, latency=latency)
    for _, left, found in estimates(seen, before):
        if found is not None:
            fast = found.seconds
            assert fast >= left - 2 * latency


def test_a_slow_bucket_holds_up_the_end_however_fast_the_others_are() -> None:
    start, ask = flat(2_000, lambda number: 1)
    seen = crawl(start, ask, rates={"page": 100.0, "item": 100.0, "child": 2.0})
    assert_right(seen)


def test_what_is_asked_for_twice_is_made_once() -> None:
    stages = {("item", 0): Stage(100, 100, 0, 1), ("owner", 0): Stage(5, 15, 0, 1), ("list", 0): Stage(0, 1, 0, 1)}
    asked = {("", 0, "list"): 1, ("list", 0, "item"): 200, ("item", 0, "owner"): 200}
    found = estimate(
        RunFlow(stages, asked, {("item", 1): 100, ("owner", 2): 15, ("list", 1): 1}, {1: 10.0, 2: 10.0}, {})
    )
    assert found is not None
    assert 100 + 5 < found.tasks < 100 + 5 + 25
