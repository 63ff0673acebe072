"""How a long list is cut into windows: simulated reads of lists of many shapes, with the real handlers."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.source import Record
from crawlerd.sources.stripe import stripe
from crawlerd.sources.stripe.pages import PAGE, PAGES, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

START = 1_672_531_200
SPAN = 2 * 365 * 86_400  # seconds


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


class Read:
    """What it took to read a list to its end. rounds: answers waited for in a row."""

    def __init__(self, seconds: list[int], *, created: bool = True) -> None:
        api = Lists(seconds, created=created)
        self.found: set[str] = set()
        self.requests = self.empty = self.rounds = 0
        todo = deque([PAGES["charges"](("charges",))])
        while todo:
            self.rounds += 1
            for _ in range(len(todo)):
                task = todo.popleft()
                outputs = list(stripe.perform(api, task.kind, msgspec.json.encode(task).decode()))
                records = [output.key for output in outputs if isinstance(output, Record)]
                self.found.update(records)
                self.requests += 1
                self.empty += not records
                todo += [output for output in outputs if isinstance(output, Page)]


def uniform() -> int:
    return START + int(random.random() * SPAN)


def in_bursts() -> int:
    return START + random.Random(random.randrange(20)).randrange(SPAN) + random.randrange(3600)


SHAPES: dict[str, Callable[[], int]] = {
    "even": uniform,
    "growing": lambda: START + int(SPAN * random.random() ** 0.5),
    "shrinking": lambda: START + int(SPAN * random.random() ** 3),
    "a peak": lambda: START + int(SPAN * random.gauss(0.5, 0.05)),
    "20 bursts of an hour": in_bursts,
    "long gone": lambda: START - 300_000_000 + int(random.random() * 86_400),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_100_000_objects_are_read_side_by_side_with_few_empty_windows(shape: str) -> None:
    random.seed(shape)
    seconds = sorted(SHAPES[shape]() for _ in range(100_000))
    read = Read(seconds)
    assert len(read.found) == len(seconds)
    assert read.empty < 0.05 * read.requests
    assert read.requests < 1_000 * 1.08
    assert read.rounds < 60  # at 100 requests/s, so many answers may take 0.2 s each


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250, 1_900])
def test_a_short_list_takes_no_more_than_one_request_in_vain(count: int) -> None:
    random.seed(count)
    assert Read(sorted(uniform() for _ in range(count))).empty == (count == 0)
    assert Read([START + number // 2 for number in range(count)]).empty <= 1


def test_everything_in_one_second_ends() -> None:
    read = Read([START] * 20_000)
    assert (len(read.found), read.empty <= 3) == (20_000, True)


def test_a_list_that_does_not_heed_created_is_read_once() -> None:
    read = Read([START + number for number in range(5_000)], created=False)
    assert len(read.found) == 5_000
    assert read.requests < 2 * 50 + 10


@given(
    st.lists(st.integers(START, START + 40_000).flatmap(lambda at: st.lists(st.just(at), max_size=400)), max_size=12)
)
def test_any_list_is_read_whole(groups: list[list[int]]) -> None:
    seconds = sorted(second for group in groups for second in group)
    read = Read(seconds)
    assert len(read.found) == len(seconds)
