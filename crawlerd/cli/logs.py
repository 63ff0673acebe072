"""Where log lines go: to the terminal above a live display, or to stderr."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from crawlerd.core.log_lines import OneLine

if TYPE_CHECKING:
    from rich.console import Console


QUIET = ("persistqueue",)  # libraries that tell at each start what they do without


def log_to(console: Console, level: str) -> None:
    """Of a command that people watch: through the console, so that lines stand above a live display."""
    handler: logging.Handler
    if console.is_terminal:
        from rich.logging import RichHandler

        handler = RichHandler(console=console, show_path=False, show_time=False, rich_tracebacks=False)
        handler.setFormatter(OneLine("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(OneLine("%(levelname)s %(message)s"))
    _configure(level, handler)


def log_of_service(level: str) -> None:
    """Of the daemon: lines on stderr, with the time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(message)s"))
    _configure(level, handler)


def _configure(level: str, handler: logging.Handler) -> None:
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
