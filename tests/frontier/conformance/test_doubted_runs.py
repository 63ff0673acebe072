"""Full runs that see far less than the last one: what is doubted, until when, and what is not published meanwhile."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from places import NOW
from support.ready_tasks import all_heads

from crawlerd.core.doubt import Expected
from crawlerd.core.outcome import Batch, Bury, Complete, Outcome
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.reports import Doubt
from crawlerd.sink import SinkState, Totals

if TYPE_CHECKING:
    from places import Place

    from crawlerd.frontier.contract import Frontier


@pytest.fixture
def frontier(place: Place) -> Frontier:
    frontier = place.open()
    frontier.account("acme", "shop")
    frontier.attach("sinks.one", SinkState("one", None, fresh=True), NOW)
    return frontier


def run(
    frontier: Frontier,
    seen: int,
    *,
    whole: tuple[str, ...] = ("things",),
    outcome: Outcome | None = None,
    streams: tuple[str, ...] = ("things", "parts"),
    cursors: tuple[str, ...] = ("things", "parts", "of none", "things:1"),
    shrink: bool = False,
    sink: int = 1,
    name: str = "shop",
    setup: str = "",
    ad_hoc: str | None = None,
) -> int:
    """A run that sees so many things, and a part."""
    task = NewTask("shop.page", "pages", 5, "{}")
    started = frontier.start_run(
        name,
        1,
        [task],
        full=True,
        now=NOW,
        sink=sink,
        streams=streams,
        whole=whole,
        setup=setup,
        shrink=shrink,
        ad_hoc=ad_hoc,
    )
    usual = Complete([Batch("things", 1, [], [])], cursors=[(each, str(started.run)) for each in cursors])
    finish(frontier, started.run, outcome or usual, {"things": seen, "parts": 1})
    return started.run


def finish(frontier: Frontier, number: int, outcome: Outcome, seen: dict[str, int]) -> None:
    tasks = all_heads(frontier, 100)
    (task,) = [each for each in tasks if each.run == number]
    totals = {(number, stream): Totals(seen=count, new=count) for stream, count in seen.items()}
    assert frontier.commit([Settled(task, 1, outcome)], now=NOW, totals=totals).ended == [number]


def doubts(place: Place, number: int) -> list[tuple[str, int, int]]:
    with closing(place.reader()) as reader:
        report = reader.run(number)
    assert report.complete == (report.state == "completed" and not report.doubts)
    return [(each.stream, each.seen, each.before) for each in report.doubts]


def test_a_full_run_that_sees_too_little_is_doubted_until_another_one_sees_as_little(
    place: Place, frontier: Frontier
) -> None:
    first = run(frontier, 100)
    assert doubts(place, first) == []
    second = run(frontier, 49)
    assert doubts(place, second) == [("things", 49, 100)]
    assert frontier.doubted("shop", 1) == {"things"}
    third = run(frontier, 60)  # half of it and more: it was a mistake
    assert doubts(place, third) == []
    assert frontier.doubted("shop", 1) == set()
    fourth, fifth = run(frontier, 20), run(frontier, 22)
    assert doubts(place, fourth) == [("things", 20, 60)]
    assert doubts(place, fifth) == []
    assert doubts(place, run(frontier, 10)) == [("things", 10, 22)]


def test_it_stays_in_doubt_while_the_numbers_go_up_and_down(place: Place, frontier: Frontier) -> None:
    run(frontier, 100)
    assert doubts(place, run(frontier, 20)) == [("things", 20, 100)]
    assert doubts(place, run(frontier, 40)) == [("things", 40, 100)]
    assert doubts(place, run(frontier, 44)) == []


def test_an_ad_hoc_run_is_neither_doubted_nor_believed(place: Place, frontier: Frontier) -> None:
    run(frontier, 100)
    second = str(run(frontier, 20))
    believed = frontier.cursors("shop", 1)
    for seen in (20, 100):
        number = run(frontier, seen, shrink=True, streams=("parts",), setup="other", ad_hoc="streams=parts")
        assert doubts(place, number) == []
        assert frontier.doubted("shop", 1) == {"things"}
        assert frontier.cursors("shop", 1) == believed
    assert believed["parts"] == second
    assert doubts(place, run(frontier, 40)) == [("things", 40, 100)]


def test_no_sync_point_is_noted_that_may_be_of_what_is_doubted(frontier: Frontier) -> None:
    first = str(run(frontier, 100))
    assert frontier.cursors("shop", 1) == dict.fromkeys(("things", "parts", "of none", "things:1"), first)
    second = str(run(frontier, 49))
    assert frontier.cursors("shop", 1) == dict.fromkeys(("things", "of none", "things:1"), first) | {"parts": second}


def test_a_stream_that_is_gone_from_the_answers_altogether_is_doubted(place: Place, frontier: Frontier) -> None:
    run(frontier, 100)
    task = NewTask("shop.page", "pages", 5, "{}")
    started = frontier.start_run("shop", 1, [task], full=True, now=NOW, sink=1, streams=["things"], whole=["things"])
    finish(frontier, started.run, Complete(), {})
    assert doubts(place, started.run) == [("things", 0, 100)]
    nothing = frontier.start_run("shop", 1, [], full=True, now=NOW, sink=1, streams=["things"], whole=["things"])
    assert nothing.ended == [nothing.run]
    assert doubts(place, nothing.run) == []  # for the second time


@pytest.mark.parametrize("outcome", [Bury("gone"), Bury("no", denied=True, stream="things")])
def test_a_run_that_does_not_end_clean_tells_nothing(place: Place, frontier: Frontier, outcome: Bury) -> None:
    run(frontier, 100)
    assert doubts(place, run(frontier, 10, outcome=outcome)) == []
    assert doubts(place, run(frontier, 49)) == [("things", 49, 100)]


def test_what_is_denied_of_another_stream_is_no_excuse(place: Place, frontier: Frontier) -> None:
    run(frontier, 100)
    assert doubts(place, run(frontier, 10, outcome=Bury("no", denied=True, stream="parts"))) == [("things", 10, 100)]


def test_a_run_that_is_not_full_is_not_doubted_itself_but_the_doubt_stands(place: Place, frontier: Frontier) -> None:
    run(frontier, 100)
    assert doubts(place, run(frontier, 3, whole=())) == []
    assert doubts(place, run(frontier, 3, whole=("parts",))) == []
    run(frontier, 49)
    assert doubts(place, run(frontier, 3, whole=())) == [("things", 49, 100)]
    assert doubts(place, run(frontier, 50)) == []
    assert doubts(place, run(frontier, 3, whole=())) == []


def test_a_doubt_about_what_nobody_reads_any_more_does_not_stand(place: Place, frontier: Frontier) -> None:
    run(frontier, 100)
    run(frontier, 10)
    assert doubts(place, run(frontier, 0, whole=(), streams=("parts",))) == []


def test_imports_and_sinks_are_kept_apart(place: Place, frontier: Frontier) -> None:
    run(frontier, 100)
    assert doubts(place, run(frontier, 10, name="other")) == []
    other = frontier.attach("sinks.two", SinkState("two", None, fresh=True), NOW).id
    assert doubts(place, run(frontier, 10, sink=other)) == []
    frontier.attach("sinks.one", SinkState("another", None, fresh=True), NOW)  # of the old one nothing is believed
    assert frontier.doubted("shop", 1) == set()
    assert set(place.query("SELECT sink FROM last_full")) == {(other,)}


def test_an_import_that_is_told_to_read_other_things_is_not_doubted(place: Place, frontier: Frontier) -> None:
    run(frontier, 100, setup="all")
    run(frontier, 100, name="other", setup="all")
    assert doubts(place, run(frontier, 10, setup="some")) == []
    assert doubts(place, run(frontier, 10, name="other", setup="all")) == [("things", 10, 100)]


def test_a_shrinking_that_is_allowed_is_accepted_with_what_was_doubted_before(place: Place, frontier: Frontier) -> None:
    run(frontier, 100)
    run(frontier, 10)
    assert doubts(place, run(frontier, 30, shrink=True)) == []
    assert frontier.doubted("shop", 1) == set()
    assert doubts(place, run(frontier, 14)) == [("things", 14, 30)]
    assert doubts(place, run(frontier, 1, whole=(), shrink=True)) == []
    assert doubts(place, run(frontier, 2)) == []  # 14 was too few to be doubted


def test_a_resumed_run_may_be_allowed_to_shrink(place: Place, frontier: Frontier) -> None:
    run(frontier, 100)
    task = NewTask("shop.page", "pages", 5, "{}")
    started = frontier.start_run("shop", 1, [task], full=True, now=NOW, sink=1, streams=["things"], whole=["things"])
    assert frontier.expected(started.run, 1, "things") == Expected(100)
    frontier.let_shrink([started.run])
    assert frontier.expected(started.run, 1, "things") == Expected(0)
    finish(frontier, started.run, Complete(), {"things": 1})
    assert doubts(place, started.run) == []


def test_a_run_whose_dead_letters_are_retried_is_judged_again(place: Place, frontier: Frontier) -> None:
    run(frontier, 100)
    second = run(frontier, 10, outcome=Bury("gone"))
    with closing(place.reader()) as reader:
        frontier.retry_dead([each.id for each in reader.dead_letters()])
    finish(frontier, second, Complete(), {"things": 20})
    assert doubts(place, second) == [("things", 20, 100)]


def test_a_report_names_the_account(place: Place, frontier: Frontier) -> None:
    run(frontier, 100)
    second = run(frontier, 49)
    with closing(place.reader()) as reader:
        assert reader.run(second).doubts == [Doubt("acme", "things", 49, 100)]
