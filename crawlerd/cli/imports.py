"""`crawlerd import`: runs imports in the foreground, until they have ended, are paused, or a signal comes."""

from __future__ import annotations

import json
import math
import sys
import time
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from crawlerd.cli.context import config_path, read_settings, socket_path, state_directory, tell_warnings
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.logs import log_to
from crawlerd.cli.terminal import closed, say, say_json
from crawlerd.core.durations import parse_duration
from crawlerd.core.errors import CrawlerdError, SinkError, StorageFailed, WorkersFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from crawlerd.cli.report import Outcome, Stopped
    from crawlerd.config.ad_hoc import AdHoc
    from crawlerd.config.load import Settings
    from crawlerd.engine.starting import Started
    from crawlerd.service.control import Asked
    from crawlerd.service.running import Running

WAIT = "5m"  # by default, for an API that does not answer
LOOK_SECONDS = 0.25  # the longest wait for a run's end, a signal or trouble
LOOK_SHARE = 20  # reading how far the runs are takes at most one part in this many of the time
ENDED = ("completed", "not complete", "completed with dead letters")  # states of a report that nothing is left of
RESUMED_SHOWN = 10  # imports, each in a line of its own
TROUBLE_SECONDS = 10.0  # a disk or sink that refuses for so long ends a foreground import


