"""Parents whose lists were read to their end, on a real frontier: what is new is read in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from places import NOW
from support.ready_tasks import all_heads

from crawlerd.core.errors import FrontierError
from crawlerd.core.outcome import Batch, Bury, Complete, Outcome
from crawlerd.core.task import IfNew, NewGather, NewTask, Task, parent_hash
from crawlerd.frontier.contract import Bounds, Frontier, Settled
from crawlerd.sink import SinkState

if TYPE_CHECKING:
    from places import Place

PURGED = Bounds().purge
START = NewTask("shop.start", "start", 5, "{}")


@pytest.fixture
def frontier(place: Place) -> Frontier:
    frontier = place.open()
    for number, name in enumerate(("acme", "zenith"), start=1):
        assert frontier.account(name, "shop") == number
    return frontier


def below(parent: str, of: str = "orders", *, unique: bool = True, mark: str = "") -> NewTask:
    """The list of a parent: its payload says how much of it."""
    full = NewTask("shop.orders", "orders", 5, f'"full {parent}"', unique, mark=mark)
    if_new = IfNew(of, parent_hash(parent), full)
    return msgspec.structs.replace(full, payload=f'"since {parent}"', if_new=if_new)


def read(*parents: str, of: str = "orders", whole: bool = True) -> list[tuple[str, str, bool]]:
    return [(of, parent_hash(parent), whole) for parent in parents]


def begin(
    frontier: Frontier, name: str = "shop", tasks: list[NewTask] | None = None, account: int = 1, sink: int = 0
) -> int:
    first = [START] if tasks is None else tasks
    return frontier.start_run(name, account, first, full=False, now=NOW, sink=sink).run


def settle(frontier: Frontier, run: int, outcome: Outcome, account: int = 1, *, kind: str = "shop.start") -> None:
    """The run's first task of a kind."""
    task = next(each for each in ready(frontier, run) if each.kind == kind)
    frontier.commit([Settled(task, account, outcome)], now=NOW)


def ready(frontier: Frontier, run: int) -> list[Task]:
    tasks = all_heads(frontier, 1000)
    return sorted((task for task in tasks if task.run == run), key=lambda task: task.seq)


def asked(frontier: Frontier, run: int) -> list[str]:
    """How lists below parents are to be read."""
    return [task.payload.strip('"') for task in ready(frontier, run) if task.kind == "shop.orders"]


def remember(frontier: Frontier, *parents: str, sink: int = 0) -> None:
    settle(frontier, begin(frontier, sink=sink), Complete(parents=read(*parents)))


def sink(frontier: Frontier, identity: str) -> int:
    """The number of the one that is configured, and that says to be so."""
    return frontier.attach("sinks.one", SinkState(identity, None, fresh=True), NOW).id


def test_a_parent_is_read_in_full_until_its_list_was_read_to_the_end(frontier: Frontier) -> None:
    run = begin(frontier, tasks=[below("a"), below("b")])
    assert asked(frontier, run) == ["full a", "full b"]
    settle(frontier, run, Complete(parents=read("a")), kind="shop.orders")
    settle(frontier, run, Complete(), kind="shop.orders")
    assert asked(frontier, begin(frontier, tasks=[below("a"), below("b")])) == ["since a", "full b"]


def test_what_a_task_reads_counts_for_what_it_asks_for(frontier: Frontier) -> None:
    run = begin(frontier)
    settle(frontier, run, Complete(children=[below("a"), below("b")], parents=read("a")))
    assert asked(frontier, run) == ["since a", "full b"]


def test_a_parent_that_could_not_be_read_whole_is_forgotten(frontier: Frontier) -> None:
    remember(frontier, "a", "b")
    settle(frontier, begin(frontier), Complete(parents=[*read("a"), *read("a", "unknown", whole=False)]))
    assert asked(frontier, begin(frontier, tasks=[below("a"), below("b")])) == ["full a", "since b"]
    settle(frontier, begin(frontier), Complete(parents=[*read("a", whole=False), *read("a")]))
    assert asked(frontier, begin(frontier, tasks=[below("a")])) == ["since a"]


def test_lists_imports_sinks_and_accounts_have_parents_of_their_own(frontier: Frontier) -> None:
    remember(frontier, "a")
    assert asked(frontier, begin(frontier, tasks=[below("a", "lines")])) == ["full a"]
    assert asked(frontier, begin(frontier, "other", [below("a")])) == ["full a"]
    assert asked(frontier, begin(frontier, tasks=[below("a")], sink=sink(frontier, "x"))) == ["full a"]
    assert asked(frontier, begin(frontier, tasks=[below("a")])) == ["since a"]
    # a task that the run has for another account, and one of that account's own run
    run = begin(frontier, tasks=[NewTask("shop.start", "start", 5, "{}", account="zenith")])
    settle(frontier, run, Complete(children=[below("a"), below("c")], parents=read("c")), account=2)
    assert asked(frontier, run) == ["full a", "since c"]
    assert asked(frontier, begin(frontier, tasks=[below("a"), below("c")])) == ["since a", "full c"]


