"""Whatever is logged: a JSON line is one object, a text line begins as one, and none is longer than a pipe takes."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.log_events import Event, Told
from crawlerd.core.log_lines import LINE_BYTES, LogStyle
from crawlerd.core.redaction import Redaction, redacting

texts = st.text(st.characters(), max_size=60) | st.text('ab\n\r\x1b\u202e\ud800"\\é😀', max_size=9000)
fields = st.dictionaries(
    st.sampled_from(["run", "import", "account", "kind", "error", "applied"]),
    st.integers() | st.floats() | st.booleans() | texts | st.lists(texts, max_size=40),
)
PRIORITIES = {"DEBUG": "<7>", "INFO": "<6>", "WARNING": "<4>", "ERROR": "<3>", "CRITICAL": "<2>"}
levels = st.sampled_from(sorted(PRIORITIES))


def record_of(
    message: str, level: str = "INFO", told: Told | None = None, error: str | None = None
) -> logging.LogRecord:
    info: Any = None
    if error is not None:
        try:
            raise ValueError(error)
        except ValueError:
            info = sys.exc_info()
    record = logging.LogRecord("some.logger", getattr(logging, level), "", 0, "%s", (message,), info)
    if told:
        record.told = told
    return record


@given(texts, levels, fields, st.none() | texts, st.booleans())
def test_a_json_line_is_one_object(
    message: str, level: str, said: dict[str, Any], error: str | None, journal: bool
) -> None:
    record = record_of(message, level, Told(Event.RUN_ENDED, said), error)
    line = LogStyle("json", journal).formatter.format(record)
    assert len(line.encode()) < LINE_BYTES
    if journal:
        assert line.startswith(PRIORITIES[level])
        line = line[3:]
    assert line.replace("\\n", "").isprintable()
    found = json.loads(line)
    assert list(found)[:4] == ["time", "level", "event", "message"]
    assert abs(datetime.fromisoformat(found["time"]).timestamp() - record.created) < 0.0011  # milliseconds, cut
    assert (found["level"], found["event"]) == (level.lower(), "run_ended")
    assert set(found) == {"time", "level", "event", "message", *said} | ({"traceback"} if error is not None else set())


@given(texts, levels, st.none() | texts, st.booleans(), st.booleans())
def test_a_text_line_begins_as_one(message: str, level: str, error: str | None, journal: bool, timed: bool) -> None:
    first, *others = (
        LogStyle("text", journal, timed).formatter.format(record_of(message, level, None, error)).split("\n")
    )
    assert bool(others) is (error is not None)
    begins = PRIORITIES[level] if journal else ""
    for line in (first, *others):
        assert line.isprintable()
        assert len(line.encode()) < LINE_BYTES
        assert line.startswith(begins)
    assert all(each[len(begins) :].startswith("  ") for each in others)
    if not journal:
        assert f"{level} " in first


def test_what_is_short_is_said_in_full() -> None:
    told = Told(Event.RUN_ENDED, {"run": 12, "import": "a", "seconds": 1.5, "applied": ["x", "y"]})
    found = json.loads(LogStyle("json").formatter.format(record_of("import a: é\n", told=told)))
    assert found["message"] == "import a: é\\n"
    assert {name: found[name] for name in told.fields} == told.fields
    other = json.loads(LogStyle("json").formatter.format(record_of("words", "WARNING", error="wrong")))
    assert (other["event"], other["logger"], other["level"]) == ("log", "some.logger", "warning")
    assert other["traceback"].startswith("Traceback")
    assert other["traceback"].endswith("\nValueError: wrong")


def test_the_end_of_a_long_traceback_is_kept() -> None:
    found = json.loads(LogStyle("json").formatter.format(record_of("m", error="x" * 20_000 + " the cause")))
    assert found["traceback"].startswith("…")
    assert found["traceback"].endswith("the cause")


@pytest.mark.parametrize("style", [LogStyle("json"), LogStyle("text", journal=True), LogStyle("text", timed=True)])
def test_no_form_has_credentials_of_the_attempt(style: LogStyle) -> None:
    key = "sk_live_0123456789"
    told = Told(Event.THROTTLED, {"error": f"no {key}", "applied": [key]})
    with redacting(lambda: Redaction([key])):
        line = style.formatter.format(record_of(f"GET /?k={key}", told=told, error=f"bad {key}"))
    assert key not in line
    assert "***" in line
