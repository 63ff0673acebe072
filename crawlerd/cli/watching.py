"""The loop of `--watch`, on the terminal's alternate screen."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING

from crawlerd.cli.exits import ExitCode, fail
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def watch(lines: Callable[[int], Sequence[str]], seconds: float) -> None:
    """Shows lines again and again. Ctrl-C ends it without an error.

    lines: the lines for a width.
    seconds: the time between two refreshes.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        fail("--watch needs a terminal; use `crawlerd status` or `crawlerd status --check`", ExitCode.USAGE)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                size = shutil.get_terminal_size()
                shows = [shown(line)[: size.columns] for line in lines(size.columns)][: size.lines]
                live.update(Text("\n".join(shows), no_wrap=True), refresh=True)
                time.sleep(seconds)  # no event covers everything shown: files, a daemon, and the passing of time
    except KeyboardInterrupt:
        sys.stdout.flush()
