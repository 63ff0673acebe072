"""A process's log: events that repeat are counted, whoever writes past it is caught, and nothing breaks it."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from support.installation import until

from crawlerd.core.log_events import Event, Told
from crawlerd.core.log_lines import LogStyle
from crawlerd.engine.log_output import Fold, Lines, is_journal

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def event(number: int, name: Event = Event.THROTTLED, account: str = "acme") -> logging.LogRecord:
    record = logging.LogRecord("crawlerd.events", name.level, "", 0, "refused 100%% %d", (number,), None)
    record.told = Told(name, {"account": account})
    return record


def logger_into(stream: io.StringIO, form: str = "text") -> Lines:
    handler = Lines(stream, LogStyle("json" if form == "json" else "text"))
    handler.addFilter(Fold(handler))
    return handler


def test_repeats_are_told_at_the_end_at_the_latest() -> None:
    stream = io.StringIO()
    handler = logger_into(stream)
    for number in range(1_235):
        handler.handle(event(number))
    handler.handle(event(1, account="other"))
    handler.handle(event(1, Event.RUN_ENDED))
    handler.handle(event(2, Event.RUN_ENDED))  # of runs, each one counts
    lines = stream.getvalue().splitlines()
    assert lines == ["WARNING refused 100% 0", "WARNING refused 100% 1", *(f"INFO refused 100% {n}" for n in (1, 2))]
    handler.close()
    assert stream.getvalue().splitlines()[4:] == [
        "WARNING and 1,234 more in 0 s, the last one: refused 100% 1234",
    ]


def test_the_count_is_a_field_in_json_and_the_end_of_a_trouble_comes_after_it() -> None:
    stream = io.StringIO()
    handler = logger_into(stream, "json")
    for number in range(3):
        handler.handle(event(number, Event.ACCOUNT_REFUSED))
    handler.handle(event(3, Event.ACCOUNT_ACCEPTED))
    handler.close()
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(each["event"], each.get("repeats")) for each in found] == [
        ("account_refused", None),
        ("account_refused", 2),
        ("account_accepted", None),
    ]


def test_what_is_counted_is_told_though_nothing_more_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    handler = Lines(stream, LogStyle())
    fold = Fold(handler)
    fold._folding._seconds = 0.05
    handler.addFilter(fold)
    handler.handle(event(1))
    handler.handle(event(2))
    until(lambda: "and 1 more" in stream.getvalue())
    handler.handle(event(3))  # goes on: counted further
    until(lambda: stream.getvalue().count("and 1 more") == 2)
    handler.close()
    assert stream.getvalue().count("\n") == 3


def test_a_line_that_cannot_be_made_is_told_and_a_closed_stream_is_none_of_the_callers_business() -> None:
    stream = io.StringIO()
    handler = Lines(stream, LogStyle("json"))
    handler.handle(logging.LogRecord("library", logging.INFO, "", 0, "%d things", ("no number",), None))
    found = json.loads(stream.getvalue())
    assert (found["level"], "library" in found["message"], "%d things" in found["message"]) == ("error", True, True)
    stream.close()
    handler.handle(event(1))


def test_the_journal_is_known_by_its_device_and_inode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    try:
        found = os.fstat(write)
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert is_journal(write)
        with (tmp_path / "other").open("w") as other:  # redirected to a file, the variable stays
            assert not is_journal(other.fileno())
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not is_journal(write)
    finally:
        os.close(read)
        os.close(write)
    monkeypatch.setenv("JOURNAL_STREAM", "")
    assert not is_journal(write)


PROGRAM = """
import sys, threading
from crawlerd.core.log_lines import LogStyle
from crawlerd.engine.log_output import use
use(LogStyle("json"), "info", alone=True)
use(LogStyle("json"), "warning", alone=True)  # as when the configuration is read
def prints(word):
    for _ in range(200):
        print(word * 30, end="")
        print()
threads = [threading.Thread(target=prints, args=(word,)) for word in "abcd"]
for each in threads: each.start()
for each in threads: each.join()
sys.stdout.buffer  # is there for those who write bytes
print("no end of a line" * 1000, flush=True)
raise SystemError("the end")
"""


def test_what_is_printed_by_several_threads_and_the_last_traceback_are_lines_each() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    found = [json.loads(line) for line in done.stderr.splitlines()]
    printed = [each["message"] for each in found if each.get("logger") == "crawlerd.printed"]
    assert sorted(printed[:-1]) == sorted(word * 30 for word in "abcd" for _ in range(200))
    assert found[-1]["level"] == "critical"
    assert found[-1]["traceback"].endswith("SystemError: the end")
