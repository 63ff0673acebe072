"""Tasks that others submit join a run without speaking for it; copies of dead letters wait for the spool."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

from places import NOW
from support.ready_tasks import all_heads

from crawlerd.core.outcome import Bury, Complete, Outcome, Tried
from crawlerd.core.task import NewGather, NewTask, Task
from crawlerd.frontier.contract import Frontier, Settled
from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.frontier.reports import Act, OperationReport
from crawlerd.frontier.submission_contract import REJECTED, Chunk, InboxItem, Rejection

if TYPE_CHECKING:
    from pathlib import Path

    from places import Place


def task(name: str, *, sequential: bool = False) -> NewTask:
    return NewTask("src.one", "one", 5, json.dumps({"name": name}), sequential=sequential)


def begin(frontier: Frontier, *names: str) -> tuple[int, int]:
    """A run that reads on its own, and its account."""
    account = frontier.account("acme", "src")
    return frontier.start_run("shop", account, [task(name) for name in names], full=True, now=NOW).run, account


def ready(frontier: Frontier) -> dict[str, Task]:
    return {json.loads(each.payload)["name"]: each for each in all_heads(frontier, 1_000)}


def settle(frontier: Frontier, account: int, **outcomes: Outcome) -> list[int]:
    """By the tasks' names. The runs that have ended."""
    found = ready(frontier)
    group = [Settled(found[name], account, outcome) for name, outcome in outcomes.items()]
    return frontier.commit(group, now=NOW).ended


def test_a_task_joins_a_run_under_way_once(frontier: Frontier) -> None:
    run, account = begin(frontier, "own")
    first = frontier.submit(run, [task("a"), task("b", sequential=True), task("a")], NOW)
    assert first is not None
    assert (first.run, first.added, first.open) == (run, 2, 3)
    assert list(first.committed.arrived)
    again = frontier.submit(run, [task("b", sequential=True), task("c")], NOW)
    assert again is not None
    assert (again.added, again.open) == (1, 4)
    assert settle(frontier, account, own=Complete(), a=Complete(), b=Complete(), c=Complete()) == [run]
    assert frontier.run(run).state == "completed"
    assert frontier.submit(run, [task("d")], NOW) is None, "it has ended"


def test_what_they_lead_to_is_theirs_and_does_not_keep_the_run_from_publishing(frontier: Frontier) -> None:
    run, account = begin(frontier, "own")
    assert frontier.submit(run, [task("a"), task("b")], NOW)
    groups = frontier.submitted_groups
    assert ready(frontier)["a"].group in groups
    assert ready(frontier)["own"].group not in groups
    gather = NewGather([task("inner")], task("then"))
    settle(frontier, account, a=Complete(children=[task("child")], gathers=[gather]))
    found = ready(frontier)
    assert all(found[name].group in groups for name in ("b", "child", "inner"))
    settle(frontier, account, inner=Bury("gone"), child=Complete(), b=Bury("gone"))
    assert ready(frontier)["then"].group in groups
    settle(frontier, account, then=Complete())
    assert settle(frontier, account, own=Complete(cursors=[("orders", "5")])) == [run]
    assert frontier.run(run).state == "completed with dead letters"
    assert frontier.cursors("shop") == {"orders": "5"}


def test_retried_letters_are_theirs_still_also_after_a_crash(place: Place, tmp_path: Path) -> None:
    frontier = place.open()
    run, account = begin(frontier, "own")
    assert frontier.submit(run, [task("a")], NOW)
    settle(frontier, account, a=Complete(gathers=[NewGather([task("inner")], task("then"), "fail")]))
    settle(frontier, account, inner=Bury("gone"), own=Complete())
    (tmp_path / "killed").mkdir()
    other = place.killed(tmp_path / "killed")
    after = other.open()
    with closing(other.reader()) as reader:
        numbers = reader.next_letters(LetterFilter(), through=100, after=0, most=10)
    assert after.retry_dead(numbers)[0] == 2
    assert ready(after)["inner"].group in after.submitted_groups
    settle(after, account, inner=Complete())
    assert ready(after)["then"].group in after.submitted_groups
    assert settle(after, account, then=Complete()) == [run]
    assert other.check() == []
    other.remove()


def test_their_letters_can_be_dropped_while_the_run_is_under_way(frontier: Frontier, place: Place) -> None:
    run, account = begin(frontier, "own")
    assert frontier.submit(run, [task("a")], NOW)
    settle(frontier, account, a=Bury("gone"))
    assert frontier.run(run).dead == 1
    drop = OperationReport(id=0, act="drop", which=LetterFilter(), through=9, by="me", began_at=NOW, total=1)
    operation = frontier.begin_operation(drop, Act(NOW, "me", "drop", "dead letters", "x", 1))
    with closing(place.reader()) as reader:
        numbers = reader.next_letters(LetterFilter(), through=9, after=0, most=10)
    stepped = frontier.step_operation(operation.id, numbers, NOW)
    assert stepped is not None
    assert stepped.done == 1
    assert frontier.run(run).dead == 0
    again = frontier.submit(run, [task("b")], NOW)
    assert again is not None
    assert again.open == 2


