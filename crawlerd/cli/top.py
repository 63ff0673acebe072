"""`crawlerd top`: a screen that shows the progress of imports, until q or Ctrl-C."""

from __future__ import annotations

import sys
import time
from threading import Event, Thread
from typing import TYPE_CHECKING

import typer  # noqa: TC002 - typer reads the annotations

from crawlerd.cli.answers import print_json
from crawlerd.cli.context import config_path, reader_of, running_pid, socket_path, state_directory
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.modes import modes
from crawlerd.cli.tables import terminal_width
from crawlerd.cli.terminal import say
from crawlerd.core.errors import CrawlerdError

if TYPE_CHECKING:
    from crawlerd.cli.full_screen import FullScreen
    from crawlerd.operations.top_report import TopReport

EVERY_SECONDS = 1.0
LOOK_SHARE = 10  # refreshing may take one part in this many of the time: 100,000 accounts take the daemon 0.14 s
ONCE_LINES = 24  # lines if stdout is not a terminal


def top(context: typer.Context) -> None:
    """Watch imports: a verdict, accounts by backlog, runs with their estimated ends, the last errors.

    If stdout is not a terminal, and with --json, this is printed once.
    """
    from rich.console import Console

    with exit_codes():
        if modes.machine:
            print_json(_look(context))
            return
        console = Console(highlight=False)
        if not sys.stdout.isatty() or console.is_dumb_terminal:
            _print_once(context)
            return
        from crawlerd.cli.full_screen import full_screen

        with full_screen(console) as screen:
            _watch(context, screen)


def _print_once(context: typer.Context) -> None:
    from crawlerd.cli.top_frame import View, frame

    for line in frame(_look(context), View(section=-1), terminal_width(), ONCE_LINES)[:-1]:
        say(line.plain.rstrip())


def _watch(context: typer.Context, screen: FullScreen) -> None:
    from crawlerd.cli.top_frame import View, counts, frame, moved

    looking = _Looking(context, screen)
    looking.start()
    view, shown = View(), None
    try:
        while not screen.ended:
            if not view.held or shown is None:
                shown, trouble = looking.found, looking.trouble
            width, height = screen.size
            if shown is not None:
                screen.draw(frame(shown, view, width, height, trouble=trouble, blocks=screen.blocks))
            elif trouble:
                screen.say(trouble)
            for key in screen.pressed():
                if key == "q":
                    return
                view = moved(view, key, counts(shown) if shown else (0, 0, 0), max(1, height // 4))
    finally:
        looking.over.set()


class _Looking(Thread):
    """Fetches a report every second in a thread of its own, so that keys need not wait for a slow daemon."""

    def __init__(self, context: typer.Context, screen: FullScreen) -> None:
        super().__init__(daemon=True)
        self._context, self._screen = context, screen
        self.over = Event()
        self.found: TopReport | None = None
        self.trouble = ""

    def run(self) -> None:
        while not self.over.is_set():
            began = time.monotonic()
            try:
                self.found, self.trouble = _look(self._context), ""
            except (CrawlerdError, OSError) as error:
                self.trouble = str(error)
            self._screen.wake()
            self.over.wait(max(EVERY_SECONDS, LOOK_SHARE * (time.monotonic() - began)))


def _look(context: typer.Context) -> TopReport:
    """A report: from the daemon, otherwise from the disk."""
    from crawlerd.config.outline import outline
    from crawlerd.operations.live_facts import Unheard
    from crawlerd.operations.problem import Unknown
    from crawlerd.operations.top_report import TopReport, nothing_yet, top_report
    from crawlerd.service.control import Asked, ask

    folder = state_directory(context)
    running = running_pid(folder) is not None
    if running:
        try:
            if told := ask(Asked(folder, socket_path(context)), "GET", "top", TopReport):
                return told
        except Unknown:  # there is no frontier yet, or the daemon is of an earlier version
            pass
    now = time.time()
    with reader_of(folder) as reader:
        if reader is None:
            return nothing_yet(now, alive=running)
        return top_report(reader, Unheard() if running else None, outline(config_path(context)), now)
