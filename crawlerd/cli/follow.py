"""`crawlerd import` beside a daemon: asks it to run the imports now, and follows them to their end."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
import typer

from crawlerd.cli.context import reader_of
from crawlerd.cli.exits import ExitCode
from crawlerd.cli.report import Outcome, conclusion
from crawlerd.core.errors import FrontierError
from crawlerd.operations.run_history import RunRequest, RunStarted
from crawlerd.operations.why import Why
from crawlerd.service.control import Asked, ask, must_ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from crawlerd.frontier.reports import RunReport

LOOK_SECONDS = 0.5
TELL_SECONDS = 10.0  # between lines


def takes_commands(daemon: Asked) -> bool:
    """Whether a daemon uses the state directory; an import in the foreground takes none."""
    return ask(daemon, "GET", "pauses", list[object]) is not None


def start(
    daemon: Asked, names: Sequence[str], request: RunRequest, console: Console
) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Asks for a run of each import. The runs that are under way then, and why others could not start, by import."""
    runs: dict[str, list[int]] = {}
    not_started: dict[str, str] = {}
    for name in names:
        try:
            started = must_ask(daemon, "POST", f"imports/{quote(name, safe='')}/run", RunStarted, request)
        except FrontierError as error:
            not_started[name] = str(error)
            if len(names) == 1:
                raise
            console.print(f"{name}: not started: {error}", highlight=False, markup=False)
            continue
        runs[name] = started.runs
        how = "is under way already" if started.resumed else "started"
        numbers = ", ".join(map(str, started.runs))
        console.print(f"{name}: run {numbers} {how} in the daemon", highlight=False)
    return runs, not_started


def run_and_follow(daemon: Asked, names: Sequence[str], request: RunRequest, console: Console) -> Outcome:
    """The same, and waits for the end of the runs. Ctrl-C ends the waiting, and not the runs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        runs, not_started = start(daemon, names, request, console)
        _wait(daemon, [run for each in runs.values() for run in each], console)
    except KeyboardInterrupt:
        console.print("not followed any more; the daemon goes on: see `crawlerd why NAME`", highlight=False)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGINT, before)
    return _outcome(daemon, runs, not_started)


def _wait(daemon: Asked, numbers: Sequence[int], console: Console) -> None:
    told_at, told = time.monotonic(), ""
    while True:
        with reader_of(daemon.state_dir) as reader:
            left = [run for run in reader.runs(numbers) if run.ended_at is None] if reader else []
        if not left:
            return
        if time.monotonic() - told_at >= TELL_SECONDS:
            told_at = time.monotonic()
            for run in left:
                line = _line(daemon, run)
                if line != told:
                    console.print(line, highlight=False, markup=False)
                told = line
        time.sleep(LOOK_SECONDS)  # the daemon is another process, and tells nobody; Ctrl-C ends it


def _line(daemon: Asked, run: RunReport) -> str:
    waits = ask(daemon, "GET", f"why/run/{run.id}", Why)
    why = f"; {waits.waits[0].reason}: {waits.waits[0].text}" if waits and waits.waits else ""
    left = run.ready + run.delayed + run.waiting
    return f"{run.import_name}: {run.records:,} records, {run.done:,} tasks done, {left:,} left{why}"


def _outcome(daemon: Asked, runs: Mapping[str, Sequence[int]], not_started: Mapping[str, str]) -> Outcome:
    with reader_of(daemon.state_dir) as reader:
        assert reader is not None  # noqa: S101 - the runs are in it
        reports = {
            name: [(run, reader.streams(run.id)) for run in reader.runs(numbers)] for name, numbers in runs.items()
        }
    every = [run for each in reports.values() for run, _ in each]
    state, code = conclusion(
        {run.state for run in every},
        started=not not_started,
        cut_off=False,
        complete=all(run.complete for run in every),
    )
    if "cancelled" in {run.state for run in every} and code is ExitCode.INCOMPLETE:
        state = "cancelled"
    nothing = {"paused_account": None, "paused": None, "held_up": None}
    imports = {
        name: [
            {**msgspec.to_builtins(run), **nothing, "streams": msgspec.to_builtins(streams)} for run, streams in each
        ]
        for name, each in reports.items()
    }
    return Outcome(code, {"state": state, "imports": imports, "not_started": dict(not_started)})
