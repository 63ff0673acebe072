"""The format of log lines. Control characters of an API's text are escaped, so that it cannot begin a new line.

No line is longer than a pipe or the journal accepts at once, so that lines of several processes do not mix.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from crawlerd.core.log_events import OTHER, told_by
from crawlerd.core.redaction import shown, without_credentials

LINE_BYTES = 4096  # PIPE_BUF of Linux, see pipe(7); the journal splits lines of more than 48 KiB, see journald.conf(5)
END_BYTES = 1  # the newline
PRIORITY_BYTES = 3
CUT = "…"

LogFormat = Literal["text", "json"]


class LogStyle(msgspec.Struct, frozen=True, array_like=True):
    """How a process writes its log.

    format: lines for people, or one JSON object for each line.
    journal: whether each line begins with its priority for systemd's journal, see sd-daemon(3).
    timed: whether lines for people begin with the time.
    """

    format: LogFormat = "text"
    journal: bool = False
    timed: bool = False

    @property
    def is_formed(self) -> bool:
        """Whether each line has a format that programs rely on."""
        return self.journal or self.format == "json"

    @property
    def formatter(self) -> logging.Formatter:
        if self.format == "json":
            return JsonLine(journal=self.journal)
        if self.journal:  # the journal adds the time, and has the level
            return OneLine("%(message)s", journal=True)
        return OneLine("%(asctime)s %(levelname)s %(message)s" if self.timed else "%(levelname)s %(message)s")


class OneLine(logging.Formatter):
    """Formats a record as one line, followed by the indented lines of a traceback. Removes the credentials of the
    present attempt."""

    def __init__(self, text: str, *, journal: bool = False) -> None:
        super().__init__(text)
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        begin = _priority(record.levelno) if self._journal else ""
        return "\n".join(begin + _cut(line, LINE_BYTES - END_BYTES - len(begin)) for line in self._lines(record))

    def _lines(self, record: logging.LogRecord) -> list[str]:
        said = super().format(record)
        if not record.exc_text or not said.endswith(record.exc_text):
            return [shown(without_credentials(said))]
        message = said[: -len(record.exc_text)].removesuffix("\n")
        lines = without_credentials(record.exc_text).split("\n")
        return [shown(without_credentials(message)), *(f"  {shown(each)}" for each in lines)]


class JsonLine(logging.Formatter):
    """Formats a record as one JSON object: the time, the level, the message, and the fields of the event."""

    def __init__(self, *, journal: bool = False) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        told = told_by(record)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "event": told.event.name.lower() if told else OTHER,
            "message": _safe(record.getMessage()),
        }
        if told:
            line |= {name: _safe(value) for name, value in told.fields.items()}
        else:
            line["logger"] = record.name
        if record.exc_info:
            line["traceback"] = "\n".join(map(_safe, self.formatException(record.exc_info).split("\n")))
        begin = _priority(record.levelno) if self._journal else ""
        return begin + _bounded(line, LINE_BYTES - END_BYTES - PRIORITY_BYTES)


def _safe(value: Any) -> Any:
    """A text without credentials, and with control characters escaped; another JSON value unchanged."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_safe(each) for each in value]
    return shown(without_credentials(str(value)))


def _bounded(line: dict[str, Any], most: int) -> str:
    """The line as JSON of at most `most` bytes: the longest values are cut. A traceback keeps its end."""
    encoded = msgspec.json.encode(line)
    while len(encoded) > most:
        name = max(line, key=lambda each: len(msgspec.json.encode(line[each])))
        value = line[name]
        if isinstance(value, list):
            line[name] = value[: len(value) // 2]
        else:
            half = len(text := str(value)) // 2
            line[name] = CUT + text[-half:] if name == "traceback" else text[:half] + CUT
        encoded = msgspec.json.encode(line)
    return encoded.decode()


def _cut(text: str, most: int) -> str:
    if 4 * len(text) <= most or len(data := text.encode(errors="replace")) <= most:
        return text
    return data[: most - len(CUT.encode())].decode(errors="ignore") + CUT


def _priority(level: int) -> str:
    """The number of a level in syslog."""
    if level >= logging.CRITICAL:
        return "<2>"
    if level >= logging.ERROR:
        return "<3>"
    if level >= logging.WARNING:
        return "<4>"
    return "<6>" if level >= logging.INFO else "<7>"
