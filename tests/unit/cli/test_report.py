"""The report of `crawlerd import`: the exit code that follows from it, and what is printed."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from crawlerd.cli.exits import ExitCode
from crawlerd.cli.report import conclusion, print_report


@pytest.mark.parametrize(
    ("states", "facts", "state", "code"),
    [
        ({"completed"}, {}, "completed", 0),
        (set(), {}, "completed", 0),
        ({"completed"}, {"complete": False}, "not complete", 3),
        ({"completed", "completed with dead letters"}, {"complete": False}, "completed with dead letters", 3),
        ({"completed", "running"}, {"complete": False}, "interrupted", 130),
        ({"completed"}, {"cut_off": True}, "interrupted", 130),
        ({"completed", "cancelled"}, {"complete": False}, "not complete", 3),
        ({"completed", "paused", "running"}, {"complete": False}, "failed", 1),
        ({"completed", "held up"}, {"complete": False}, "failed", 1),
        ({"failed", "running"}, {"complete": False}, "failed", 1),
        ({"completed"}, {"started": False, "cut_off": True}, "failed", 1),
    ],
)
def test_the_exit_code_follows_from_the_runs(states: set[str], facts: dict[str, bool], state: str, code: int) -> None:
    found = conclusion(states, **{"started": True, "cut_off": False, "complete": True, **facts})
    assert found == (state, ExitCode(code))


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