def test_a_run_of_submitted_tasks_is_no_run_of_the_import(frontier: Frontier) -> None:
    account = frontier.account("acme", "src")
    chunk = Chunk([InboxItem(1, 2.5, False), InboxItem(2, 3.5, True)], [Rejection(2, 3.5, "text", "why")])
    started = frontier.start_run(
        "shop", account, [task("a"), task("a")], full=False, now=NOW, ad_hoc="x", submitted=True, chunk=chunk
    )
    assert frontier.run(started.run).submitted
    assert frontier.run(started.run).open == 1
    assert frontier.inbox_items() == list(chunk.items)
    more = frontier.submit(started.run, [task("b")], NOW)
    assert more is not None
    assert not ready(frontier)["b"].group
    settle(frontier, account, a=Complete(cursors=[("orders", "1")]), b=Complete())
    assert frontier.cursors("shop") == {}
    assert frontier.latest_run("shop") is None


def test_a_run_that_a_command_began_takes_the_sink_of_its_import(frontier: Frontier) -> None:
    from crawlerd.sink import SinkState

    account = frontier.account("acme", "src")
    run = frontier.start_run("shop", account, [task("a")], full=False, now=NOW, ad_hoc="x", submitted=True).run
    sink = frontier.attach("sinks.a", SinkState("one", None, fresh=True), NOW).id
    assert frontier.bind("shop", sink, NOW).abandoned == []
    other = frontier.attach("sinks.b", SinkState("two", None, fresh=True), NOW).id
    assert frontier.bind("shop", other, NOW).abandoned == [run]


def test_a_canceled_or_pruned_run_leaves_nothing_of_its_group(frontier: Frontier, place: Place) -> None:
    run, account = begin(frontier, "own")
    assert frontier.submit(run, [task("a"), task("b")], NOW)
    settle(frontier, account, a=Bury("gone"))
    assert frontier.cancel_run(run, Act(NOW, "me", "cancel", "run", "x", 1))
    while frontier.chores:
        frontier.commit([], now=NOW)
    assert place.query("SELECT count(*) FROM gather") == [(0,)]
    for number in range(3):
        run, account = begin(frontier, f"own{number}")
        assert frontier.submit(run, [task("a")], NOW)
        settle(frontier, account, **{f"own{number}": Complete(), "a": Complete()})
    while frontier.chores:
        frontier.commit([], now=NOW)
    while frontier.prune_runs("shop", 1, NOW, 10):
        pass
    assert place.query("SELECT count(*) FROM gather") == [(1,)], "of the newest run"


def test_a_chunk_is_noted_with_its_tasks_and_forgotten_with_the_next_one(frontier: Frontier, place: Place) -> None:
    run, _ = begin(frontier, "own")
    first = Chunk([InboxItem(1, 1.0, False)])
    assert frontier.submit(run, [task("a")], NOW, first)
    assert frontier.inbox_items() == list(first.items)
    second = Chunk([InboxItem(2, 2.0, True)], [Rejection(2, 2.0, "text", "why")])
    frontier.note_chunk(second, NOW)
    assert frontier.inbox_items() == list(second.items)
    for start in range(3, REJECTED + 10, 100):
        items = [InboxItem(number, 3.0, True) for number in range(start, start + 100)]
        frontier.note_chunk(Chunk(items, [Rejection(each.number, 3.0, "t", "r") for each in items]), NOW)
    with closing(place.reader()) as reader:
        found = reader.rejections(REJECTED + 100)
        assert len(found) == REJECTED
        assert [each.id for each in found] == sorted((each.id for each in found), reverse=True)
        assert reader.rejections(2, before=found[1].id) == found[2:4]


def test_letters_are_copied_as_they_die_and_stay_until_they_are_in_the_spool(frontier: Frontier) -> None:
    tried = Tried("GET", "http://api/a", 404, 0.5)
    _, account = begin(frontier, "before", "a", "b", "own")
    settle(frontier, account, before=Bury("too early"))
    assert frontier.copy_letters(True) == 0
    settle(frontier, account, a=Bury("Permanent: HTTP 404: gone", tried=tried, denied=True), b=Bury("gone as well"))
    one, two = frontier.copied_letters(10, 1 << 20)
    letter = json.loads(one.letter)
    assert (letter["import"], letter["account"], letter["kind"], letter["denied"]) == ("shop", "acme", "src.one", True)
    assert (letter["payload"], letter["error"]) == ('{"name": "a"}', "Permanent: HTTP 404: gone")
    assert [(each["status"], each["seconds"], each["url"]) for each in letter["history"]] == [
        (404, 0.5, "http://api/a")
    ]
    assert len(frontier.copied_letters(10, 1)) == 1
    frontier.retry_dead([letter["id"]])
    assert [each.number for each in frontier.copied_letters(10, 1 << 20)] == [one.number, two.number]
    settle(frontier, account, a=Bury("again"))
    frontier.spooled(one.number)
    assert [json.loads(each.letter)["error"] for each in frontier.copied_letters(10, 1 << 20)] == [
        "gone as well",
        "again",
    ]
    assert frontier.copy_letters(False) == 2
    settle(frontier, account, own=Bury("late"))
    assert frontier.copied_letters(10, 1 << 20) == []