@pytest.mark.parametrize("mark", ["", "orders of a"])
def test_both_forms_count_as_one_task_of_a_run(frontier: Frontier, mark: str) -> None:
    """Whichever was chosen, and whichever of them is asked for by itself."""
    run = begin(frontier, tasks=[START, START, START, below("a", mark=mark)])
    assert asked(frontier, run) == ["full a"]
    settle(frontier, run, Complete(children=[below("a", mark=mark)], parents=read("a")))
    plain = below("a", mark=mark)
    forms = [NewTask("shop.orders", "orders", 5, form.payload, True, mark=mark) for form in plain.forms()]
    settle(frontier, run, Complete(children=forms))
    assert asked(frontier, run) == ["full a"]
    settle(frontier, run, Complete(), kind="shop.orders")
    settle(frontier, run, Complete(children=[below("a", mark=mark), below("b", mark="b")]))
    assert asked(frontier, run) == ["full b"]
    other = begin(frontier, tasks=[forms[0], below("a", mark=mark)])
    assert len(asked(frontier, other)) == 1


def test_tasks_that_need_not_be_unique_are_made_each_time(frontier: Frontier) -> None:
    run = begin(frontier, tasks=[below("a", unique=False), below("a", unique=False)])
    assert asked(frontier, run) == ["full a", "full a"]


def test_they_may_stand_in_a_group(frontier: Frontier) -> None:
    remember(frontier, "a")
    run = begin(frontier)
    gather = NewGather([below("a"), below("b"), below("a")], START)
    settle(frontier, run, Complete(gathers=[gather]))
    assert asked(frontier, run) == ["since a", "full b"]
    assert len({task.group for task in ready(frontier, run)}) == 1
    first = frontier.start_run("shop", 1, [], gathers=[gather], full=False, now=NOW).run
    assert asked(frontier, first) == ["since a", "full b"]


def test_nothing_is_noted_with_what_is_not_committed(place: Place, frontier: Frontier) -> None:
    run = begin(frontier)
    (task,) = ready(frontier, run)
    stale = Task(task.seq + 1, task.bucket, 5, run, "shop.start", 0, "{}")
    reading = Complete(children=[below("a")], parents=read("a"))
    with pytest.raises(FrontierError, match="nothing was written"):
        frontier.commit([Settled(task, 1, reading), Settled(stale, 1, Complete())], now=NOW)
    assert place.query("SELECT * FROM parent") == place.query("SELECT * FROM scope") == []
    settle(frontier, run, reading)  # no number that was given out in between is used
    assert asked(frontier, run) == ["since a"]


def test_a_run_that_fails_later_has_read_its_parents_all_the_same(frontier: Frontier) -> None:
    run = begin(frontier, tasks=[START, START])
    settle(frontier, run, Complete([Batch("orders", 1, [], [])], parents=read("a")))
    settle(frontier, run, Bury("gone"))
    assert asked(frontier, begin(frontier, tasks=[below("a")])) == ["since a"]


def test_they_outlive_a_restart(place: Place, frontier: Frontier) -> None:
    remember(frontier, "a")
    place.shut()
    again = place.open()
    assert asked(again, begin(again, tasks=[below("a"), below("b")])) == ["since a", "full b"]


def test_what_was_read_into_a_sink_is_dropped_at_once_and_removed_in_slices(place: Place, frontier: Frontier) -> None:
    parents = [f"p{number}" for number in range(2 * PURGED)]
    old, tasks = sink(frontier, "old"), [below("p1"), below("p2")]
    remember(frontier, *parents, sink=old)
    run = begin(frontier, tasks=tasks, sink=old)
    assert asked(frontier, run) == ["since p1", "since p2"]
    for _ in tasks:
        settle(frontier, run, Complete(), kind="shop.orders")
    new = sink(frontier, "new")  # in its place
    assert place.check() == []
    assert asked(frontier, begin(frontier, tasks=tasks, sink=new)) == ["full p1", "full p2"]
    remember(frontier, "p1", sink=new)
    assert place.query("SELECT count(*) FROM parent") == [(PURGED + 1,)]
    place.shut()
    frontier = place.open()  # it goes on after a restart
    left = []
    for _ in range(3):
        frontier.commit([], now=NOW)
        left += place.query("SELECT (SELECT count(*) FROM parent), count(*) FROM scope")
    assert left == [(1, 1)] * 3  # a good end removes a slice, too
    assert not frontier.chores
    assert asked(frontier, begin(frontier, tasks=tasks, sink=new)) == ["since p1", "full p2"]
