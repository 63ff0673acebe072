"""What is remembered of a transaction is forgotten if it fails at its end: nothing of it has happened."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from places import NOW
from support.ready_tasks import all_heads

from crawlerd.core.errors import StorageFailed
from crawlerd.core.outcome import DONE, Complete
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import Bounds, Frontier, Settled
from crawlerd.frontier.reports import Act
from crawlerd.sink import SinkState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from places import Place

ACT = Act(NOW, "ann", "cancel", "run 1", "", 1)


def task(number: int) -> NewTask:
    return NewTask("s.item", "items", 5, f'{{"n":{number}}}', unique=True)


@contextmanager
def failing(frontier: Any) -> Iterator[None]:
    """All of its transactions fail when everything in them is done."""
    durably: Callable[[], AbstractContextManager[None]] = frontier._durably

    @contextmanager
    def fails() -> Iterator[None]:
        with durably():
            yield
            raise StorageFailed("the disk is full", full=True)

    frontier._durably = fails
    try:
        with pytest.raises(StorageFailed):
            yield
    finally:
        frontier._durably = durably


def started(frontier: Frontier, tasks: int, *, sink: int = 0) -> list[Settled]:
    """Of a run with these tasks, what their ends are."""
    frontier.start_run("a", frontier.account("acme", "s"), list(map(task, range(tasks))), full=True, now=NOW, sink=sink)
    return [Settled(each, 1, DONE) for each in all_heads(frontier, 100)]


def do_chores(frontier: Frontier) -> None:
    for _ in range(20):
        if frontier.chores:
            frontier.commit([], now=NOW)
    assert not frontier.chores


def test_a_run_whose_end_was_undone_keeps_the_keys_of_its_tasks(place: Place) -> None:
    frontier = place.open(bounds=Bounds(purge=100))
    first, last = started(frontier, 2)
    frontier.commit([first], now=NOW)
    with failing(frontier):
        frontier.commit([last], now=NOW)
    do_chores(frontier)
    again = Settled(last.task, 1, Complete(children=[task(0), task(1), task(2)]))
    assert list(frontier.commit([again], now=NOW).enqueued.values()) == [1]  # the two others are known
    (left,) = all_heads(frontier, 100)
    assert frontier.commit([Settled(left, 1, DONE)], now=NOW).ended == [1]


@pytest.mark.parametrize("how", ["cancel", "forget", "expire", "attach"])
def test_a_run_whose_cancellation_was_undone_keeps_its_tasks(place: Place, how: str) -> None:
    frontier = place.open(bounds=Bounds(slice=5))
    sink = frontier.attach("sinks.one", SinkState("id-1", None, fresh=True), NOW).id
    outcomes = started(frontier, 12, sink=sink)

    def cancel() -> None:
        if how == "expire":
            frontier.expire_run(1, NOW, "for too long")
        elif how == "attach":
            frontier.attach("sinks.one", SinkState("id-2", None, fresh=True), NOW)
        else:
            frontier.cancel_run(1, ACT, forget=how == "forget")

    with failing(frontier):
        cancel()
    do_chores(frontier)
    assert len(all_heads(frontier, 100)) == 12
    frontier.commit(outcomes[:1], now=NOW)
    assert frontier.run(1).state == "running"
    cancel()
    do_chores(frontier)
    assert all_heads(frontier, 100) == []


def test_a_slice_whose_removal_was_undone_is_removed_again(place: Place) -> None:
    frontier = place.open(bounds=Bounds(slice=5))
    started(frontier, 12)
    frontier.cancel_run(1, ACT)
    for _ in range(5):
        with failing(frontier):
            frontier.commit([], now=NOW)
        frontier.commit([], now=NOW)
    do_chores(frontier)
    assert place.query("SELECT open FROM run") == [(0,)]
    assert place.query("SELECT count(*) FROM ready") == [(0,)]


@pytest.mark.parametrize("how", ["cancel", "attach"])
def test_figures_of_a_run_whose_cancellation_was_undone_are_written(place: Place, how: str) -> None:
    frontier = place.open(bounds=Bounds(pace_seconds=10))
    sink = frontier.attach("sinks.one", SinkState("id-1", None, fresh=True), NOW).id
    outcomes = started(frontier, 3, sink=sink)
    frontier.commit(outcomes[:1], now=NOW)
    frontier.commit(outcomes[1:2], now=NOW + 1)
    with failing(frontier):
        if how == "attach":
            frontier.attach("sinks.one", SinkState("id-2", None, fresh=True), NOW)
        else:
            frontier.cancel_run(1, ACT)
    assert frontier.commit(outcomes[2:], now=NOW + 2).ended == [1]
    assert place.query("SELECT sum(v) FROM figure WHERE what = 3") == [(3,)]
