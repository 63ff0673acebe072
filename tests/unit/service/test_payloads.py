"""What dead letters carry is for the admin alone, wherever a dead letter is in an answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crawlerd.frontier.figure_reports import RunFigures, SlowTask
from crawlerd.frontier.reports import AttemptReport, DeadLetter
from crawlerd.service.resources import HIDDEN, without_payloads

LETTER = DeadLetter(
    id=1,
    import_name="shop",
    run=1,
    account="a",
    stream="s",
    kind="k",
    attempts=1,
    denied=False,
    error="E",
    payload='{"email": "a@example.com"}',
    at=0.0,
    history=[AttemptReport(at=0.0, seconds=1.0, status=1, method="GET", url="http://x/?q=a@example.com", error="E")],
)


ATTEMPT = AttemptReport(at=0.0, seconds=1.0, status=500, method="GET", url="http://x/a?email=a@example.com", error="E")
SLOW = SlowTask(task=1, kind="k", about='{"email": "a@example.com"}', seconds=1.0)


class Page(msgspec.Struct):
    letters: list[DeadLetter]
    by_name: dict[str, list[DeadLetter]] = {}
    next: int | None = None


@pytest.mark.parametrize(
    "found",
    [LETTER, [LETTER, LETTER], Page([LETTER]), [Page([], {"a": [LETTER]})], ATTEMPT, RunFigures(slowest=[SLOW])],
)
def test_payloads_are_hidden(found: Any) -> None:
    hidden = msgspec.json.encode(without_payloads(found)).decode()
    assert "example.com" not in hidden
    assert HIDDEN in hidden
    assert b"example.com" in msgspec.json.encode(found)  # the same is not changed


@pytest.mark.parametrize("found", [None, 1, [1], {"letters": 1}, Page([])])
def test_all_else_stays(found: Any) -> None:
    assert without_payloads(found) == found
