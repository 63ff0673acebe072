"""The figures of runs: added up in the commits that change the tasks, kept over a restart, forgotten with the run."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest
from places import NOW
from support.ready_tasks import all_heads

from crawlerd.core.errors import FrontierError
from crawlerd.core.outcome import DONE, NO_REQUEST, Bury, Complete, Defer, Made, Retry
from crawlerd.core.task import NewGather, NewTask
from crawlerd.frontier.contract import Bounds, Settled
from crawlerd.frontier.figure_reports import AnswerFigures, RunFigures
from crawlerd.frontier.reports import Act

if TYPE_CHECKING:
    from places import Place

    from crawlerd.core.outcome import Outcome
    from crawlerd.frontier.contract import Frontier


def task(kind: str, number: int, chain: int = 0) -> NewTask:
    return NewTask(f"s.{kind}", kind, 5, f'{{"n":{number}}}', chain=chain)


def do(frontier: Frontier, outcome: Outcome, made: Made | None = None, *, most: int = 1, now: float = NOW) -> None:
    """Commits it for the next tasks, what is due among them."""
    frontier.commit([], now=now)
    heads = all_heads(frontier, 100)[:most]
    assert len(heads) == most
    frontier.commit([Settled(each, 1, outcome, made) for each in heads], now=now)


def figures(place: Place, run: int = 1) -> RunFigures:
    with closing(place.reader()) as reader:
        return reader.figures(run)


def kinds(found: RunFigures) -> dict[str, tuple[int, int, int]]:
    return {each.kind: (each.open, each.done, each.dead) for each in found.kinds}


@pytest.fixture
def run(frontier: Frontier) -> Frontier:
    frontier.start_run("shop", frontier.account("acme", "s"), [task("list", 0)], full=True, now=NOW)
    return frontier


def test_tasks_are_counted_by_kind_whatever_becomes_of_them(place: Place, run: Frontier) -> None:
    gather = NewGather([task("part", 1), task("part", 2)], task("then", 0), "fail")
    do(run, Complete(children=[task("item", n) for n in range(4)], gathers=[gather]))
    assert kinds(figures(place)) == {"s.item": (4, 0, 0), "s.part": (2, 0, 0), "s.list": (0, 1, 0), "s.then": (1, 0, 0)}
    for outcome in (DONE, Retry(0.0, "reset"), Defer("slow", delay=0.0), Bury("gone")):
        heads = [each for each in all_heads(run, 9) if each.kind == "s.item"]
        run.commit([Settled(heads[0], 1, outcome)], now=NOW)
    parts = [each for each in all_heads(run, 9) if each.kind == "s.part"]
    run.commit([Settled(parts[0], 1, Bury("gone")), Settled(parts[1], 1, DONE)], now=NOW)
    expected = {"s.item": (2, 1, 1), "s.part": (0, 1, 1), "s.list": (0, 1, 0), "s.then": (0, 0, 1)}
    assert kinds(figures(place)) == expected
    with closing(place.reader()) as reader:
        letters = [each.id for each in reader.dead_letters()]
    run.retry_dead(letters)
    expected = {"s.item": (3, 1, 0), "s.part": (1, 1, 0), "s.list": (0, 1, 0), "s.then": (1, 0, 0)}
    assert kinds(figures(place)) == expected


def test_every_attempt_is_counted_by_its_status_with_its_bytes(place: Place, run: Frontier) -> None:
    do(run, Retry(0.0, "oops"), Made(0.2, 500, 10))
    do(run, Defer("slow", delay=0.0), Made(0.1, 429, 20), now=NOW + 1)
    do(run, Retry(0.0, "reset"), Made(30.0), now=NOW + 2)
    do(run, Complete(children=[task("work", 1)]), Made(0.3, 200, 1000), now=NOW + 3)
    do(run, DONE, Made(7.0, NO_REQUEST), now=NOW + 4)
    found = figures(place)
    expected = [(0, 1, 0), (200, 1, 1000), (429, 1, 20), (500, 1, 10)]
    assert found.answers == [AnswerFigures(*each) for each in expected]
    assert (found.requests, found.received) == (4, 1030)
    listed = next(each for each in found.kinds if each.kind == "s.list")
    assert listed.p50 == pytest.approx(0.3, rel=0.11)  # not of the attempts that led to nothing
    assert [(each.kind, each.seconds) for each in found.slowest] == [("s.list", 30.0), ("s.work", 7.0)]
    assert found.slowest[0].about == '{"n":0}'


def test_the_twenty_slowest_tasks_are_kept_in_whichever_order_they_come(place: Place, run: Frontier) -> None:
    do(run, Complete(children=[task("item", n) for n in range(90)]))
    for number in range(90):
        do(run, DONE, Made(float(number * 37 % 90), 200, 1))
        if number == 50:
            place.shut()
            run = place.open()
    found = figures(place)
    assert [each.seconds for each in found.slowest] == [float(each) for each in range(89, 69, -1)]


def test_durations_are_shared_out_over_all_that_are_done(place: Place, run: Frontier) -> None:
    do(run, Complete(children=[task("item", n) for n in range(100)]))
    do(run, DONE, Made(2.0, 200, 1), most=10)
    do(run, DONE, None, most=90)  # at once, and not measured
    item = next(each for each in figures(place).kinds if each.kind == "s.item")
    assert item.p50 is not None
    assert item.p95 is not None
    assert item.p50 < 0.001
    assert item.p95 == pytest.approx(2.0, rel=0.11)


def test_a_chain_keeps_its_length_through_retries_dead_letters_and_restarts(place: Place, run: Frontier) -> None:
    do(run, Complete(children=[task("page", 0), task("item", 0)]))
    for length in range(1, 20):
        head = next(each for each in all_heads(run, 9) if each.kind == "s.page")
        if length == 5:
            run.commit([Settled(head, 1, Retry(1.0, "reset"))], now=NOW)
            run.commit([], now=NOW + 2)
            head = next(each for each in all_heads(run, 9) if each.kind == "s.page")
        if length == 9:
            run.commit([Settled(head, 1, Bury("gone"))], now=NOW)
            run.retry_dead([head.seq])
            head = next(each for each in all_heads(run, 9) if each.kind == "s.page")
        if length == 12:
            place.shut()
            run = place.open()
        assert head.chain == length - 1
        run.commit([Settled(head, 1, Complete(children=[task("page", length).following(head)]))], now=NOW)
    found = {each.kind: each.longest_chain for each in figures(place).kinds}
    assert found == {"s.page": 20, "s.item": 1, "s.list": 1}


def test_what_is_asked_for_and_how_fast_is_known_for_an_estimate(place: Place, run: Frontier) -> None:
    do(run, Complete(children=[task("item", n) for n in range(30)]))
    for second in range(30):
        do(run, DONE, now=NOW + second)
    with closing(place.reader()) as reader:
        flow = reader.flow(1)
    assert flow.asked == {("", 0, "s.list"): 1, ("s.list", 0, "s.item"): 30}
    (bucket,) = {bucket for kind, bucket in flow.served if kind == "s.item"}
    assert flow.served["s.item", bucket] == 30
    assert flow.rates[bucket] == pytest.approx(1.0, rel=0.05)


def test_the_run_before_is_one_of_the_same_kind_that_has_completed(place: Place, frontier: Frontier) -> None:
    account = frontier.account("acme", "s")
    for full in (True, False, True):
        frontier.start_run("shop", account, [task("list", 0)], full=full, now=NOW)
        do(frontier, DONE)
    frontier.start_run("shop", account, [task("list", 0)], full=True, now=NOW, ad_hoc="since")
    do(frontier, DONE)
    frontier.start_run("other", account, [task("list", 0)], full=True, now=NOW)
    do(frontier, DONE)
    frontier.start_run("shop", account, [task("list", 0)], full=True, now=NOW)
    with closing(place.reader()) as reader:
        assert [reader.full_before(run) for run in (1, 2, 3, 6)] == [None, None, 1, 3]


def test_figures_are_forgotten_with_their_run(place: Place, frontier: Frontier) -> None:
    account = frontier.account("acme", "s")
    for _ in range(3):
        frontier.start_run("shop", account, [task("list", 0)], full=True, now=NOW)
        do(frontier, DONE, Made(1.0, 200, 5), now=NOW + 1)
    dealt = iter(lambda: frontier.prune_runs("shop", 1, NOW, 100), 0)  # it ends early where that takes long
    assert sum(dealt) == 2
    assert figures(place, 1) == figures(place, 2) == RunFigures()
    assert figures(place, 3).requests == 1


COLLECTING = Bounds(pace_seconds=1.0)


def served(place: Place, run: int = 1) -> int:
    """Finished tasks by bucket, in all."""
    with closing(place.reader()) as reader:
        return sum(reader.flow(run).served.values())


def test_figures_by_bucket_are_written_once_a_second(place: Place) -> None:
    frontier = place.open(bounds=COLLECTING)
    frontier.start_run("shop", frontier.account("acme", "s"), [task("item", n) for n in range(6)], full=True, now=NOW)
    for second, written in ((0.0, 1), (0.3, 1), (0.9, 1), (1.0, 3), (1.5, 3)):
        do(frontier, DONE, now=NOW + second)
        assert served(place) == written, second
    assert kinds(figures(place)) == {"s.item": (1, 5, 0)}
    do(frontier, DONE, now=NOW + 1.6)  # the run ends
    assert served(place) == 6


@pytest.mark.parametrize("end", ["close", "idle"])
def test_collected_figures_are_written_when_there_is_time(place: Place, end: str) -> None:
    frontier = place.open(bounds=COLLECTING)
    frontier.start_run("shop", frontier.account("acme", "s"), [task("item", n) for n in range(4)], full=True, now=NOW)
    for second in (0.0, 0.1, 0.2):
        do(frontier, DONE, now=NOW + second)
    assert served(place) == 1
    place.shut() if end == "close" else frontier.idle()
    assert served(place) == 3


def test_what_a_failed_commit_has_collected_is_counted_once(place: Place) -> None:
    frontier = place.open(bounds=COLLECTING)
    frontier.start_run("shop", frontier.account("acme", "s"), [task("item", n) for n in range(4)], full=True, now=NOW)
    do(frontier, DONE)
    first, second, third = all_heads(frontier, 9)
    stranger = msgspec.structs.replace(first, seq=10_000)
    with pytest.raises(FrontierError):
        frontier.commit([Settled(first, 1, DONE), Settled(stranger, 1, DONE)], now=NOW)
    frontier.commit([Settled(each, 1, DONE) for each in (first, second)], now=NOW)
    assert served(place) == 3
    frontier.commit([Settled(third, 1, DONE)], now=NOW)
    assert served(place) == 4


def test_nothing_is_written_of_a_run_that_was_abandoned(place: Place) -> None:
    frontier = place.open(bounds=COLLECTING)
    frontier.start_run("shop", frontier.account("acme", "s"), [task("item", n) for n in range(4)], full=True, now=NOW)
    do(frontier, DONE)
    do(frontier, DONE)
    frontier.cancel_run(1, Act(NOW, "ann", "cancel", "run 1", "", 1))
    frontier.commit([], now=NOW + 5)
    assert served(place) == 1
