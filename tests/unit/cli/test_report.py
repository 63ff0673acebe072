"""The report of `crawlerd import`: the exit code that follows from it, and what is printed."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from crawlerd.cli.exits import ExitCode
from crawlerd.cli.report import EXIT_CODES
from crawlerd.cli.report_text import print_report, report_lines
from crawlerd.operations.import_report import conclusion


@pytest.mark.parametrize(
    ("states", "facts", "state", "code"),
    [
        ({"completed"}, {}, "completed", 0),
        (set(), {}, "completed", 0),
        ({"completed"}, {"complete": False}, "not complete", 3),
        ({"completed", "completed with dead letters"}, {"complete": False}, "completed with dead letters", 3),
        ({"completed", "running"}, {"complete": False}, "interrupted", 130),
        ({"completed"}, {"cut_off": True}, "interrupted", 130),
        ({"completed", "cancelled"}, {"complete": False}, "cancelled", 3),
        ({"completed", "paused", "running"}, {"complete": False}, "failed", 1),
        ({"completed", "held up"}, {"complete": False}, "failed", 1),
        ({"failed", "running"}, {"complete": False}, "failed", 1),
        ({"completed"}, {"started": False, "cut_off": True}, "failed", 1),
    ],
)
def test_the_exit_code_follows_from_the_runs(states: set[str], facts: dict[str, bool], state: str, code: int) -> None:
    found = conclusion(states, **{"started": True, "cut_off": False, "complete": True, **facts})
    assert (found, EXIT_CODES[found]) == (state, ExitCode(code))


def test_reasons_are_printed_as_they_are() -> None:
    stream: dict[str, Any] = dict.fromkeys(
        ("records", "seen", "new", "changed", "unchanged", "tombstoned", "dead", "denied", "note"), 0
    )
    reason = "expected [/a-z], got [bold]x[/bold] :smile:"
    run: dict[str, Any] = dict.fromkeys(
        ("done", "retried", "throttled", "dead", "records", "full", "complete", "paused", "held_up"), 0
    )
    run |= {"id": 7, "state": "completed", "started_at": 5.0, "ended_at": 67.0, "full_reason": None, "doubts": []}
    run["streams"] = {"things": {**stream, "skipped": 2, "reason": reason}}
    text = StringIO()
    print_report({"state": "completed", "imports": {"a": [run]}, "not_started": {}}, Console(file=text, width=20))
    first, second = text.getvalue().splitlines()
    assert first.startswith("a: run 7 completed after 1:02: 0 records")
    assert second.endswith(f"(2 skipped: {reason})")


def a_run(number: int, state: str = "completed", *, complete: bool = True, dead: int = 0) -> dict[str, Any]:
    facts = dict.fromkeys(("done", "retried", "throttled", "full", "paused", "held_up"), 0)
    stream = dict.fromkeys(("seen", "new", "changed", "unchanged", "tombstoned", "skipped", "denied", "note"), 0)
    times = {"started_at": 5.0, "ended_at": 67.0, "full_reason": None, "doubts": []}
    streams = {"things": {**stream, "records": 10, "seen": 10, "dead": dead, "reason": "HTTP 500"}}
    return {
        **facts, **times, "id": number, "state": state, "complete": complete, "dead": dead, "records": 10,
        "streams": streams,
    }  # fmt: skip


def report(runs: list[dict[str, Any]], state: str = "completed", **not_started: str) -> dict[str, Any]:
    return {"state": state, "imports": {f"i{run['id']}": [run] for run in runs}, "not_started": not_started}


def test_a_few_imports_are_reported_one_by_one_and_then_all() -> None:
    lines = list(report_lines(report([a_run(1), a_run(2)])))
    assert [line.split(":")[0] for line in lines] == ["i1", "  things", "i2", "  things", "2 imports after 1"]
    assert lines[-1] == ("2 imports after 1:02: 2 completed; 20 records, 0 tasks, 0 retried, 0 throttled, 0 dead")


def test_of_many_imports_those_are_reported_that_are_not_complete() -> None:
    runs = [a_run(number) for number in range(497)]
    runs += [a_run(497, "completed with dead letters", complete=False, dead=2), a_run(498, complete=False)]
    lines = list(report_lines(report(runs, "failed", late="the disk is full")))
    assert [line.split(":")[0] for line in lines[:-2]] == ["i497", "  things", "i498", "late"]
    assert lines[-2] == (
        "500 imports after 1:02: 497 completed, 1 completed with dead letters, 1 not complete, 1 not started; "
        "4,990 records, 0 tasks, 0 retried, 0 throttled, 2 dead"
    )
    assert "dead retry" in lines[-1]


def test_many_that_fail_do_not_fill_the_screen() -> None:
    runs = [a_run(number, "failed", complete=False) for number in range(500)]
    lines = list(report_lines(report(runs, "failed")))
    assert len(lines) < 65
    assert lines[-2].startswith("and 440 more lines: ")


def test_quiet_is_quiet() -> None:
    assert list(report_lines(report([a_run(1), a_run(2)]), quiet=True)) == []
    lines = list(report_lines(report([a_run(1), a_run(2, "failed", complete=False)], "failed"), quiet=True))
    assert [line.split(":")[0] for line in lines] == ["i2", "  things", "2 imports after 1"]
