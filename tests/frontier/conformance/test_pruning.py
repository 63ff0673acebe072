"""Old runs are forgotten in slices; what must be known of an import's runs stays."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from places import NOW
from support.ready_tasks import all_heads

from crawlerd.core.outcome import DONE, Bury, Complete
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import Settled

if TYPE_CHECKING:
    from places import Place

    from crawlerd.core.outcome import Outcome
    from crawlerd.frontier.contract import Frontier


def run(
    frontier: Frontier, *, full: bool = False, outcome: Outcome = DONE, now: float = NOW, payload: str = "{}"
) -> int:
    """One that has ended."""
    task = NewTask("s.list", "list", 5, payload)
    number = frontier.start_run("shop", frontier.account("acme", "s"), [task], full=full, now=now).run
    frontier.commit([Settled(each, 1, outcome) for each in all_heads(frontier, 9)], now=now)
    frontier.commit([], now=now)
    return number


def left(place: Place) -> list[int]:
    with closing(place.reader()) as reader:
        found = reader.run_page(import_name=None, state=None, since=0, after=None, most=500)
    return sorted(each.id for each in found)


def prune(frontier: Frontier, count: int, before: float, most: int = 200) -> int:
    """How many slices it took."""
    slices = 0
    while frontier.prune_runs("shop", count, before, most):
        slices += 1
    return slices


def test_the_newest_and_the_last_full_one_and_those_with_dead_letters_stay(place: Place, frontier: Frontier) -> None:
    for number in range(1, 31):
        if number == 12:  # a task that no later run completes
            run(frontier, outcome=Bury("gone"), payload='{"page":2}')
        else:
            run(frontier, full=number in (1, 9))
    assert prune(frontier, 5, 0.0, most=4) >= 5
    assert left(place) == [9, 12, *range(26, 31)]
    assert prune(frontier, 5, 0.0) == 0


def test_what_ended_long_ago_goes_however_many_are_kept_by_number(place: Place, frontier: Frontier) -> None:
    for number in range(1, 21):
        run(frontier, now=NOW + number)
    prune(frontier, 1_000, NOW + 15)
    assert left(place) == [*range(15, 21)]


def test_the_newest_stays_however_old_it_is(place: Place, frontier: Frontier) -> None:
    for _ in range(3):
        run(frontier)
    prune(frontier, 1_000, NOW + 1e9)
    assert left(place) == [3]


def test_a_run_that_has_served_many_accounts_leaves_in_slices(place: Place, frontier: Frontier) -> None:
    names = [f"client{number}" for number in range(1_700)]
    frontier.account_numbers(dict.fromkeys(names, "s"))
    children = [NewTask("s.item", "item", 5, "{}", account=name) for name in names]
    first = run(frontier, outcome=Complete(children=children))
    while heads := all_heads(frontier, 10):
        frontier.commit([Settled(each, 1, DONE) for each in heads], now=NOW)
    run(frontier)
    while frontier.chores:
        frontier.commit([], now=NOW)
    assert prune(frontier, 1, 0.0) > 3
    assert left(place) == [first + 1]
    for table in ("borrowed", "run_served", "run_pace", "run_stage"):
        assert place.query(f"SELECT count(*) FROM {table} WHERE run = {first}") == [(0,)]
