"""`crawlerd import`: runs imports in the foreground until they end or are paused, or a signal comes."""

from __future__ import annotations

import math
import sys
import time
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import print_json
from crawlerd.cli.context import config_path, daemon_of, read_settings, running_pid, tell_renamed, tell_warnings
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.logs import log_to
from crawlerd.cli.modes import modes
from crawlerd.cli.terminal import closed, say
from crawlerd.core.durations import parse_duration
from crawlerd.core.errors import ConfigurationError, DaemonUnavailable
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from crawlerd.cli.report import Outcome
    from crawlerd.config.ad_hoc import AdHoc
    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import ImportSpec
    from crawlerd.engine.starting import Started
    from crawlerd.operations.run_history import RunRequest
    from crawlerd.service.control import Asked
    from crawlerd.service.foreground import Patience

WAIT = "5m"  # default of --wait, for an API that does not answer
ENDED = ("completed", "not complete", "completed with dead letters")  # states in which no work is left
RESUMED_SHOWN = 10  # imports that each get a line of their own


def import_(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Imports to run.", autocompletion=completion.imports)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run every configured import.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Import everything, not only what has changed.")] = False,
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Accept that a full run sees far fewer records than the last one.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Read what has changed since this time; sync points are ignored."),
    ] = None,
    streams: Annotated[
        list[str] | None,
        typer.Option(
            "--stream",
            metavar="STREAM",
            help="With --full, --since or --sample: only this stream.",
            autocompletion=completion.streams,
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(metavar="COUNT", min=1, max=10_000, help="Read only the first COUNT records of each stream."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the requests, time and quota that it would take, and start nothing.")
    ] = False,
    settings_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the imports for this run."),
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="Stop when an API has not answered for this long.")
    ] = WAIT,
    at_most: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="Stop after this time; the next start resumes the run."),
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="If a daemon runs: start the run there and do not wait for its end.")
    ] = False,
) -> None:
    """Run imports to their end in the foreground; an interrupted run is resumed.

    If a daemon runs, it is asked for the run, and this command follows it: Ctrl-C then ends the following, not the run.

    With a sink of the type stdout, records go to stdout, and the report to stderr. A run with --since, --sample or
    --set is an ad hoc run: it publishes no sync points and writes no tombstones.

    Exit codes: 0 complete, 3 ended but not complete (or stopped by --for), 1 failed, 69 an API does not answer, 130
    interrupted, 141 stdout has no reader any more.
    """
    from rich.console import Console

    from crawlerd.cli.plan import tell_plans
    from crawlerd.config.problems import instead
    from crawlerd.service.foreground import Patience

    console = Console(stderr=True, quiet=modes.quiet)
    with exit_codes():
        patience = Patience(_seconds("--wait", wait), math.inf if at_most is None else _seconds("--for", at_most))
        with redirect_stdout(sys.stderr):  # a source may print when it is imported and when a run begins
            request = _request(full, allow_shrink, streams or (), since, sample)
            ad_hoc = _ad_hoc(None if everything else names or (), settings_ or ())
            daemon = _daemon(context)
            # only the user that sends requests needs the keys, and may be the only one who can read them
            alone = daemon is None and not plan
            try:
                settings = read_settings(config_path(context), secrets=alone, ad_hoc=ad_hoc)
            except ConfigurationError as error:
                foreground = plan or ad_hoc or at_most is not None or wait != WAIT
                if daemon is None or foreground or everything or not names:
                    raise
                _tell_wrong(error, console)
                _ask_and_end(daemon, list(dict.fromkeys(names)), request, console, no_wait=no_wait)
            chosen = list(settings.imports) if everything else list(dict.fromkeys(names or ()))
            if everything and names:
                fail("specify the imports to run, or use --all; not both", ExitCode.USAGE)
            if not chosen:
                known = ", ".join(settings.imports) or "no import is configured"
                fail(f"specify the imports to run, or use --all ({known})", ExitCode.USAGE)
            for name in [each for each in chosen if each not in settings.imports]:
                known = instead(name, settings.imports)
                fail(f"there is no [imports.{name}] in {config_path(context)}; {known}", ExitCode.USAGE)
            specs = {name: _spec(settings, name, request) for name in chosen} if request.changes else None
        if plan:
            tell_plans(settings, chosen, request)
            return
        with redirect_stdout(sys.stderr):
            piped = [spec.sink for name in chosen if (spec := settings.imports[name]).sink in _to_stdout(settings)]
            if piped and "stdout" in closed:
                fail(f"sinks.{piped[0]} writes to stdout, which is closed: records would go nowhere", ExitCode.USAGE)
            modes.records = bool(piped)
            if daemon is not None and (ad_hoc or piped or at_most is not None or wait != WAIT):
                what = "--set, --for, --wait and a sink of the type stdout need an import in the foreground"
                fail(f"{what}, and a daemon is running: stop it first", ExitCode.LOCKED)
            if daemon is None and no_wait:
                used = settings.daemon.state_dir
                raise DaemonUnavailable(
                    f"--no-wait needs a running daemon, and none uses {used}: start it with `crawlerd run`"
                )
            _log(console, settings)
            tell_warnings(settings)
            tell_renamed(settings)
            if daemon is None:
                outcome = import_now(settings, chosen, request, specs, patience=patience, console=console)
        if daemon is not None:
            _ask_and_end(daemon, chosen, request, console, no_wait=no_wait)
        _tell(outcome, bool(piped))
        if piped and not modes.machine and outcome.report["state"] not in ENDED:
            text = "cannot resume, since its reader changes each time: the next import writes everything again"
            say(f"sinks.{piped[0]} {text}", error=True)
        raise typer.Exit(outcome.exit_code)


