"""What an outcome sends ahead in portions: whatever happens between them, it becomes the tasks that it would have been
in one piece, or nothing."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import IMPLEMENTATIONS, NOW
from support.ready_tasks import all_heads

from crawlerd.core.errors import FrontierError
from crawlerd.core.outcome import Batch, Bury, Complete, Defer, Outcome, Portion, Retry, Sent, Skipped
from crawlerd.core.task import IfNew, NewGather, NewTask, Task, parent_hash
from crawlerd.engine.portions import portions
from crawlerd.frontier.contract import Ahead, Bounds, Frontier, Settled
from crawlerd.sink import SinkState

if TYPE_CHECKING:
    from places import Place

FIRST = NewTask("s.first", "first", 5, "{}")


def child(number: int, *, unique: bool = False, sequential: bool = False, bucket: str = "items") -> NewTask:
    return NewTask("s.item", bucket, number % 10, f'{{"n":{number}}}', unique, sequential)


def below(number: int) -> NewTask:
    form = child(number, unique=True)
    other = child(number + 50, unique=True)
    return msgspec.structs.replace(form, if_new=IfNew("lines", parent_hash(str(number)), other))


CHILD = st.builds(child, st.integers(0, 9), unique=st.booleans(), bucket=st.sampled_from(["items", "others"]))
NEW = CHILD | CHILD | st.builds(below, st.integers(0, 9)) | st.just(child(3, unique=True, sequential=True))
GATHER = st.builds(NewGather, st.lists(NEW, max_size=4), CHILD, st.sampled_from(["run", "fail", "skip"]))


def start(frontier: Frontier, *tasks: NewTask, name: str = "a", sink: int = 0) -> int:
    account = frontier.account("acme", "s")
    return frontier.start_run(name, account, tasks or [FIRST], full=True, now=NOW, sink=sink).run


def heads(frontier: Frontier) -> list[Task]:
    return all_heads(frontier, 10**6)


def ahead(task: Task, portion: Portion) -> Ahead:
    outcome = Complete(portion.batches, skipped=portion.skipped)
    return Ahead(task, 1, outcome, token=portion.token, entries=portion.entries, first=portion.first)


def cut(outcome: Complete, token: int = 1, most: int = 1) -> tuple[list[Portion], Complete]:
    """`most`: the weight of a portion."""
    pieces = list(portions(outcome, token, most=most))
    *before, last = pieces
    assert isinstance(last, Complete)
    return [each for each in before if isinstance(each, Portion)], last


def drain(frontier: Frontier, place: Place | None = None) -> None:
    while frontier.chores:
        frontier.commit([], now=NOW)
        if place:
            assert place.check() == []


def contents(place: Place) -> dict[str, list[tuple[object, ...]]]:
    """Everything but numbers, and what was noted of them."""
    tasks = {
        "ready": "SELECT run, kind.name, bucket.name, priority, payload, grp > 0",
        "dead": "SELECT run, kind.name, bucket.name, priority, payload, grp > 0",
        "gather": "SELECT run, kind.name, bucket.name, priority, payload, parent > 0, open, dead, if_dead",
    }
    joined = "JOIN kind ON kind.id = kind JOIN bucket ON bucket.id = bucket"
    found = {table: sorted(place.query(f"{select} FROM {table} {joined}"), key=repr) for table, select in tasks.items()}
    found["run"] = place.query("SELECT id, state, open, waiting, done, dead, records FROM run ORDER BY id")
    found["tally"] = place.query("SELECT run, stream, records, skipped, skip_reason FROM tally ORDER BY run, stream")
    found["staged"] = place.query("SELECT run, stream, value FROM staged ORDER BY run, stream")
    found["seen"] = sorted(place.query("SELECT run, key FROM seen"))
    return found


OUTCOMES = st.builds(
    lambda children, gathers, counts, skips: Complete(
        [Batch("items", count, ["k"] * count, [b"{}"] * count, ["a"], [], 2 * count) for count in counts],
        children,
        [("items", "7")],
        [Skipped("items", key, "odd") for key in skips] + [Skipped("others", "", "so", note=True)] * len(skips),
        gathers=gathers,
    ),
    st.lists(NEW, max_size=8),
    st.lists(GATHER, max_size=3),
    st.lists(st.integers(1, 5), max_size=2),
    st.lists(st.sampled_from("xyz"), max_size=3),
)


@settings(max_examples=40, deadline=None)
@given(outcome=OUTCOMES, grouped=st.booleans(), most=st.sampled_from([1, 1000, 5000]), data=st.data())
def test_in_portions_or_in_one_piece_the_same_comes_of_it(
    outcome: Complete, grouped: bool, most: int, data: st.DataObject
) -> None:
    """Even when the process is killed at any point of the unfolding. No order matters here: what is unique is the same
    whoever comes first, but for which of the two forms of a task below a parent it takes."""
    found = []
    for in_portions in (False, True):
        place = next(iter(IMPLEMENTATIONS.values())).make()
        frontier = place.open()
        start(frontier)
        (task,) = heads(frontier)
        if grouped:
            frontier.commit([Settled(task, 1, Complete(gathers=[NewGather([FIRST], child(77))]))], now=NOW)
            (task,) = heads(frontier)
        settled = Settled(task, 1, outcome)
        if in_portions:
            before, last = cut(outcome, most=most)
            for portion in before:
                frontier.commit([], now=NOW, ahead=[ahead(task, portion)])
                assert place.check() == []
            settled = Settled(task, 1, last)
        frontier.commit([settled], now=NOW)
        assert place.check() == []
        while frontier.chores:
            if data.draw(st.integers(0, 9)) == 0:
                left = place.killed(Path(tempfile.mkdtemp(dir=place.state_dir.parent)))
                place.remove()
                place, frontier = left, left.open()
            frontier.commit([], now=NOW)
            assert place.check() == []
        found.append(contents(place))
        place.remove()
    assert found[0] == found[1]


def test_nothing_of_a_stage_can_be_leased_or_counts_before_its_outcome(place: Place, frontier: Frontier) -> None:
    run = start(frontier)
    (task,) = heads(frontier)
    before, last = cut(Complete(children=[child(n) for n in range(5)]))
    assert len(before) == 5
    for portion in before:
        frontier.commit([], now=NOW, ahead=[ahead(task, portion)])
    assert heads(frontier) == [task]
    assert place.query("SELECT open, done FROM run") == [(1, 0)]
    assert not frontier.chores
    frontier.commit([Settled(task, 1, last)], now=NOW)
    assert place.query("SELECT open, done FROM run") == [(5, 1)]
    assert frontier.chores
    assert len(heads(frontier)) == 1
    with closing(place.reader()) as reader:
        assert reader.totals() == (5, 0, 0, 0)
        assert reader.goes_on(run, ["acme"])
    drain(frontier, place)
    found = sorted((each.seq, each.payload) for each in heads(frontier))
    assert found == [(2 + n, child(n).payload) for n in range(5)]


@pytest.mark.parametrize("end", [Bury("no"), Retry(5.0, "reset"), Defer("slow"), Complete(children=[child(1)])])
def test_another_end_of_the_lease_drops_what_was_sent_ahead(place: Place, frontier: Frontier, end: Outcome) -> None:
    start(frontier)
    (task,) = heads(frontier)
    before, _ = cut(Complete(children=[child(n) for n in range(40)]))
    frontier.commit([], now=NOW, ahead=[ahead(task, portion) for portion in before])
    assert place.query("SELECT count(*) FROM stage") == [(40,)]
    frontier.commit([Settled(task, 1, end)], now=NOW)
    drain(frontier, place)
    assert place.query("SELECT count(*) FROM stage") == [(0,)]


def test_what_a_lost_lease_has_sent_does_not_mix_with_that_of_the_next(place: Place, frontier: Frontier) -> None:
    start(frontier)
    (task,) = heads(frontier)
    lost, _ = cut(Complete(children=[child(n) for n in range(7)]), token=1)
    again, last = cut(Complete(children=[child(n) for n in range(10, 13)]), token=2)
    frontier.commit([], now=NOW, ahead=[ahead(task, portion) for portion in lost])
    frontier.commit([], now=NOW, void=[(task.seq, 1)], ahead=[ahead(task, again[0])])
    frontier.commit([], now=NOW, void=[(task.seq, 1)], ahead=[ahead(task, portion) for portion in again[1:]])
    frontier.commit([Settled(task, 1, last)], now=NOW)
    drain(frontier, place)
    assert sorted(each.payload for each in heads(frontier)) == [child(n).payload for n in range(10, 13)]


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_an_outcome_that_misses_a_portion_writes_nothing(place: Place, frontier: Frontier, left_out: int) -> None:
    start(frontier)
    (task,) = heads(frontier)
    before, last = cut(Complete(children=[child(n) for n in range(3)]))
    frontier.commit([], now=NOW, ahead=[ahead(task, p) for n, p in enumerate(before) if n != left_out])
    dump = place.dump()
    with pytest.raises(FrontierError, match="has led to 3 tasks, but 2 are staged; nothing was written"):
        frontier.commit([Settled(task, 1, last)], now=NOW)
    assert place.dump() == dump
    other = msgspec.structs.replace(last, sent=msgspec.structs.replace(last.sent, token=9))
    with pytest.raises(FrontierError, match="but 0 are staged"):
        frontier.commit([Settled(task, 1, other)], now=NOW)
    frontier.commit([], now=NOW, ahead=[ahead(task, before[left_out])])  # it is all still there
    frontier.commit([Settled(task, 1, last)], now=NOW)
    drain(frontier, place)
    assert len(heads(frontier)) == 3


def test_a_killed_process_leaves_no_stage_but_what_unfolds(place: Place, frontier: Frontier, tmp_path: Path) -> None:
    start(frontier)
    start(frontier, name="b")
    done, open_ = heads(frontier)
    before, last = cut(Complete(children=[child(n) for n in range(50)]))
    frontier.commit([], now=NOW, ahead=[ahead(task, portion) for task in (done, open_) for portion in before])
    frontier.commit([Settled(done, 1, last)], now=NOW)
    folder = tmp_path / "killed"
    folder.mkdir()
    left = place.killed(folder)
    again = left.open()
    assert left.check() == []
    assert again.chores
    again.commit([], now=NOW, ahead=[ahead(open_, portion) for portion in before])  # under the same token: by chance
    drain(again, left)
    again.commit([Settled(open_, 1, last)], now=NOW)
    drain(again, left)
    assert len(heads(again)) == 100
    assert Counter(each.run for each in heads(again)) == {1: 50, 2: 50}
    assert left.query("SELECT count(*) FROM stage") == [(0,)]
    left.remove()


def test_a_run_goes_on_until_all_has_unfolded_and_repeats_have_left(place: Place, frontier: Frontier) -> None:
    """All of it was asked for before: the run ends with the last slice."""
    first = [child(n, unique=True) for n in range(60)]
    run = start(frontier, FIRST, *first)
    task, *others = sorted(heads(frontier), key=lambda each: each.seq)
    before, last = cut(Complete(children=first))
    frontier.commit([], now=NOW, ahead=[ahead(task, portion) for portion in before])
    frontier.commit([Settled(each, 1, Complete()) for each in others], now=NOW)
    committed = frontier.commit([Settled(task, 1, last)], now=NOW)
    slices = 1
    while not committed.ended:
        assert frontier.run(run).state == "running"
        committed = frontier.commit([], now=NOW)
        slices += 1
    assert slices > 2
    assert committed.ended == [run]
    assert frontier.run(run).state == "completed"


def test_unfoldings_take_turns(frontier: Frontier) -> None:
    for name in "ab":
        start(frontier, name=name)
    before, last = cut(Complete(children=[child(n) for n in range(60)]))
    tasks = heads(frontier)
    frontier.commit([], now=NOW, ahead=[ahead(task, portion) for task in tasks for portion in before])
    frontier.commit([Settled(task, 1, last) for task in tasks], now=NOW)
    frontier.commit([], now=NOW)
    found = Counter(each.run for each in heads(frontier))
    assert found.keys() == {1, 2}
    assert max(found.values()) < 60


def test_an_import_may_want_another_priority(frontier: Frontier) -> None:
    start(frontier)
    (task,) = heads(frontier)
    before, last = cut(Complete(children=[child(1), below(2)]))
    assert last.sent
    last = msgspec.structs.replace(last, sent=msgspec.structs.replace(last.sent, priority=8))
    frontier.commit([], now=NOW, ahead=[ahead(task, portion) for portion in before])
    frontier.commit([Settled(task, 1, last)], now=NOW)
    drain(frontier)
    assert {each.priority for each in heads(frontier)} == {8}


def test_an_abandoned_run_loses_what_unfolds_and_what_is_staged(place: Place) -> None:
    frontier = place.open(bounds=Bounds(stages=2))
    sink = frontier.attach("sinks.one", SinkState("id-1", None, fresh=True), NOW).id
    start(frontier, FIRST, child(99), sink=sink)
    task, other = sorted(heads(frontier), key=lambda each: each.seq)
    before, last = cut(Complete(children=[child(n) for n in range(9)]))
    frontier.commit([], now=NOW, ahead=[ahead(each, portion) for each in (task, other) for portion in before])
    frontier.commit([Settled(task, 1, last)], now=NOW, written=[sink])
    frontier.commit([], now=NOW)
    assert frontier.attach("sinks.one", SinkState("id-2", None, fresh=True), NOW).abandoned == [1]
    assert place.check() == []
    drain(frontier, place)
    for table in ("ready", "stage", "unfolding"):
        assert place.query(f"SELECT count(*) FROM {table}") == [(0,)]
    assert place.query("SELECT open FROM run") == [(0,)]


def test_a_portion_without_tasks_costs_no_row(place: Place, frontier: Frontier) -> None:
    start(frontier)
    (task,) = heads(frontier)
    batch = Batch("items", 1, ["k"], [b"{}"], [], [], 2)
    frontier.commit([], now=NOW, ahead=[ahead(task, Portion(1, [batch]))])
    assert place.query("SELECT count(*) FROM stage") == [(0,)]
    frontier.commit([Settled(task, 1, Complete(sent=Sent(1, records=[("items", 1)])))], now=NOW)
    assert place.query("SELECT state, records, open FROM run") == [("completed", 1, 0)]
