"""Where an import's records come from: what was noted of another account, address or list does not count for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from places import NOW
from support.ready_tasks import all_heads, bucket_heads, ready_buckets

from crawlerd.core.outcome import Bury, Complete
from crawlerd.core.task import IfNew, NewTask, parent_hash
from crawlerd.frontier.contract import Frontier, Settled
from crawlerd.frontier.reports import Act
from crawlerd.sink import SinkState

if TYPE_CHECKING:
    from places import Place

HERE = {"items": "here", "orders": "here"}
POINTS = {"items": "1", "orders:lines,orders": "2", "sweep": "3"}


@pytest.fixture
def frontier(place: Place) -> Frontier:
    frontier = place.open()
    frontier.account("acme", "shop")
    assert sink(frontier) == 1
    return frontier


def sink(frontier: Frontier) -> int:
    return frontier.attach("sinks.one", SinkState("id-1", None, fresh=True), NOW).id


def first() -> NewTask:
    return NewTask("shop.start", "start", 5, "{}")


def imported(frontier: Frontier, name: str = "a") -> None:
    """A run that leaves sync points, and a parent whose list was read."""
    run = frontier.start_run(name, 1, [first()], full=True, now=NOW, sink=1).run
    (task,) = all_heads(frontier, 9)
    done = Complete(cursors=list(POINTS.items()), parents=[("orders:lines,orders", parent_hash("p"), True)])
    frontier.commit([Settled(task, 1, done)], now=NOW)
    assert frontier.run(run).state == "completed"


def parent_is_known(frontier: Frontier) -> bool:
    full = NewTask("shop.orders", "orders", 5, '"full"')
    since = NewTask("shop.orders", "orders", 5, '"since"', if_new=IfNew("orders:lines,orders", parent_hash("p"), full))
    frontier.start_run("a", 1, [since], full=False, now=NOW, sink=1)
    return any(
        task.payload == '"since"'
        for bucket in ready_buckets(frontier, None)
        for task in bucket_heads(frontier, bucket.id, (-1, -1), 9)
    )


def test_what_comes_from_where_it_came_from_keeps_its_sync_points(frontier: Frontier) -> None:
    assert frontier.bind("a", 1, NOW, HERE).news is None
    imported(frontier)
    for origins in (HERE, {"items": "here"}, HERE | {"new": "here"}, HERE | {"new": "here"}):
        assert frontier.bind("a", 1, NOW, origins).news is None
        assert frontier.cursors("a", 1) == POINTS
    assert frontier.news("a", 1) is None
    assert parent_is_known(frontier)


@pytest.mark.parametrize(
    ("changed", "kept"),
    [("orders", {"items": "1"}), ("items", {"orders:lines,orders": "2"})],
)
def test_sync_points_of_streams_that_come_from_elsewhere_are_dropped(
    frontier: Frontier, changed: str, kept: dict[str, str]
) -> None:
    """With them, those that may be of any stream."""
    frontier.bind("a", 1, NOW, HERE)
    imported(frontier)
    frontier.bind("b", 1, NOW, HERE)
    imported(frontier, "b")
    why = f"{changed}: the account, its address, or what is asked for, dropped or hashed is another than before"
    assert frontier.bind("a", 1, NOW, HERE | {changed: "there"}).news == why
    assert frontier.news("a", 1) == why
    assert frontier.cursors("a", 1) == kept
    assert frontier.bind("a", 1, NOW, HERE | {changed: "there"}).news is None  # once
    assert frontier.bind("a", 1, NOW, HERE).news == why  # and once on the way back
    assert (frontier.cursors("b", 1), frontier.news("b", 1)) == (POINTS, None)
    assert parent_is_known(frontier) == (changed == "items")


def test_runs_under_way_and_their_dead_letters_do_not_go_on_elsewhere(place: Place, frontier: Frontier) -> None:
    frontier.bind("a", 1, NOW, HERE)
    dead = frontier.start_run("a", 1, [first()], full=True, now=NOW, sink=1).run
    (task,) = bucket_heads(frontier, ready_buckets(frontier, None)[0].id, (-1, -1), 9)
    frontier.commit([Settled(task, 1, Bury("no"))], now=NOW)
    under_way = frontier.start_run("a", 1, [first()], full=True, now=NOW, sink=1).run
    of_others = frontier.start_run("b", 1, [first()], full=True, now=NOW, sink=1).run
    bound = frontier.bind("a", 1, NOW, HERE | {"items": "there"})
    assert bound.abandoned == [under_way]
    assert [frontier.run(each).state for each in (dead, under_way, of_others)] == ["cancelled", "cancelled", "running"]
    while frontier.chores:
        frontier.commit([], now=NOW)
    assert place.check() == []


def test_an_import_that_was_noted_without_its_origin_goes_on(frontier: Frontier) -> None:
    frontier.bind("a", 1, NOW)
    imported(frontier)
    assert frontier.bind("a", 1, NOW, HERE).news is None
    assert frontier.cursors("a", 1) == POINTS


def test_an_ad_hoc_run_is_told_of_other_streams_and_nothing_else_is_noted(frontier: Frontier) -> None:
    made = {"orders": "here.names", "items": "here"}
    frontier.bind("a", 1, NOW, made)
    imported(frontier)
    fewer, others = HERE | {"new": "here.names"}, made | {"orders": "here.others"}
    for origins, elsewhere in ((HERE, set[str]()), (fewer, set()), (others, {"orders"}), (made, set())):
        assert frontier.bind("a", 1, NOW, origins, ad_hoc=True).news is None
        assert frontier.elsewhere("a", origins) == elsewhere
        assert frontier.cursors("a", 1) == POINTS
    assert frontier.bind("a", 1, NOW, made | {"new": "there"}).news is None
    assert frontier.bind("a", 1, NOW, {"orders": "there.others"}, ad_hoc=True).news  # the account is another one
    assert frontier.cursors("a", 1).keys() == {"items"}
    assert frontier.elsewhere("a", {"orders": "there.names"}) == set()


def test_what_an_import_has_follows_its_new_name(frontier: Frontier) -> None:
    frontier.bind("b", 1, NOW, HERE)
    imported(frontier, "b")
    assert frontier.rename_import("b", "a", Act(NOW, "me", "rename", "import b", "to a", 1)) is None
    assert (frontier.cursors("b", 1), frontier.cursors("a", 1)) == ({}, POINTS)
    assert frontier.elsewhere("a", {"items": "there"}) == {"items"}
    assert parent_is_known(frontier)  # which leaves a run under way
    refused = frontier.rename_import("a", "c", Act(NOW, "me", "rename", "import a", "to c", 1))
    assert refused is not None
    assert "under way" in refused
    assert (frontier.cursors("c", 1), frontier.cursors("a", 1)) == ({}, POINTS)