def _tell_wrong(error: ConfigurationError, console: Console) -> None:
    """Prints that the file is wrong. The daemon still uses the valid configuration that it has read before."""
    more = f" and {len(error.problems) - 1:,} more" if len(error.problems) > 1 else ""
    text = f"the configuration file is wrong, so the one that the daemon has loaded is used: {error.problems[0]}{more}"
    console.print(shown(text), highlight=False, markup=False, soft_wrap=True)


def _ask_and_end(
    daemon: Asked, names: Sequence[str], request: RunRequest, console: Console, *, no_wait: bool
) -> NoReturn:
    """Asks the daemon for the runs and, unless `no_wait`, follows them to their end."""
    from crawlerd.cli.follow import run_and_follow, start
    from crawlerd.cli.results import AskedFor

    if no_wait:
        runs, not_started = start(daemon, names, request, console)
        if modes.machine:
            print_json(AskedFor(runs=runs, not_started=not_started))
        raise typer.Exit(ExitCode.FAILED if not_started else ExitCode.DONE)
    outcome = run_and_follow(daemon, names, request, console)
    _tell(outcome, piped=False)
    raise typer.Exit(outcome.exit_code)


def _tell(outcome: Outcome, piped: bool) -> None:
    """piped: records go to stdout."""
    from rich.console import Console

    from crawlerd.cli.report_text import print_report

    if modes.machine:
        print_json(outcome.report)
    else:
        print_report(outcome.report, Console(stderr=piped))


def _log(console: Console, settings: Settings) -> None:
    """Logs warnings above the display; with --quiet, only errors."""
    from rich.console import Console

    level, form = settings.daemon.log_level, settings.daemon.log_format
    if modes.quiet:
        log_to(Console(stderr=True), "error", form)
    else:
        log_to(console, level if level != "info" else "warning", form)


def _daemon(context: typer.Context) -> Asked | None:
    """The daemon that uses the state directory and takes commands; None if there is none."""
    from crawlerd.service.following import takes_commands

    daemon = daemon_of(context)
    if running_pid(daemon.state_dir) is None:
        return None
    return daemon if takes_commands(daemon) else None


def _ad_hoc(names: Sequence[str] | None, settings: Sequence[str]) -> AdHoc | None:
    """The settings that the command changes for this run; None for no change."""
    from crawlerd.config.ad_hoc import AdHoc, settings_of

    try:
        return AdHoc(names, settings_of(settings)) if settings else None
    except ValueError as error:
        fail(f"--set: {error}", ExitCode.USAGE)


def _request(
    full: bool, allow_shrink: bool, streams: Sequence[str], since: str | None, sample: int | None
) -> RunRequest:
    from crawlerd.config.ad_hoc import since_of
    from crawlerd.operations.run_history import RunRequest

    if since is not None and full:
        fail("--full reads everything, --since what has changed since a time: use one, not both", ExitCode.USAGE)
    if streams and not full and since is None and sample is None:
        fail("--stream needs --full, --since or --sample", ExitCode.USAGE)
    try:
        start = None if since is None else since_of(since, time.time())
    except ValueError as error:
        fail(f"--since: {error}", ExitCode.USAGE)
    return RunRequest(full=full, allow_shrink=allow_shrink, streams=list(streams), since=start, sample=sample)


def _spec(settings: Settings, name: str, request: RunRequest) -> ImportSpec:
    from crawlerd.config.ad_hoc import for_run

    return for_run(settings, name, streams=request.streams, since=request.since, sample=request.sample)


def _to_stdout(settings: Settings) -> set[str]:
    """The sinks that write to stdout; nothing else may be written there."""
    return {name for name, sink in settings.sinks.items() if sink.type == "stdout"}


def _seconds(option: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        fail(f"{option}: {error}", ExitCode.USAGE)


def import_now(
    settings: Settings,
    names: Sequence[str],
    request: RunRequest,
    specs: Mapping[str, ImportSpec] | None = None,
    *,
    patience: Patience | None = None,
    console: Console,
) -> Outcome:
    """Runs the imports until they end or are paused, or a signal comes, see `crawlerd.service.foreground`.

    console: for the text that people read.
    """
    from crawlerd.cli.live import Display
    from crawlerd.cli.report import outcome
    from crawlerd.service.foreground import Patience, run_to_end
    from crawlerd.service.running import running_engine

    if modes.shows_progress:
        console.print(f"importing {_of(names)}", highlight=False, markup=False, soft_wrap=True)
    changed = request.changes or settings.imports[names[0]].ad_hoc
    options = "these options are" if changed else "--full is" if request.full else ""

    def tell_started(started: Mapping[str, Started]) -> None:
        _tell_resumed([name for name, each in started.items() if each.resumed], console, options)

    with running_engine(settings) as running:
        report = run_to_end(
            running,
            names,
            request,
            specs,
            patience=patience or Patience(),
            tell_started=tell_started,
            watching=lambda engine: Display(engine, console),
            say=console.print,
        )
        return outcome(report)


def _tell_resumed(names: Sequence[str], console: Console, options: str) -> None:
    """Prints that runs are resumed.

    options: the given options and a verb; they apply only to new runs.
    """
    then = f"; {options} for new runs: repeat the command when this one has ended" if options else ""
    for name in names if len(names) <= RESUMED_SHOWN else [_of(names)]:
        console.print(f"{name}: resuming the interrupted run{then}")


def _of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names):,} imports"
