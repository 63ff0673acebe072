"""What metrics read of a frontier, and which new tasks a commit tells of, on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from places import NOW
from support.ready_tasks import all_heads

from crawlerd.core.outcome import Bury, Complete, Retry
from crawlerd.core.task import NewGather, NewTask
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.metric_contract import ImportFigures
from crawlerd.sink import Totals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from places import Place

    from crawlerd.core.outcome import Outcome
    from crawlerd.frontier.contract import Committed, Frontier, StartedRun
    from crawlerd.frontier.reader_contract import FrontierReader


@pytest.fixture
def reader(place: Place, frontier: Frontier) -> Iterator[FrontierReader]:
    found = place.reader()
    yield found
    found.close()


def task(number: int, *, account: str = "", unique: bool = False) -> NewTask:
    return NewTask("shop.page", "pages", 5, f'{{"n":{number}}}', unique=unique, account=account)


def begin(frontier: Frontier, name: str = "shop", tasks: int = 1, **options: object) -> StartedRun:
    account = frontier.account("acme", "shop")
    new = [task(number) for number in range(tasks)]
    return frontier.start_run(name, account, new, **{"full": True, "now": NOW, **options})  # type: ignore[arg-type]


def settle(frontier: Frontier, run: int, outcome: Outcome, *, at: float = NOW, seen: int | None = None) -> Committed:
    """Of the run's first task."""
    first = next(each for each in all_heads(frontier, 100) if each.run == run)
    totals = {} if seen is None else {(run, "things"): Totals(seen, seen)}
    return frontier.commit([Settled(first, frontier.account("acme", "shop"), outcome)], now=at, totals=totals)


def test_new_tasks_are_told_once(frontier: Frontier) -> None:
    started = begin(frontier, tasks=2)
    assert started.enqueued == 2
    run = started.run
    twins = [task(7, unique=True), task(7, unique=True), task(8)]
    assert settle(frontier, run, Complete(children=twins)).enqueued == {run: 2}
    retried = settle(frontier, run, Retry(5.0, "reset"))
    assert dict(retried.enqueued) == {}
    again = frontier.commit([], now=NOW + 6)
    assert again.arrived
    assert dict(again.enqueued) == {}


def test_what_follows_a_group_is_new_when_it_becomes_ready(frontier: Frontier) -> None:
    run = begin(frontier).run
    group = NewGather([task(1)], task(2), "run")
    assert settle(frontier, run, Complete(gathers=[group])).enqueued == {run: 1}
    assert settle(frontier, run, Complete()).enqueued == {run: 1}
    assert settle(frontier, run, Complete()).ended == [run]


def test_the_totals_of_a_run_are_those_of_the_last_commit(place: Place, frontier: Frontier) -> None:
    run = begin(frontier, tasks=2).run
    assert frontier.tallied(run) == {}
    settle(frontier, run, Complete(), seen=3)
    assert frontier.tallied(run) == {"things": Totals(3, 3)}
    place.shut()
    assert place.open().tallied(run) == {"things": Totals(3, 3)}


def test_the_figures_of_an_import_without_a_run(reader: FrontierReader) -> None:
    assert reader.import_figures(["shop"]) == {"shop": ImportFigures(None, None, None, 0, None, None, None)}
    assert reader.import_figures([]) == {}


def test_the_figures_of_an_import_follow_its_runs(frontier: Frontier, reader: FrontierReader) -> None:
    def figures() -> ImportFigures:
        return reader.import_figures(["other", "shop"])["shop"]

    run = begin(frontier, tasks=2).run
    assert figures() == ImportFigures(None, None, None, 0, 2, 0, None)
    settle(frontier, run, Complete(), seen=3)
    assert figures().open == 1
    settle(frontier, run, Complete(), at=NOW + 10, seen=5)
    good = ImportFigures(NOW + 10, 10, "completed", 0, None, 0, 5)
    assert figures() == good
    for failures in (1, 2):
        run = begin(frontier, full=False).run
        settle(frontier, run, Bury("gone"), at=NOW + 3)
        assert figures() == good._replace(last_seconds=3, last_state="failed", failures=failures, dead=1)
    run = begin(frontier, tasks=2).run
    settle(frontier, run, Bury("gone"))
    settle(frontier, run, Complete(), at=NOW + 7, seen=4)
    # Not clean, and no failure either: what it saw counts.
    assert figures() == good._replace(last_seconds=7, last_state="completed with dead letters", seen=4, dead=1)


@pytest.mark.parametrize("options", [{"ad_hoc": "since"}, {"part": "things"}])
def test_a_run_of_a_part_or_for_once_says_nothing_of_the_import(
    frontier: Frontier, reader: FrontierReader, options: dict[str, str]
) -> None:
    run = begin(frontier, **options).run
    settle(frontier, run, Complete(), at=NOW + 10, seen=5)
    found = reader.import_figures(["shop"])["shop"]
    assert (found.succeeded_at, found.seen, found.failures) == (None, None, 0)


def test_the_accounts_with_most_ready_tasks_come_first(frontier: Frontier, reader: FrontierReader) -> None:
    for number in range(5):
        account = frontier.account(f"a{number}", "shop")
        frontier.start_run(f"i{number}", account, [task(each) for each in range(number)], full=True, now=NOW)
    parts = [task(each, account="/p") for each in range(3)]
    frontier.start_run("parts", frontier.account("a1", "shop"), parts, full=True, now=NOW)
    assert reader.most_ready(3) == [("a1", 4), ("a4", 4), ("a3", 3)]


def test_what_is_charged_to_a_quota_is_read_by_window(frontier: Frontier, reader: FrontierReader) -> None:
    day, hour = "LIMITER/1/100/1/day", "LIMITER/1/2/10/1/hour"

    def charge() -> None:
        for at, count in ((NOW - 7200, 5), (NOW - 60, 3), (NOW, 2)):
            frontier.quota_rows.charge(day, at, count)
            frontier.quota_rows.charge(hour, at, count)

    frontier.commit([], now=NOW, charge=charge)
    assert reader.quota_keys() == [day, hour]
    assert reader.charged({day: NOW - 86_400, hour: NOW - 3600}) == {day: 10, hour: 5}
    assert reader.charged({day: NOW + 1}) == {day: 0}


def test_the_charges_of_an_account_are_read_with_their_times(frontier: Frontier, reader: FrontierReader) -> None:
    numbers = [frontier.account(f"a{number}", "shop") for number in range(12)]
    assert {1, 10, 11} <= {*numbers}
    keys = {number: f"LIMITER/{number}/100/1/day" for number in numbers}

    def charge() -> None:
        for number, key in keys.items():
            frontier.quota_rows.charge(key, NOW - 60, number)
            frontier.quota_rows.charge(key, NOW, 1)

    frontier.commit([], now=NOW, charge=charge)
    name = f"a{numbers.index(1)}"
    assert reader.charges_of(name, NOW - 61) == {keys[1]: [(NOW - 60, 1), (NOW, 1)]}
    assert reader.charges_of(name, NOW - 60) == {keys[1]: [(NOW, 1)]}
    assert reader.charges_of("nobody", 0) == {}


def test_runs_under_way_and_buckets_are_found(frontier: Frontier, reader: FrontierReader) -> None:
    first, second, third = (begin(frontier, name).run for name in ("a", "b", "c"))
    settle(frontier, second, Complete())
    assert reader.running_runs(5) == [first, third]
    assert reader.running_runs(1) == [first]
    number = frontier.bucket_number(frontier.account("acme", "shop"), "pages")
    assert reader.bucket_names([number, 99]) == {number: "pages"}
