"""`crawlerd status`, as lines."""

from __future__ import annotations

from crawlerd.cli.status_lines import status_lines
from crawlerd.operations.status_report import StatusReport
from crawlerd.operations.troubles import Trouble


def test_as_many_things_need_a_look_as_the_first_line_says() -> None:
    troubles = [
        Trouble(who="account a", text="refused", grave=True),
        Trouble(who="account b", text="quota", grave=False),
        Trouble(who="import c", text="it failed", grave=True),
    ]
    report = StatusReport(
        ready=0, delayed=0, waiting=0, dead=0, troubles=troubles, running=[], running_count=0, imports=[],
        import_count=0, accounts={}, account_count=0,
    )  # fmt: skip
    assert list(status_lines(report, 0.0, 80, alive=True))[:6] == [
        "idle: no run is under way; 2 things need a look",
        "needs a look:",
        "  account a: refused",
        "  import c: it failed",
        "to know:",
        "  account b: quota",
    ]
