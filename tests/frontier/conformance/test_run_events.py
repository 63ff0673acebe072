"""What happens to runs is noted with them, in the transaction that does it, and is bounded."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from places import NOW
from support.ready_tasks import all_heads

from crawlerd.core.outcome import Bury
from crawlerd.core.pauses import PauseNote
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import OutageNote, Settled
from crawlerd.frontier.reports import Act

if TYPE_CHECKING:
    from places import Place

    from crawlerd.core.pauses import Pausable
    from crawlerd.frontier.contract import Frontier

ORIGIN = "https://api.example"


def events(place: Place, run: int) -> list[str]:
    with closing(place.reader()) as reader:
        return [each.text for each in reader.figures(run).events]


@pytest.fixture
def two(frontier: Frontier) -> Frontier:
    """Runs of two imports, 1 for acme and 2 for globex."""
    for account in ("acme", "globex"):
        frontier.start_run(
            f"shop-{account}", frontier.account(account, "s"), [NewTask("s.list", "list", 5, "{}")], full=True, now=NOW
        )
    return frontier


@pytest.mark.parametrize(
    ("kind", "name", "runs"),
    [("import", "shop-acme", {1}), ("account", "globex", {2}), ("bucket", "acme/list", {1}), ("source", "s", {1, 2})],
)
def test_who_paused_it_and_why_is_noted_with_the_runs_that_it_holds_up(
    place: Place, two: Frontier, kind: Pausable, name: str, runs: set[int]
) -> None:
    two.pause(PauseNote(kind=kind, name=name, reason="they move house", by="ada", since=NOW, until=None))
    two.lift(kind, name, "bob", NOW + 9)
    for run in (1, 2):
        expected = [f"{kind} {name} is paused by ada: they move house", f"{kind} {name} is resumed by bob"]
        assert events(place, run) == (expected if run in runs else [])


def test_an_outage_is_noted_when_it_begins_and_ends_and_not_with_each_probe(place: Place, two: Frontier) -> None:
    for after in range(3):
        note = OutageNote(ORIGIN, 1, NOW, NOW + after, 1.0, f"no answer from {ORIGIN}")
        two.commit([], now=NOW + after, outages={(ORIGIN, 1): note, (ORIGIN, 0): note._replace(account=0)})
    two.commit([], now=NOW + 9, outages={(ORIGIN, 1): None, (ORIGIN, 0): None})
    two.commit([], now=NOW + 10, outages={(ORIGIN, 1): None})
    assert events(place, 1) == [f"an outage has begun: no answer from {ORIGIN}", f"the outage of {ORIGIN} is over"]
    assert events(place, 2) == []


def test_refused_credentials_are_noted_until_they_work_again(place: Place, two: Frontier) -> None:
    two.accept(1, NOW)  # as after every check
    two.refuse(1, "HTTP 401", NOW)
    two.refuse(1, "HTTP 403", NOW)
    two.accept(1, NOW)
    assert events(place, 1) == ["credentials are refused: HTTP 401", "the credentials work again"]


def test_only_what_the_end_of_a_process_has_interrupted_goes_on_after_it(place: Place, two: Frontier) -> None:
    two.resumed([1, 2], NOW)
    two.commit([], now=NOW)
    assert events(place, 1) == []
    place.shut()
    frontier = place.open()
    for _ in range(2):
        frontier.resumed([1], NOW)
        frontier.commit([], now=NOW)
    assert events(place, 1) == ["goes on, after crawlerd was started again"]
    assert events(place, 2) == []


def test_who_retried_its_dead_letters_is_noted(place: Place, two: Frontier) -> None:
    (head,) = all_heads(two, 9, account=1)
    two.commit([Settled(head, 1, Bury("gone"))], now=NOW)
    two.retry_dead([head.seq], Act(NOW, "ada", "retry", "dead letters", "1", 1))
    assert events(place, 1) == ["dead letters are retried by ada"]


def test_the_newest_hundred_are_kept(place: Place, two: Frontier) -> None:
    for number in range(250):
        two.happened(1, f"{number} " + "x" * 1000, NOW)
        if number % 60 == 0:
            two.commit([], now=NOW)
    two.commit([], now=NOW)
    found = events(place, 1)
    assert [int(text.split()[0]) for text in found] == list(range(150, 250))
    assert max(map(len, found)) <= 300
