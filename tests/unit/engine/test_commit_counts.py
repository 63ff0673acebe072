"""What the store counts for metrics: each key of a run once, seconds by attempt, runs as they ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.metric_labels import RecordChange, RunResult
from crawlerd.engine.commit_counts import CommitCounts, RunEnds
from crawlerd.engine.sink_target import Target
from crawlerd.sink import Totals

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.frontier.contract import Frontier

SHOP = Target(None, "shop", "acme")


def nothing(run: int) -> dict[str, Totals]:
    return {}


def changes(counts: CommitCounts, source: str = "shop") -> tuple[int, ...]:
    return tuple(counts.records[source, change] for change in RecordChange)


def test_totals_of_a_run_are_counted_as_they_grow() -> None:
    counts = CommitCounts()
    for totals in (Totals(2, 2), Totals(5, 3, 1, 1), Totals(5, 3, 1, 1, 4)):
        counts.changed({(1, "orders"): totals}, {1: SHOP}, nothing)
    counts.changed({(1, "lines"): Totals(7, 7), (2, "orders"): Totals(1, 0, 0, 1)}, {1: SHOP, 2: SHOP}, nothing)
    assert changes(counts) == (10, 1, 2, 4)


def test_a_run_of_an_earlier_process_counts_from_where_that_was() -> None:
    asked: list[int] = []

    def before(run: int) -> dict[str, Totals]:
        asked.append(run)
        return {"orders": Totals(10, 10)}

    counts = CommitCounts()
    counts.changed({(1, "orders"): Totals(12, 12)}, {1: SHOP}, before)
    counts.changed({(1, "orders"): Totals(13, 13), (1, "lines"): Totals(2, 2)}, {1: SHOP}, before)
    assert changes(counts) == (5, 0, 0, 0)
    assert asked == [1]
    counts.ended(1, "shop", RunResult.COMPLETED)
    counts.changed({(1, "orders"): Totals(11, 11)}, {1: SHOP}, before)  # a dead letter of it was retried
    assert changes(counts) == (6, 0, 0, 0)


def test_a_key_that_is_written_again_takes_nothing_back() -> None:
    counts = CommitCounts()
    counts.changed({(1, "orders"): Totals(5, 5)}, {1: SHOP}, nothing)
    counts.changed({(1, "orders"): Totals(4, 4, 0, 0, 1)}, {1: SHOP}, nothing)
    assert changes(counts) == (5, 0, 0, 1)


def test_what_a_run_without_a_target_has_written_is_not_counted() -> None:
    counts = CommitCounts()
    counts.changed({(1, "orders"): Totals(5, 5)}, {}, nothing)
    assert changes(counts) == (0, 0, 0, 0)


@given(
    st.lists(
        st.tuples(st.integers(1, 2000), st.floats(0, 10), st.floats(0, 10)),
    )
)
def test_seconds_of_sinks_and_of_the_store_are_all_there_were(groups: list[tuple[int, float, float]]) -> None:
    counts, whole = CommitCounts(), 0.0
    for attempts, each, sink_seconds in groups:
        before = counts.written
        counts.waited(attempts, attempts * each, sink_seconds)
        whole += attempts * each
        assert counts.written - before <= attempts * sink_seconds + 1e-6
    assert counts.stored >= 0
    assert counts.stored + counts.written == pytest.approx(whole)


def test_outcomes_that_wait_for_a_sink_add_up_over_time() -> None:
    counts = CommitCounts()
    for held, now in ((0, 100.0), (3, 101.0), (5, 103.0), (0, 104.0), (0, 200.0)):
        counts.hold(held, now)
    assert counts.written == 3 * 2 + 5 * 1


@pytest.mark.parametrize(
    ("state", "result"),
    [
        ("completed", "completed"),
        ("completed with dead letters", "completed_with_dead_letters"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
    ],
)
def test_runs_count_by_how_they_ended(state: str, result: str) -> None:
    counts = CommitCounts()
    ends(counts, lambda number: SimpleNamespace(state=state, account=7))([1, 2])
    assert dict(counts.runs) == {("of 7", result): 2}


def test_runs_that_go_on_elsewhere_or_were_forgotten_do_not_count() -> None:
    def run(number: int) -> Any:
        if number == 1:
            raise KeyError(number)
        return SimpleNamespace(state="running", account=7)

    counts = CommitCounts()
    ends(counts, run)([1, 2])
    assert not counts.runs


def ends(counts: CommitCounts, run: Callable[[int], Any]) -> RunEnds:
    frontier: Frontier = SimpleNamespace(run=run)  # type: ignore[assignment]  # all of it that is asked
    return RunEnds(frontier, lambda account: f"of {account}", counts)
