"""Counts log lines that somebody should read."""

from __future__ import annotations

import logging
from collections import Counter

from crawlerd.core.metric_labels import LogLevel

LEVELS = {
    logging.WARNING: LogLevel.WARNING,
    logging.ERROR: LogLevel.ERROR,
    logging.CRITICAL: LogLevel.CRITICAL,
}


class LogCounts(logging.Handler):
    """Counts logged lines from WARNING on. It takes no lock, so no thread waits for it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: Counter[LogLevel] = Counter()

    def createLock(self) -> None:  # noqa: N802 - the library calls it so
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        if level := LEVELS.get(record.levelno):
            self.lines[level] += 1
