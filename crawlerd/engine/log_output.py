"""The log of a process: its handler on stderr. Other output of Python, or of a source, gets the same format."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
from copy import copy
from typing import TYPE_CHECKING, TextIO

from crawlerd.core.folding import Folding
from crawlerd.core.log_events import told_by
from crawlerd.core.log_lines import LINE_BYTES, LogStyle

if TYPE_CHECKING:
    from types import TracebackType

    from crawlerd.core.folding import Folded

QUIET = ("persistqueue",)  # libraries that log at each start which optional packages are missing

log = logging.getLogger(__name__)
_printed = logging.getLogger("crawlerd.printed")
_style = LogStyle()  # the style of this process
_handler: logging.Handler | None = None


def style() -> LogStyle:
    """The style of this process."""
    return _style


def is_journal(fd: int = 2) -> bool:
    """Whether systemd's journal reads the file descriptor, by JOURNAL_STREAM; see systemd.exec(5)."""
    expected = os.environ.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return expected == f"{found.st_dev}:{found.st_ino}"


def use(style: LogStyle, level: str, *, folds: bool = True, alone: bool = False) -> None:
    """Makes this process log to stderr, in this style.

    folds: whether repeated events are counted, and logged once a minute.
    alone: if the style has a format such as JSON, everything else written to the standard streams becomes log lines.
    """
    global _style
    _style = style
    stream = sys.stderr.original if isinstance(sys.stderr, Printed) else sys.stderr
    use_handler(Lines(stream, style), level, folds=folds)
    if alone and style.is_formed:
        _take_over()


def use_handler(handler: logging.Handler, level: str, *, folds: bool = True) -> None:
    """Makes this process log to another handler, in place of the one before. folds: see `use`."""
    global _handler
    root = logging.getLogger()
    if _handler is not None:
        root.removeHandler(_handler)
        _handler.close()
    if folds:
        handler.addFilter(Fold(handler))
    _handler = handler
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def repeat(said: bytes) -> None:
    """Logs the text that was written before this process had its log."""
    if _style.is_formed:
        for line in said.decode(errors="replace").split("\n"):
            print_line(line)
    else:
        sys.stderr.flush()
        os.write(sys.stderr.fileno(), said)


def print_line(line: str) -> None:
    """Writes a printed line as a line of the log, whatever the log's level."""
    if line.strip():
        _printed.info("%s", line)


def _take_over() -> None:
    """Redirects the output of Python itself, and of sources, into the log."""
    logging.captureWarnings(True)
    _printed.setLevel(logging.INFO)
    sys.excepthook = _log_end
    threading.excepthook = _log_end_of_thread
    if not isinstance(sys.stderr, Printed):
        sys.stdout, sys.stderr = Printed(sys.stdout), Printed(sys.stderr)


def _log_end(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    log.critical("this process ends: %s: %s", kind.__name__, error, exc_info=(kind, error, where))


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "unknown"
    error = ended.exc_value or ended.exc_type()
    log.error("the thread %s ends: %s: %s", name, type(error).__name__, error, exc_info=error)


class Printed(io.TextIOBase):
    """A standard stream whose lines go into the log.

    original: the stream itself.
    """

    def __init__(self, original: TextIO) -> None:
        super().__init__()
        self.original = original
        self.buffer = getattr(original, "buffer", None)
        self._begun = threading.local()  # the unfinished line of each thread

    @property
    def encoding(self) -> str:  # type: ignore[override] # read-only
        return "utf-8"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.original.fileno()

    def write(self, text: str, /) -> int:
        *lines, rest = (getattr(self._begun, "line", "") + text).split("\n")
        if len(rest) > LINE_BYTES:
            lines, rest = [*lines, rest], ""
        self._begun.line = rest
        for line in lines:
            print_line(line)
        return len(text)


class Lines(logging.Handler):
    """Writes each line by itself, so that lines of several processes do not mix."""

    def __init__(self, stream: TextIO, style: LogStyle) -> None:
        super().__init__()
        self._stream = stream
        self.setFormatter(style.formatter)
        if style.format == "json" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # independent of the locale

    def emit(self, record: logging.LogRecord) -> None:
        try:
            lines = self.format(record)
        except Exception as error:  # noqa: BLE001 - a bad log call of a library must not end its caller
            text = f"a line of the logger {record.name} cannot be made ({type(error).__name__}): {record.msg!r}"
            lines = self.format(logging.LogRecord(__name__, logging.ERROR, __file__, 0, text, (), None))
        try:
            for line in lines.split("\n"):
                self._stream.write(f"{line}\n")
                self._stream.flush()
        except (OSError, ValueError):  # the reader of stderr is gone
            return


class Fold(logging.Filter):
    """Lets an event pass once a minute for each subject, and makes the handler log how many were left out."""

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._handler = handler
        self._folding: Folding[logging.LogRecord] = Folding()
        self._changing = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        close = handler.close

        def closed() -> None:
            with self._changing:
                rest = self._folding.rest(time.monotonic())
            self._tell(rest)
            close()

        handler.close = closed  # type: ignore[method-assign] # also at the end of the process

    def filter(self, record: logging.LogRecord) -> bool:
        told = told_by(record)
        if told is None or not told.event.folds or getattr(record, "counted", False):
            return True
        with self._changing:
            now = time.monotonic()
            found = self._folding.due(now)
            before = self._folding.come(told.topic, (told.event, record.levelno), record, now)
            if before is None and self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="log", daemon=True)
                self._thread.start()
        self._tell([*found, *(before or [])])
        if before is None:
            self._news.set()
        return before is not None

    def _watch(self) -> None:
        while True:
            with self._changing:
                at = self._folding.next_at
            self._news.wait(None if at is None else max(0.0, at - time.monotonic()))
            self._news.clear()
            with self._changing:
                found = self._folding.due(time.monotonic())
            self._tell(found)

    def _tell(self, found: list[Folded[logging.LogRecord]]) -> None:
        for each in found:
            record = copy(each.last)
            text = f"and {each.times:,} more in {each.seconds:.0f} s, the last one: {record.getMessage()}"
            record.msg, record.args = text, ()
            told = told_by(record)
            if told is not None:
                record.told = told._replace(fields={**told.fields, "repeats": each.times})
            record.counted = True
            self._handler.handle(record)
