"""What an import in the foreground shows while it runs: of many runs those worth a look, and all of them in one row."""

from __future__ import annotations

from io import StringIO
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from crawlerd.cli.live import MARGIN, table, worth_a_look
from crawlerd.frontier.reports import RunReport

STATES = ["running", "completed", "completed with dead letters", "failed", "cancelled", "paused", "held up"]


def run(number: int, state: str = "running", **facts: Any) -> RunReport:
    known: dict[str, Any] = dict.fromkeys(
        ("ready", "delayed", "waiting", "done", "dead", "retried", "throttled", "records"), 0
    )
    shown = state if state in STATES[1:5] else "running"
    known |= {"full": True, "started_at": 0.0, "ended_at": None if shown == "running" else 9.0, "complete": False}
    return RunReport(**{**known, **facts}, id=number, import_name=f"shop-{number}", account="acme", state=shown)


def drawn(
    runs: list[RunReport], states: dict[int, str], rates: dict[int, float], height: int, width: int = 80
) -> list[str]:
    text = StringIO()
    Console(file=text, width=width, height=height).print(table(runs, states, rates, lambda _: 25.0, width, height))
    return text.getvalue().splitlines()


def test_a_few_runs_stand_in_their_order_with_a_row_of_all() -> None:
    runs = [run(1, "completed", done=5, records=50), run(2, "failed"), run(3, done=2, ready=8, records=20, dead=1)]
    lines = drawn(runs, {1: "completed", 2: "failed", 3: "running"}, {1: 0.0, 2: 0.0, 3: 2.0}, 24)
    assert [line.split()[0] for line in lines] == ["import", "shop-1", "shop-2", "shop-3", "all"]
    assert lines[-1].split() == ["all", "3", "1", "running", "7", "8", "70", "2.0", "0", "1", "0:04"]


def test_one_run_has_no_row_of_all() -> None:
    assert len(drawn([run(1)], {1: "running"}, {1: 1.0}, 24)) == 2


@given(st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 3), st.floats(0, 50)), min_size=1, max_size=60))
def test_however_many_there_are_they_fit_and_none_is_left_out_of_the_counts(
    facts: list[tuple[str, int, float]],
) -> None:
    runs = [run(number, state, dead=dead, done=1) for number, (state, dead, _) in enumerate(facts)]
    states = {number: state for number, (state, _, _) in enumerate(facts)}
    rates = {number: rate for number, (_, _, rate) in enumerate(facts)}
    lines = drawn(runs, states, rates, 24)
    assert len(lines) < 24
    names = [line.split()[0] for line in lines if line.startswith("shop-")]
    if len(runs) > 1:
        (total,) = [line for line in lines if line.startswith("all ")]
        assert f"all {len(runs):,} " in total
    if len(runs) > 24 - MARGIN:
        assert names == [each.import_name for each in worth_a_look(runs, states, rates)[: 24 - MARGIN]]
        assert lines[-1].startswith(f"and {len(runs) - len(names):,} more: ")


def test_what_somebody_must_look_at_comes_first() -> None:
    states = dict(enumerate(["completed", "running", "running", "paused", "completed with dead letters", "running"]))
    runs = [run(number, state, dead=number == 5) for number, state in states.items()]
    rates = {0: 0.0, 1: 3.0, 2: 9.0, 3: 0.0, 4: 0.0, 5: 1.0}
    found = [each.id for each in worth_a_look(runs, states, rates)]
    assert found == [3, 5, 4, 2, 1, 0]


def test_names_give_way_to_numbers() -> None:
    facts = {"done": 234_567, "ready": 901_234, "records": 5_678_901, "throttled": 12_345}
    long = msgspec.structs.replace(run(1, **facts), import_name="a-name-that-is-quite-long-for-a-screen")
    head, line = drawn([long], {1: "running"}, {1: 1234.5}, 24, width=80)
    assert head.split() == [
        "import",
        "state",
        "done",
        "open",
        "records",
        "per",
        "s",
        "limit",
        "throttled",
        "dead",
        "ETA",
    ]
    assert line.split()[2:] == ["234,567", "901,234", "5,678,901", "1234.5", "25", "12,345", "0", "12:10"]
    assert max(len(head), len(line)) <= 80
