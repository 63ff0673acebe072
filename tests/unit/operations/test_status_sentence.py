"""How a crawlerd is doing, on one line."""

from __future__ import annotations

from typing import Any

import pytest

from crawlerd.operations.import_facts import ImportLine
from crawlerd.operations.status_report import StatusReport
from crawlerd.operations.status_sentence import status_sentence
from crawlerd.operations.troubles import Trouble

LIVE: Any = type("Live", (), {"account_rates": lambda self: None})()


def report(**facts: Any) -> StatusReport:
    usual: dict[str, Any] = {
        "troubles": [],
        "running": [],
        "running_count": len(facts.get("running", [])),
        "imports": [],
        "import_count": len(facts.get("imports", [])),
    }
    nothing = {"ready": 0, "delayed": 0, "waiting": 0, "dead": 0, "accounts": {}, "account_count": 0}
    return StatusReport(**(nothing | usual | facts))


def starting(name: str, at: float | None) -> ImportLine:
    facts: dict[str, Any] = {"account": "a", "last": None, "fresh_at": None, "every": 60.0, "configured": True}
    return ImportLine(name=name, next_at=at, **facts)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (report(), "idle: no run is under way"),
        (
            report(imports=[starting("b", 1e9 + 60), starting("a", 1e9), starting("c", None)]),
            "idle: no run is under way; a starts next, at 2001-09-09 01:46 UTC",
        ),
        (report(imports=[starting("a", 1e9)], import_count=21), "idle: no run is under way"),  # another may be before
    ],
)
def test_what_it_does_and_what_starts_next(found: StatusReport, sentence: str) -> None:
    assert status_sentence(found, LIVE) == sentence


def test_what_needs_a_look_is_part_of_it_and_always_one_line() -> None:
    graves = [Trouble(who="account a", text="refused:\n the key\x1b[31m " + "x" * 500), Trouble(who="b", text="c")]
    sentence = status_sentence(report(troubles=[Trouble(who="crawlerd", text="t", grave=False), *graves]), LIVE)
    assert sentence.startswith("idle: no run is under way; 2 things need a look: account a: refused: the key")
    assert sentence.endswith("…")
    assert len(sentence) < 300
    assert sentence.isprintable()
    quiet = report(troubles=[Trouble(who="crawlerd", text="t", grave=False)])
    assert status_sentence(quiet, LIVE) == "idle: no run is under way"
