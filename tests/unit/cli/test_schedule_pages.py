"""`crawlerd schedule` of a daemon: all pages, in the order of the next starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from crawlerd.cli import schedule
from crawlerd.operations.list_pages import Schedules
from crawlerd.operations.schedules import ScheduleReport
from crawlerd.service import control

if TYPE_CHECKING:
    import pytest

DAEMON = control.Asked(Path("/nowhere"), None)


def report(name: str, at: float) -> ScheduleReport:
    return ScheduleReport(import_name=name, schedule="1h", words="every hour", next=[at])


def test_all_pages_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {
        "": Schedules(schedules=[report("a", 3.0), report("b", 1.0)], next="b"),
        "b": Schedules(schedules=[report("c", 2.0)]),
    }
    asked = []

    def answer(daemon: object, method: str, path: str, kind: object) -> Any:
        query = parse_qs(path.partition("?")[2])
        asked.append(query["limit"])
        return pages[query.get("after", [""])[0]]

    monkeypatch.setattr(control, "ask", answer)
    found = schedule._of_daemon(DAEMON, None, 1)
    assert [each.import_name for each in found or []] == ["b", "c", "a"]
    assert asked == [["500"], ["500"]]


def test_a_daemon_that_does_not_answer_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ask", lambda *_: None)
    assert schedule._of_daemon(DAEMON, "a", 1) is None
