"""The tasks of an abandoned run leave in slices; nothing else does, and every invariant holds between the slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from places import NOW
from support.ready_tasks import all_heads, bucket_heads

from crawlerd.core.outcome import Bury, Complete, Retry
from crawlerd.core.task import NewGather, NewTask
from crawlerd.frontier.contract import Bounds, Frontier, Settled
from crawlerd.sink import SinkState

if TYPE_CHECKING:
    from places import Place

BOUNDS = Bounds(slice=5)


def task(number: int, bucket: str = "items") -> NewTask:
    return NewTask(f"s.{bucket}", bucket, number % 10, f'{{"n":{number}}}', unique=True)


def rows(place: Place, table: str) -> dict[int, int]:
    """How many, by run."""
    return dict(place.query(f"SELECT run, count(*) FROM {table} GROUP BY run"))


@pytest.fixture
def frontier(place: Place) -> Frontier:
    frontier = place.open(bounds=BOUNDS)
    sink = frontier.attach("sinks.one", SinkState("id-1", None, fresh=True), NOW).id
    other = frontier.attach("sinks.two", SinkState("id-2", None, fresh=True), NOW).id
    account = frontier.account("acme", "s")
    for name, into in (("a", sink), ("b", other)):
        gathers = [NewGather([task(n, "parts")], task(100 + n, "then")) for n in range(7)]
        tasks = [*map(task, range(23)), task(1, "other")]
        run = frontier.start_run(name, account, tasks, gathers=gathers, full=True, now=NOW, sink=into).run
        heads = [
            each for each in bucket_heads(frontier, 1, (-1, -1), 100) if each.run == run and each.kind == "s.then"
        ] or all_heads(frontier, 100)
        heads = [each for each in heads if each.run == run][:9]
        outcomes = [Retry(60.0, "slow"), Retry(5e4, "slow"), Bury("no"), Bury("no"), Complete()]
        group = [Settled(each, account, outcomes[n % 5]) for n, each in enumerate(heads)]
        frontier.commit(group, now=NOW, written=[into])
    return frontier


@pytest.mark.parametrize("restart", [False, True])
def test_all_of_it_goes_in_slices_and_nothing_of_another_run(place: Place, frontier: Frontier, restart: bool) -> None:
    before = {table: rows(place, table) for table in ("ready", "delayed", "gather", "dead", "seen")}
    assert all(len(each) == 2 for each in before.values())
    attached = frontier.attach("sinks.one", SinkState("id-3", None, fresh=True), NOW)
    assert attached.abandoned == [1]
    assert attached.news == "sinks.one is another database than before, or rows were deleted from it"
    slices = 0
    left = [sum(rows(place, table).get(1, 0) for table in before)]
    while frontier.chores:
        frontier.commit([], now=NOW + 100)  # some of what is delayed is due meanwhile
        slices += 1
        assert place.check() == []
        left.append(sum(rows(place, table).get(1, 0) for table in before if table != "seen"))
        assert left[-2] - left[-1] <= BOUNDS.slice or slices == 1
        if restart and slices == 3:
            place.shut()
            frontier = place.open(bounds=BOUNDS)
    assert slices > 5
    for table, counts in before.items():
        if table not in ("ready", "delayed"):  # of the other run, something became due
            assert rows(place, table) == {2: counts[2]}
    assert rows(place, "ready")[2] + rows(place, "delayed")[2] == before["ready"][2] + before["delayed"][2]
    assert frontier.run(1).state == "cancelled"
    assert frontier.run(1).again
    assert frontier.run(2).state == "running"


def test_an_abandoned_run_is_not_brought_back_by_its_dead_letters(place: Place, frontier: Frontier) -> None:
    numbers = [seq for (seq,) in place.query("SELECT seq FROM dead")]
    frontier.attach("sinks.one", SinkState("id-3", None, fresh=True), NOW)
    count, imports = frontier.retry_dead(numbers)
    assert imports == ["b"]
    assert 0 < count < len(numbers)
    assert frontier.run(1).state == "cancelled"
    assert place.check() == []


def test_a_sink_that_is_older_takes_the_sync_points_with_it(frontier: Frontier) -> None:
    assert frontier.mark.number == 3
    assert frontier.attach("sinks.two", SinkState("id-2", 2, fresh=False), NOW).abandoned == []
    assert frontier.attach("sinks.two", SinkState("id-2", 1, fresh=False), NOW).abandoned == [2]
    assert frontier.news("b", 2) == "sinks.two is an older copy: it lacks what was imported last"


@pytest.mark.parametrize(
    ("first", "second", "news"),
    [
        ("http://a/x", "http://a/x", None),
        (None, "acct_1", None),
        ("acct_1", None, None),
        ("acct_1", "acct_2", "the receiver of import a is another one than before"),
    ],
)
def test_a_receiver_of_deliveries_is_known_by_its_identity(
    place: Place, first: str | None, second: str | None, news: str | None
) -> None:
    frontier = place.open()
    before = frontier.attach_receiver("a", first, NOW)
    after = frontier.attach_receiver("a", second, NOW)
    assert (after.id, after.news) == (before.id, news)
    assert frontier.attach_receiver("b", first, NOW).id != before.id
