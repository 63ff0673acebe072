"""What is told to people unasked: imports that fail several times, refused accounts, runs that have ended."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import IMPLEMENTATIONS, NOW
from support.ready_tasks import bucket_heads

from crawlerd.core.outcome import Bury, Complete, Outcome
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.reports import Act

if TYPE_CHECKING:
    from collections.abc import Iterator

    from places import Place

    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.reader_contract import FrontierReader

GOOD, BAD, PARTLY, CANCELLED = "good", "bad", "partly", "cancelled"


@pytest.fixture
def reader(place: Place, frontier: Frontier) -> Iterator[FrontierReader]:
    with closing(place.reader()) as reader:
        yield reader


def begin(frontier: Frontier, name: str, tasks: int = 1) -> int:
    new = [NewTask("page", name, 5, f'{{"n":{number}}}') for number in range(tasks)]
    return frontier.start_run(name, frontier.account(f"account-{name}", "src"), new, full=True, now=NOW).run


def end(frontier: Frontier, name: str, how: str) -> int:
    outcomes: dict[str, list[Outcome]] = {
        GOOD: [Complete()],
        BAD: [Bury("HTTP 404")],
        PARTLY: [Complete(), Bury("HTTP 404")],
        CANCELLED: [Complete()],
    }
    run = begin(frontier, name, len(outcomes[how]))
    if how == CANCELLED:
        frontier.cancel_run(run, Act(NOW, "ann", "cancel", f"run {run}", "", 1))
        frontier.commit([], now=NOW)
        return run
    heads = [head for bucket in range(1, 9) for head in bucket_heads(frontier, bucket, (-1, -1), 99) if head.run == run]
    frontier.commit([Settled(head, 1, each) for head, each in zip(heads, outcomes[how], strict=True)], now=NOW)
    return run


@settings(max_examples=40)  # each on all databases
@given(history=st.lists(st.sampled_from([GOOD, BAD, PARTLY, CANCELLED]), max_size=6), least=st.integers(1, 4))
def test_only_runs_since_the_last_clean_one_count(
    tmp_path_factory: pytest.TempPathFactory, history: list[str], least: int
) -> None:
    for made in IMPLEMENTATIONS.values():
        place = made(tmp_path_factory.mktemp("state"))
        try:
            frontier = place.open()
            runs = [end(frontier, "shop", how) for how in history]
            begin(frontier, "shop")  # one that is under way says nothing yet
            counted = [(run, how) for run, how in zip(runs, history, strict=True) if how != CANCELLED]
            bad: list[int] = []
            for run, how in reversed(counted):
                if how == GOOD:
                    break
                bad.append(run)
            with closing(place.reader()) as reader:
                found = reader.failing(["shop", "other"], least)
            assert found == ({"shop": (len(bad), bad[0])} if len(bad) >= least else {})
        finally:
            place.remove()


def test_accounts_that_are_refused(frontier: Frontier, reader: FrontierReader) -> None:
    numbers = [frontier.account(name, "src") for name in ("zenith", "acme", "good")]
    for number in numbers[:2]:
        frontier.refuse(number, f"HTTP 401 {number}", NOW)
    assert reader.refused_accounts(9) == [("zenith", f"HTTP 401 {numbers[0]}"), ("acme", f"HTTP 401 {numbers[1]}")]
    assert len(reader.refused_accounts(1)) == 1
    frontier.accept(numbers[0], NOW)
    assert [name for name, _ in reader.refused_accounts(9)] == ["acme"]


def test_when_an_import_began(frontier: Frontier, reader: FrontierReader) -> None:
    end(frontier, "a", BAD)
    frontier.start_run("a", frontier.account("account-a", "src"), [], full=True, now=NOW + 9)
    assert reader.first_started(["a", "b"]) == {"a": NOW}


def test_what_has_become_of_runs(frontier: Frontier, reader: FrontierReader) -> None:
    assert reader.newest_run() == 0
    first, second = end(frontier, "a", GOOD), end(frontier, "a", BAD)
    third = begin(frontier, "b")
    assert reader.newest_run() == third
    assert reader.run_states([], third, third) == {third: "running"}
    assert reader.run_states([first, 999], third, third) == {first: "completed", third: "running"}
    assert reader.run_states([], first, second) == {second: "failed", third: "running"}