def import_(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Imports to run.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run every configured import.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Import everything, not only what has changed.")] = False,
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Accept that a full run sees far fewer records than the last one.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Read what has changed since then, whatever was read before."),
    ] = None,
    settings_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another value of a setting of the imports, for this run."),
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="Stop when an API has not answered for this long.")
    ] = WAIT,
    at_most: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="Stop after this time; the next start goes on from there."),
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Beside a daemon: ask it for the run, and do not wait for its end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Run imports to their end in the foreground; an interrupted run is resumed.

    Beside a daemon, ask that for the run and follow it: Ctrl-C ends the following, and not the run.

    With a sink of the type stdout, records go there, and the report to stderr.
    A run with --since or --set is an ad hoc one: it publishes no sync points and tombstones nothing.

    Exit codes: 0 complete, 3 ended but not complete (or stopped by --for), 1 failed, 69 an API does not answer,
    130 interrupted, 141 nobody reads stdout any more.
    """
    from rich.console import Console

    from crawlerd.cli.follow import run_and_follow, start
    from crawlerd.cli.report import print_report
    from crawlerd.config.problems import instead
    from crawlerd.operations.run_history import RunRequest

    console = Console(stderr=True)
    with exit_codes():
        patience = Patience(_seconds("--wait", wait), math.inf if at_most is None else _seconds("--for", at_most))
        with redirect_stdout(sys.stderr):  # a source may print, where it is imported and where a run begins
            ad_hoc = _ad_hoc(None if everything else names or (), since, settings_ or (), full=full)
            settings = read_settings(config_path(context), ad_hoc=ad_hoc)
            chosen = list(settings.imports) if everything else list(dict.fromkeys(names or ()))
            if everything and names:
                fail("specify the imports to run, or use --all; not both", ExitCode.USAGE)
            if not chosen:
                known = ", ".join(settings.imports) or "none is configured"
                fail(f"specify the imports to run, or use --all ({known})", ExitCode.USAGE)
            for name in [each for each in chosen if each not in settings.imports]:
                known = instead(name, settings.imports)
                fail(f"there is no [imports.{name}] in {config_path(context)}; {known}", ExitCode.USAGE)
            piped = [spec.sink for name in chosen if (spec := settings.imports[name]).sink in _to_stdout(settings)]
            if piped and "stdout" in closed:
                fail(f"sinks.{piped[0]} writes to stdout, which is closed: records would go nowhere", ExitCode.USAGE)
            daemon = _daemon(context)
            if daemon is not None and (ad_hoc or piped or at_most is not None or wait != WAIT):
                what = "--since, --set, --for, --wait and a sink of the type stdout need an import in the foreground"
                fail(f"{what}, and a daemon is running: stop it first", ExitCode.LOCKED)
            log_to(console, settings.daemon.log_level if settings.daemon.log_level != "info" else "warning")
            tell_warnings(settings)
            if daemon is None:
                outcome = import_now(
                    settings, chosen, full=full, allow_shrink=allow_shrink, patience=patience, console=console
                )
        if daemon is not None:
            request = RunRequest(full=full, allow_shrink=allow_shrink)
            if no_wait:
                runs, not_started = start(daemon, chosen, request, console)
                if as_json:
                    say_json(json.dumps({"runs": runs, "not_started": not_started}))
                raise typer.Exit(ExitCode.FAILED if not_started else ExitCode.DONE)
            outcome = run_and_follow(daemon, chosen, request, console)
        if as_json:
            say_json(json.dumps(outcome.report), error=bool(piped))
        else:
            print_report(outcome.report, Console(stderr=bool(piped)))
            if piped and outcome.report["state"] not in ENDED:
                text = "has another reader each time: what goes there is not resumed, but begins again"
                say(f"sinks.{piped[0]} {text}", error=True)
        raise typer.Exit(outcome.exit_code)


def _daemon(context: typer.Context) -> Asked | None:
    """The daemon that uses the state directory, if one does and takes commands."""
    from crawlerd.cli.follow import takes_commands
    from crawlerd.frontier.lock import lock_holder
    from crawlerd.service.control import Asked

    folder = state_directory(context)
    if lock_holder(folder) is None:
        return None
    daemon = Asked(folder, socket_path(context))
    return daemon if takes_commands(daemon) else None


def _ad_hoc(names: Sequence[str] | None, since: str | None, settings: Sequence[str], *, full: bool) -> AdHoc | None:
    """What the command changes of the imports for this run."""
    from crawlerd.config.ad_hoc import AdHoc, settings_of, since_of

    if since is None and not settings:
        return None
    if since is not None and full:
        fail("--full reads all there is, --since what has changed since a time; not both", ExitCode.USAGE)
    option = "--since"
    try:
        start = None if since is None else since_of(since, time.time())
        option = "--set"
        return AdHoc(names, start, settings_of(settings))
    except ValueError as error:
        fail(f"{option}: {error}", ExitCode.USAGE)


class Patience(NamedTuple):
    """How long a foreground import goes on.

    outage: seconds for which an API may not answer.
    most: seconds in all.
    """

    outage: float = 300.0
    most: float = math.inf


PATIENCE = Patience()


def _to_stdout(settings: Settings) -> set[str]:
    """The sinks that write there, where nothing else may stand then."""
    return {name for name, sink in settings.sinks.items() if sink.type == "stdout"}


def _seconds(option: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        fail(f"{option}: {error}", ExitCode.USAGE)


def import_now(
    settings: Settings,
    names: Sequence[str],
    *,
    full: bool,
    allow_shrink: bool = False,
    patience: Patience = PATIENCE,
    console: Console,
) -> Outcome:
    """Runs the imports until they have ended, are paused, or a signal comes. console: for what people read.

    A disk or sink that holds up all of them for TROUBLE_SECONDS is an error; one that holds up some is in the report.
    """
    from crawlerd.cli.report import outcome
    from crawlerd.engine.pausing import ImportPaused
    from crawlerd.service.running import running_engine, stop

    with running_engine(settings) as running:
        engine, signals = running.engine, running.signals
        try:
            started: dict[str, Started] = {}
            not_started: dict[str, str] = {}
            for name, result in engine.runs.start_imports(names, full=full, allow_shrink=allow_shrink):
                if isinstance(result, SinkError | ImportPaused) and len(names) > 1:
                    not_started[name] = str(result)
                elif isinstance(result, CrawlerdError):
                    raise result
                else:
                    started[name] = result
                if signals.received:
                    break
            options = "--since and --set are" if settings.imports[names[0]].ad_hoc else "--full is" if full else ""
            _tell_resumed([name for name, each in started.items() if each.resumed], console, options)
            stopped = _watch(running, started, patience, console)
        finally:
            if engine.dispatcher.leased and engine.failure is None:
                console.print("stopping: waiting for running requests; press Ctrl-C again to cut them off")
            stop(engine, signals)
        if engine.failure is not None:
            raise engine.failure
        if engine.store.trouble and _runs(started) <= engine.store.stuck.keys():
            raise StorageFailed(engine.store.trouble, full=True)
        cut_off = [name for name in names if name not in started and name not in not_started]
        return outcome(engine, {name: each.runs for name, each in started.items()}, not_started, cut_off, stopped)


def _tell_resumed(names: Sequence[str], console: Console, options: str) -> None:
    """options: that were given, with a verb, and change nothing of a run that has begun."""
    then = f"; {options} for new runs: repeat the command when this one has ended" if options else ""
    for name in names if len(names) <= RESUMED_SHOWN else [f"{len(names):,} imports"]:
        console.print(f"{name}: resuming what was interrupted{then}")


def _watch(running: Running, started: dict[str, Started], patience: Patience, console: Console) -> Stopped | None:
    """Returns when nothing is left to wait for, or why it does not wait for what is left.

    started: by import; an import whose run was abandoned meanwhile is started again, and replaced there.
    """
    from crawlerd.cli.live import Display
    from crawlerd.cli.report import Stopped, held_runs
    from crawlerd.frontier import open_reader

    engine, changed, signals = running
    reader = open_reader(engine.settings.daemon.state_dir)
    assert reader is not None  # noqa: S101 - the engine has it open
    left, held, waiting, trouble_since = _runs(started), dict[int, str](), dict[int, str](), None
    looked_at, look_seconds = -math.inf, 0.0
    until = time.monotonic() + patience.most
    try:
        with Display(engine, console) as display:
            while True:
                left -= set(engine.runs.ended())
                for name in [name for name, each in started.items() if engine.runs.abandoned(each.runs)]:
                    started[name] = engine.runs.start_import(name)
                    left |= {*started[name].runs}
                now = time.monotonic()
                late = now >= until
                over = signals.received or engine.failure is not None or not left or late
                if over or now >= looked_at + max(display.pause, LOOK_SHARE * look_seconds):
                    reports = reader.runs(_runs(started))
                    held = held_runs(engine, reader, reports)
                    display.show(reports, held, now)
                    down = engine.outages.without_answer(now - patience.outage)
                    waiting = held_runs(engine, reader, reports, down) if down else held
                    looked_at, look_seconds = now, time.monotonic() - now
                if late and left:
                    return Stopped.TIME
                if over or not left - held.keys():
                    return None
                if not left - waiting.keys():
                    return Stopped.OUTAGE
                workless = engine.dispatcher.without_workers()
                if workless and workless[1] > TROUBLE_SECONDS:
                    raise WorkersFailed(f"{workless[0]}; nothing is lost: when that is mended, import again")
                stuck = left - held.keys() <= engine.store.stuck.keys()
                trouble_since = (trouble_since or now) if stuck else None
                if trouble_since and now - trouble_since > TROUBLE_SECONDS:
                    return None
                changed.wait(LOOK_SECONDS)
                changed.clear()
    finally:
        reader.close()


def _runs(started: dict[str, Started]) -> set[int]:
    return {run for each in started.values() for run in each.runs}
