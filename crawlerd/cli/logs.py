"""Where log lines go: to the terminal above a live display, or to stderr."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from crawlerd.cli.terminal import say
from crawlerd.core.log_lines import LogStyle, OneLine
from crawlerd.engine.log_output import is_journal, style, use, use_handler

if TYPE_CHECKING:
    from rich.console import Console

    from crawlerd.core.log_lines import LogFormat

log = logging.getLogger(__name__)


def log_to(console: Console, level: str, form: LogFormat = "text") -> None:
    """Of a command that people watch: through the console, so that lines stand above a live display."""
    if not console.is_terminal:
        use(LogStyle(form, is_journal()), level)
        return
    from rich.logging import RichHandler

    handler = RichHandler(console=console, show_path=False, show_time=False, rich_tracebacks=False)
    handler.setFormatter(OneLine("%(message)s"))
    use_handler(handler, level)


def log_of_service(level: str, form: LogFormat = "text") -> None:
    """Of the daemon: lines on stderr, with the time, but for the journal, which has its own."""
    use(LogStyle(form, is_journal(), timed=True), level, alone=True)


def last_words(line: str) -> None:
    """Why the daemon ends: as any other line where those have a form."""
    if style().is_formed:
        log.critical("%s", line)
    else:
        say(f"crawlerd: {line}", error=True)
