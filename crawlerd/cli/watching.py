"""What `--watch` does: it shows the same again and again, on a screen of its own."""

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
    """Ends with Ctrl-C, without an error. lines: of a width. seconds: between two looks."""
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
                time.sleep(seconds)  # no event covers all that it shows: files, a daemon, times that pass
    except KeyboardInterrupt:
        sys.stdout.flush()
