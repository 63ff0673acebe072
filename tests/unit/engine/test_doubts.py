"""Full runs that see far less than the last one: what is doubted, until when, and what does not happen meanwhile."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ready_tasks import bucket_heads, ready_buckets

from crawlerd.core.doubt import FEWEST, Expected
from crawlerd.core.outcome import Batch, Complete, Skipped
from crawlerd.core.task import NewTask
from crawlerd.engine import kinds
from crawlerd.engine.full_run import Fullness, believed, fullness, setup
from crawlerd.engine.sink_target import Target
from crawlerd.engine.sink_writer import RETRY_SECONDS, SinkWriter
from crawlerd.frontier import check, open_frontier, open_reader
from crawlerd.frontier.contract import Frontier, Settled
from crawlerd.sink import SinkState, StorageFailed
from crawlerd.sinks.sqlite.sink import sqlite_sink
from crawlerd.source import Full, RunPlan, Source, TaskArgs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.frontier.reader_contract import FrontierReader

NOW = 1_000_000.0


@pytest.fixture
def frontier(tmp_path: Path) -> Iterator[Frontier]:
    frontier = open_frontier(tmp_path, now=NOW)
    frontier.account("acme", "shop")
    frontier.attach("sinks.one", SinkState("one", None, fresh=True), NOW)
    yield frontier
    assert check(tmp_path).broken == []
    frontier.close()


def doubts(rig: Rig, number: int) -> list[tuple[str, int, int]]:
    with closing(rig.reader()) as reader:
        report = reader.run(number)
    assert report.complete == (report.state == "completed" and not report.doubts)
    return [(each.stream, each.seen, each.before) for each in report.doubts]


# the rule


def test_less_than_half_is_doubted_unless_about_as_little_was_doubted_before() -> None:
    assert Expected(100).doubts(49)
    assert not Expected(100).doubts(50)
    assert Expected(FEWEST).doubts(FEWEST // 2 - 1)
    assert not Expected(FEWEST - 1).doubts(0)
    assert Expected(100, 40).doubts(45)
    assert not Expected(100, 40).doubts(44)
    assert not Expected(100, 40).doubts(3)
    assert not Expected(100, 0).doubts(0)
    assert Expected(100, 0).doubts(1)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_what_was_doubted_is_accepted_when_it_is_seen_again(before: int, seen: int) -> None:
    assert not Expected(before, seen).doubts(seen)
    assert Expected(before).doubts(seen) == (before >= FEWEST and seen < before / 2)


def test_the_next_run_is_expected_to_see_as_much_unless_this_one_is_doubted() -> None:
    assert Expected(100).after(80, held=False) == Expected(80)
    assert Expected(100, doubted=40).after(41, held=False) == Expected(41)
    assert Expected(100).after(40, held=False) == Expected(100, doubted=40)
    assert Expected(100).after(80, held=True) == Expected(100, doubted=80)
    assert Expected(100).after(0, held=False) == Expected(100, doubted=0)


# sweeps


class Rig:
    """A frontier, a sink and what lies between them."""

    def __init__(self, frontier: Frontier, folder: Path) -> None:
        self.frontier, self.folder, self.now = frontier, folder, NOW
        self.parts: dict[int, str] = {}
        self.sink = sqlite_sink(folder / "sink.db")
        self.writer = SinkWriter(self.parts, frontier.expected)

    def reader(self) -> FrontierReader:
        reader = open_reader(self.folder)
        assert reader is not None
        return reader

    def start(self, name: str = "shop") -> int:
        self.now += 10
        task = NewTask("shop.page", "pages", 5, "{}")
        started = self.frontier.start_run(
            name, 1, [task], full=True, now=self.now, sink=1, streams=["things"], whole=["things"]
        )
        self.writer.serve(started.run, Target(self.sink, "shop", "acme", sink_name="one", sink_id=1), self.now)
        return started.run

    def settle(self, outcome: Complete, account: int = 1) -> Complete:
        self.now += 1
        bucket = next(each for each in ready_buckets(self.frontier, account))
        (task, *_) = bucket_heads(self.frontier, bucket.id, (-1, -1), 1)
        group = [Settled(task, account, outcome)]
        group, totals, written = self.writer.deliver(group, self.now, self.now, self.frontier.mark)
        self.frontier.commit(group, now=self.now, totals=totals, written=written)
        (settled,) = group
        assert isinstance(settled.outcome, Complete)
        return settled.outcome

    def run(self, *keys: str, prefixes: tuple[str, ...] = ("",), skipped: tuple[str, ...] = ()) -> int:
        """A run that finds these things, and sweeps in another task, as sources do."""
        number = self.start()
        child = NewTask("shop.sweep", "pages", 5, "{}")
        self.settle(Complete([things(*keys)], [child]))
        aside = [Skipped("things", key, "bad") for key in skipped]
        self.settle(Complete(sweeps=[("things", prefix) for prefix in prefixes], skipped=aside))
        return number

    def living(self, account: str = "acme") -> set[str]:
        with closing(apsw.Connection(str(self.folder / "sink.db"), flags=apsw.SQLITE_OPEN_READONLY)) as database:
            statement = "SELECT id FROM shop_things WHERE account = ? AND deleted_at IS NULL"
            return {key for (key,) in database.execute(statement, (account,))}


def things(*keys: str) -> Batch:
    return Batch("things", len(keys), list(keys), [b'{"n":1}'] * len(keys), ["n"])


def keys(first: int, last: int, prefix: str = "") -> tuple[str, ...]:
    return tuple(f"{prefix}{number:04}" for number in range(first, last))


@pytest.fixture
def rig(frontier: Frontier, tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(frontier, tmp_path)
    yield rig
    rig.sink.close()


def test_a_sweep_of_what_is_doubted_tombstones_nothing_until_it_is_seen_again(rig: Rig) -> None:
    rig.run(*keys(0, 100))
    second = rig.run(*keys(0, 30))
    assert rig.living() == set(keys(0, 100))
    assert doubts(rig, second) == [("things", 30, 100)]
    third = rig.run(*keys(0, 32))
    assert rig.living() == set(keys(0, 32))
    assert doubts(rig, third) == []


def test_a_sweep_that_sees_enough_goes_on_as_ever_and_counts_in_the_report(rig: Rig) -> None:
    rig.run(*keys(0, 100))
    second = rig.run(*keys(0, 50), *keys(200, 210), skipped=keys(99, 100))
    assert rig.living() == {*keys(0, 50), *keys(200, 210), *keys(99, 100)}
    with closing(rig.reader()) as reader:
        facts = reader.streams(second)["things"]
    assert (facts.seen, facts.tombstoned) == (60, 49)


def test_a_sweep_that_was_held_back_is_doubted_though_more_comes_after_it(rig: Rig) -> None:
    rig.run(*keys(0, 100))
    number = rig.start()
    child = NewTask("shop.more", "pages", 5, "{}")
    rig.settle(Complete([things(*keys(0, 10))], [child], sweeps=[("things", "")]))
    rig.settle(Complete([things(*keys(0, 80))]))
    assert rig.living() == set(keys(0, 100))
    assert doubts(rig, number) == [("things", 80, 100)]
    rig.run(*keys(0, 80))
    assert rig.living() == set(keys(0, 80))


def test_parts_of_a_stream_are_swept_while_others_are_read(rig: Rig) -> None:
    """As long as no more than half of all is tombstoned."""
    rig.run(*keys(0, 50, "a/"), *keys(0, 50, "b/"))
    number = rig.start()
    child = NewTask("shop.more", "pages", 5, "{}")
    rig.settle(Complete([things(*keys(0, 20, "a/"))], [child], sweeps=[("things", "a/")]))
    assert rig.living() == {*keys(0, 20, "a/"), *keys(0, 50, "b/")}
    rig.settle(Complete([things(*keys(0, 40, "b/"))], sweeps=[("things", "b/")]))
    assert rig.living() == {*keys(0, 20, "a/"), *keys(0, 40, "b/")}
    assert doubts(rig, number) == []
    rig.run(*keys(0, 20, "a/"), prefixes=("a/", "b/"))  # nothing of b
    assert rig.living() == {*keys(0, 20, "a/"), *keys(0, 40, "b/")}


def test_a_sink_that_fails_between_the_records_and_the_sweep_gets_both_again(rig: Rig) -> None:
    rig.run(*keys(0, 100))
    rig.start()
    (bucket,) = ready_buckets(rig.frontier, 1)
    (task,) = bucket_heads(rig.frontier, bucket.id, (-1, -1), 1)
    page = Complete([things(*keys(0, 60))], sweeps=[("things", "")])
    write, calls = rig.sink.write, []

    def fails(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise StorageFailed("full", full=True)
        return write(*arguments)

    rig.sink.write = fails  # type: ignore[method-assign]
    assert rig.writer.deliver([Settled(task, 1, page)], NOW + 99, NOW + 99, rig.frontier.mark)[0] == []
    assert rig.living() == set(keys(0, 100))
    group, totals, written = rig.writer.deliver([], NOW + 100, NOW + 99 + RETRY_SECONDS, rig.frontier.mark)
    assert [settled.outcome.counted for settled in group if isinstance(settled.outcome, Complete)] == [
        [("things", 60, False)]
    ]
    rig.frontier.commit(group, now=NOW, totals=totals, written=written)
    assert rig.living() == set(keys(0, 60))


def test_parts_of_an_account_are_counted_and_doubted_by_themselves(rig: Rig) -> None:
    part = NewTask("shop.part", "pages", 5, "{}", account="/p")

    def both(own: tuple[str, ...], of_part: tuple[str, ...]) -> int:
        number = rig.start()
        rig.settle(Complete([things(*own)], [part, NewTask("shop.sweep", "pages", 5, "{}")]))
        (other,) = set(rig.frontier.accounts(number)) - {1}
        rig.parts[other] = "acme/p"
        rig.settle(Complete([things(*of_part)], sweeps=[("things", "")]), other)
        rig.settle(Complete(sweeps=[("things", "")]))
        return number

    both(keys(0, 100), keys(0, 40))
    second = both(keys(0, 90), keys(0, 10))
    assert rig.living() == set(keys(0, 90))
    assert rig.living("acme/p") == set(keys(0, 40))
    assert doubts(rig, second) == [("things", 10, 40)]
    both(keys(0, 90), keys(0, 10))
    assert rig.living("acme/p") == set(keys(0, 10))


# what a run is


@pytest.mark.parametrize(
    ("asked", "cursors", "said", "doubted", "news", "expected"),
    [
        (True, {"a": "1"}, [("old", [])], {"a"}, "new sink", Fullness(True, None, ["a", "b"])),
        (False, {}, [], (), None, Fullness(True, "no earlier run of it has ended clean", ["a", "b"])),
        (False, {}, [], (), "new sink", Fullness(True, "new sink", ["a", "b"])),
        (False, {"a": "1"}, [], (), "new sink", Fullness(False, None, [])),
        (False, {"a": "1"}, [("too old", ["b"])], (), None, Fullness(False, "b: too old", ["b"])),
        (False, {"a": "1"}, [("old", ["b"]), ("new", ["a"])], (), None, Fullness(True, "b: old; a: new", ["a", "b"])),
        (False, {"a": "1"}, [("old", ["b", "a"])], (), None, Fullness(True, "old", ["a", "b"])),
        (False, {"a": "1"}, [("too old", [])], (), None, Fullness(True, "too old", ["a", "b"])),
        (
            False,
            {"a": "1"},
            [("new", ["b"])],
            {"b"},
            None,
            Fullness(False, "the last full run has left a doubt about b; b: new", ["b"]),
        ),
    ],
)
def test_a_run_says_whether_it_is_full_and_why(
    asked: bool, cursors: Any, said: Any, doubted: Any, news: str | None, expected: Fullness
) -> None:
    plan = RunPlan(["a", "b"], asked, NOW, cursors)
    assert fullness(plan, said, doubted, news) == expected


def test_sync_points_of_what_is_doubted_do_not_count() -> None:
    cursors = {"a": "1", "a:x": "2", "b": "3", "b:x": "4", "sweep": "5"}
    assert believed(cursors, set(), ["a", "b"]) == cursors
    assert believed(cursors, {"a"}, ["a", "b"]) == {"b": "3", "b:x": "4"}


def test_what_an_import_is_told_to_read_has_one_digest() -> None:
    assert setup({"a": 1, "b": [2]}, None) == setup({"b": [2], "a": 1}, None) != setup({"a": 1, "b": [3]}, None)


def test_a_source_says_that_a_run_is_full() -> None:
    class Page(TaskArgs, kind="shop.page"):
        pass

    source = Source("shop")
    source.handles(Page)(lambda api, args: iter(()))
    source.starts(lambda plan: [Full("too old", ("a",)), Full("why not")])
    assert kinds.first(source, RunPlan([], False, NOW)).full == [("too old", ["a"]), ("why not", [])]
