"""The set of events is closed: each is told somewhere with all of its fields, and the reference has the same set."""

from __future__ import annotations

import ast
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import crawlerd
from crawlerd.core.log_events import Event, tell, told_by

if TYPE_CHECKING:
    import pytest

PACKAGE = Path(crawlerd.__file__).parent
REFERENCE = (Path(__file__).parents[3] / "docs/reference.md").read_text()
NOT_FIELDS = {"level", "cause"}


def names_in(node: ast.AST) -> list[str]:
    """The events that an expression names."""
    return [
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "Event"
    ]


def calls() -> list[tuple[str, ast.Call]]:
    """(file, call) of `tell` in the whole package."""
    return [
        (str(path.relative_to(PACKAGE)), node)
        for path in PACKAGE.rglob("*.py")
        if "import Event" in (text := path.read_text()) or "Event, tell" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tell"
        if node.args and names_in(node.args[0])
    ]


def test_each_event_is_told_somewhere_with_fields_of_its_own() -> None:
    told: dict[str, set[str]] = {}
    for file, call in calls():
        given = {"import" if each.arg == "import_name" else each.arg for each in call.keywords if each.arg} - NOT_FIELDS
        for name in names_in(call.args[0]):
            strange = given - set(Event[name].all_fields)
            assert not strange, f"{file}, line {call.lineno}: {name} has no field {', '.join(strange)}"
            told[name] = told.get(name, set()) | given
            if any(each.arg is None for each in call.keywords):  # those are known when it happens
                told[name] |= set(Event[name].subject)
    assert told == {event.name: set(event.all_fields) for event in Event}


def test_the_reference_lists_the_same_events_with_levels_and_fields() -> None:
    section = REFERENCE[REFERENCE.index("\n## The log\n") : REFERENCE.index("\n## Metrics\n")]
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \| (.*?) \| .+ \|$", section, re.MULTILINE)
    assert [(name, level, re.findall(r"`(\w+)`", fields)) for name, level, fields in rows] == [
        (event.name.lower(), logging.getLevelName(event.level).lower(), list(event.all_fields)) for event in Event
    ]


def test_no_two_events_are_one() -> None:
    """As members of an enumeration with equal values would be."""
    assert len(list(Event)) == len(Event.__members__)


def test_a_field_without_a_value_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        tell(Event.LIMIT_LEARNED, "%s %d%%", "a", 5, account="acme", bucket="", rate=0.0, concurrency=None)
    (record,) = caplog.records
    told = told_by(record)
    assert told is not None
    assert (record.getMessage(), record.levelno) == ("a 5%", logging.INFO)
    assert told.fields == {"account": "acme", "rate": 0.0}
    assert told.topic == ("LIMIT", ("account", "acme"), ("bucket", None))


def test_what_is_not_logged_costs_no_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        tell(Event.LIMIT_LEARNED, "not a number: %d", "x", account="acme")
    assert caplog.records == []
