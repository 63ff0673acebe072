"""What accounts wait for is found out as often as that is cheap, and kept meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from crawlerd.engine.kept_index import CHEAP, SHARE, KeptIndex

if TYPE_CHECKING:
    from crawlerd.frontier.reports import Told


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Reader:
    """Takes so long for all accounts, and has one more each time."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds, self.asked = clock, seconds, 0
        self.slow: threading.Event | None = None
        self.begun = threading.Event()

    def waiting_accounts(self, now: float, told: list[Told], stuck: dict[int, str]) -> dict[str, list[int]]:
        self.begun.set()
        if self.slow:
            self.slow.wait(10)
        self.asked += 1
        self.clock.now += self.seconds
        return {"idle": list(range(self.asked))}


def test_it_is_made_again_when_it_has_been_used_for_long_enough() -> None:
    clock = Clock()
    reader, kept = Reader(clock, 0.1), KeptIndex(list, dict, clock, clock)
    first = kept.get(reader, 5.0)  # type: ignore[arg-type]
    assert (first.counts, first.at) == ({"idle": 1}, 5.0)
    clock.now += 0.1 / SHARE - 0.01
    assert kept.get(reader, 6.0) is first  # type: ignore[arg-type]
    clock.now += 0.02
    assert kept.get(reader, 7.0).counts == {"idle": 2}  # type: ignore[arg-type]


def test_where_it_is_cheap_it_is_fresh_each_time() -> None:
    clock = Clock()
    reader, kept = Reader(clock, CHEAP / 2), KeptIndex(list, dict, clock, clock)
    assert [kept.get(reader, now).at for now in (5.0, 6.0, 7.0)] == [5.0, 6.0, 7.0]  # type: ignore[arg-type]


def test_whoever_asks_while_it_is_made_gets_the_one_before() -> None:
    clock = Clock()
    reader, kept = Reader(clock, 0.1), KeptIndex(list, dict, clock, clock)
    first = kept.get(reader, 5.0)  # type: ignore[arg-type]
    clock.now += 1_000
    reader.slow = threading.Event()
    reader.begun.clear()
    other = threading.Thread(target=kept.get, args=(reader, 6.0))
    other.start()
    assert reader.begun.wait(10)
    assert kept.get(reader, 7.0) is first  # type: ignore[arg-type]
    reader.slow.set()
    other.join()
    assert reader.asked == 2
    assert kept.get(reader, 8.0).at == 6.0  # type: ignore[arg-type]
