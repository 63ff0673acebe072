"""`crawlerd import` while a daemon runs: asks it to run the imports now, and follows the runs to their end."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import typer

from crawlerd.cli.exits import ExitCode
from crawlerd.cli.live import left_of
from crawlerd.cli.modes import modes
from crawlerd.cli.report import Outcome, outcome
from crawlerd.cli.report_text import EACH_SHOWN
from crawlerd.cli.terminal import say
from crawlerd.core.errors import FrontierError
from crawlerd.operations.why import Why
from crawlerd.service.control import Asked, ask
from crawlerd.service.following import report_of_runs, start_run, unfinished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from crawlerd.frontier.reports import RunReport
    from crawlerd.operations.run_history import RunRequest

LOOK_SECONDS = 0.5
TELL_SECONDS = 10.0  # seconds between lines of progress


def start(
    daemon: Asked, names: Sequence[str], request: RunRequest, console: Console
) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Asks the daemon for a run of each import.

    Returns, by import, the runs that are now under way, and the reasons why others could not start.
    """
    runs: dict[str, list[int]] = {}
    not_started: dict[str, str] = {}
    few, resumed = len(names) <= EACH_SHOWN, 0
    if not few:
        console.print(f"asking the daemon for {len(names):,} imports", highlight=False)
    for name in names:
        try:
            started = start_run(daemon, name, request)
        except FrontierError as error:
            not_started[name] = str(error)
            if len(names) == 1:
                raise
            if len(not_started) <= EACH_SHOWN:
                say(f"{name}: not started: {error}", error=True)
            continue
        runs[name] = started.runs
        resumed += started.resumed
        if not few:
            continue
        how = "is under way already" if started.resumed else "started"
        numbers = ", ".join(map(str, started.runs))
        console.print(f"{name}: run {numbers} {how} in the daemon", highlight=False)
    if not few:
        counts = f"{len(runs) - resumed:,} started, {resumed:,} under way already, {len(not_started):,} not started"
        console.print(f"{len(names):,} imports: {counts}", highlight=False)
    return runs, not_started


def run_and_follow(daemon: Asked, names: Sequence[str], request: RunRequest, console: Console) -> Outcome:
    """Like `start`, then waits for the end of the runs. Ctrl-C ends the waiting, not the runs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        runs, not_started = start(daemon, names, request, console)
        _wait(daemon, [run for each in runs.values() for run in each], console)
    except KeyboardInterrupt:
        console.print("stopped following; the runs go on in the daemon: see `crawlerd why NAME`", highlight=False)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGINT, before)
    return outcome(report_of_runs(daemon, runs, not_started))


def _wait(daemon: Asked, numbers: Sequence[int], console: Console) -> None:
    told_at, told = time.monotonic(), ""
    while True:
        if not (left := unfinished(daemon, numbers)):
            return
        if time.monotonic() - told_at >= TELL_SECONDS and modes.shows_progress:
            told_at = time.monotonic()
            for line in map(partial(_line, daemon), left) if len(left) <= EACH_SHOWN else [_line_of_all(left, numbers)]:
                if line != told:
                    console.print(line, highlight=False, markup=False)
                told = line
        time.sleep(LOOK_SECONDS)  # the daemon is another process, and does not report to us; Ctrl-C ends the waiting


def _line_of_all(left: Sequence[RunReport], numbers: Sequence[int]) -> str:
    open_, done = sum(map(left_of, left)), sum(run.done for run in left)
    records = sum(run.records for run in left)
    under_way = f"{len(left):,} of {len(numbers):,} runs under way"
    return f"{under_way}: {records:,} records, {done:,} tasks done, {open_:,} left"


def _line(daemon: Asked, run: RunReport) -> str:
    waits = ask(daemon, "GET", f"why/run/{run.id}", Why)
    why = f"; {waits.waits[0].reason}: {waits.waits[0].text}" if waits and waits.waits else ""
    return f"{run.import_name}: {run.records:,} records, {run.done:,} tasks done, {left_of(run):,} left{why}"
