"""Where log lines go: above a live display on a terminal, otherwise to stderr."""

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
    """Sets up logging for a command that people watch: lines go through the console, so that they appear above a live
    display."""
    if not console.is_terminal:
        use(LogStyle(form, is_journal()), level)
        return
    from rich.logging import RichHandler

    handler = RichHandler(console=console, show_path=False, show_time=False, rich_tracebacks=False)
    handler.setFormatter(OneLine("%(message)s"))
    use_handler(handler, level)


def log_of_service(level: str, form: LogFormat = "text") -> None:
    """Sets up logging for the daemon: lines on stderr, with the time. The journal adds its own time, so there it is
    left out."""
    use(LogStyle(form, is_journal(), timed=True), level, alone=True)


def last_words(line: str) -> None:
    """Logs why the daemon ends, in the configured format."""
    if style().is_formed:
        log.critical("%s", line)
    else:
        say(f"crawlerd: {line}", error=True)
