"""`crawlerd run`: the daemon, in the foreground; `run show`, `cancel`, `retry` and `drop`: one run of an import."""

from __future__ import annotations

import faulthandler
import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import confirm, note, tell
from crawlerd.cli.context import (
    by_daemon_or_here,
    config_path,
    daemon_of,
    existing_reader,
    read_settings,
    running_pid,
    tell_renamed,
    tell_warnings,
    writer_of,
)
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.logs import last_words, log_of_service
from crawlerd.cli.run_report import print_end, print_figures, print_streams
from crawlerd.cli.tables import duration, local_time
from crawlerd.cli.terminal import say
from crawlerd.core.errors import ConfigurationError
from crawlerd.core.redaction import shown
from crawlerd.core.row_numbers import GREATEST
from crawlerd.core.wording import counted, plain_error

if TYPE_CHECKING:
    from crawlerd.operations.run_acts import Dropped, DropRequest, RunRetried
    from crawlerd.operations.run_history import Cancelled, CancelRequest, RunDetail


run = typer.Typer(
    help="Run the daemon; or show, cancel, retry or drop one run of an import.", invoke_without_command=True
)
Number = Annotated[
    int, typer.Argument(metavar="ID", help="The run's number.", min=1, max=GREATEST, autocompletion=completion.runs)
]


@run.callback()
def daemon(context: typer.Context) -> None:
    """Run the daemon in the foreground: due imports, /metrics, /healthz, /readyz. With a subcommand, it acts on one
    run."""
    if context.invoked_subcommand:
        return
    from crawlerd.service import daemon

    # until the daemon sets its own handler: by default it kills the process without a drain
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    faulthandler.register(signal.SIGUSR1)
    log_of_service("info")  # until the configuration is read
    with exit_codes(last_words):
        path = config_path(context)
        settings = read_settings(path)
        for spec in settings.imports.values():
            if spec.sink is not None and settings.sinks[spec.sink].type == "stdout":
                problem = (
                    f"imports.{spec.name}.sink: sinks.{spec.sink} writes to stdout, which a daemon cannot use; "
                    "give the import another sink, or a separate configuration for `crawlerd import`"
                )
                raise ConfigurationError([problem])
        log_of_service(settings.daemon.log_level, settings.daemon.log_format)
        tell_warnings(settings)
        tell_renamed(settings)
        daemon.run(settings, path)


@run.command()
def show(context: typer.Context, number: Number) -> None:
    """Show a run: what it imported by stream, what it waits for, and its first dead letters."""
    from crawlerd.operations.run_history import RunDetail, detail
    from crawlerd.service.control import ask

    with exit_codes():
        daemon = daemon_of(context)
        running = running_pid(daemon.state_dir) is not None
        found = ask(daemon, "GET", f"runs/{number}", RunDetail) if running else None
        with existing_reader(daemon.state_dir) as reader:
            found = found or detail(reader, None, number, time.time())
        tell(found, _print)


@run.command()
def cancel(
    context: typer.Context,
    number: Number,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
) -> None:
    """Cancel a run that is under way: its queued tasks are dropped, and none of its sync points is published."""
    from crawlerd.operations.run_history import CancelRequest

    with exit_codes():
        done = _cancel(context, number, CancelRequest(reason=reason))
        late = f"; {done.requests:,} requests were under way, and may still take effect at the API" * bool(
            done.requests
        )
        confirm(done, f"run {number} is cancelled{late}")


def _cancel(context: typer.Context, number: int, request: CancelRequest) -> Cancelled:
    from crawlerd.operations.run_history import Cancelled, cancel_act, not_running

    daemon = daemon_of(context)

    def here(by: str, now: float) -> Cancelled:
        with existing_reader(daemon.state_dir) as reader, writer_of(daemon.state_dir) as frontier:
            if not frontier.cancel_run(number, cancel_act(number, request, by, now)):
                raise not_running(reader, number)
        return Cancelled(requests=0)

    return by_daemon_or_here(daemon, "POST", f"runs/{number}/cancel", Cancelled, request, here)


@run.command()
def retry(context: typer.Context, number: Number) -> None:
    """Make all dead letters of a run ready again, with all their attempts. A running daemon does it; otherwise this
    command."""
    from crawlerd.operations.run_acts import RunRetried

    with exit_codes():
        count, left = 0, True
        while left:
            done = _retry(context, number)
            # letters that follow a group come back only after others of the group
            count, left = count + done.retried, done.left and done.retried > 0
        letters = counted(count, "dead letter")
        are = "is" if count == 1 else "are"
        confirm(RunRetried(retried=count, left=False), f"{letters} of run {number} {are} ready again")


@run.command()
def drop(
    context: typer.Context,
    number: Number,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
) -> None:
    """Forget a run with its queued tasks and dead letters. The run must be interrupted, or its import no longer
    configured. Records that it has written stay in the sink."""
    from crawlerd.operations.run_acts import DropRequest

    with exit_codes():
        done = _drop(context, number, DropRequest(reason=reason))
        confirm(done, f"run {number} is forgotten; the audit has who did it and why")


def _retry(context: typer.Context, number: int) -> RunRetried:
    from crawlerd.operations.run_acts import RunRetried, are_left, letters_of, retry_act

    daemon = daemon_of(context)

    def here(by: str, now: float) -> RunRetried:
        with existing_reader(daemon.state_dir) as reader:
            numbers = letters_of(reader, number)
        with writer_of(daemon.state_dir) as frontier:
            count, imports = frontier.retry_dead(numbers, retry_act(number, numbers, by, now))
        left = are_left(numbers)
        if imports and not left:
            note(f"run `crawlerd import {' '.join(imports)}` to perform them")
        return RunRetried(retried=count, left=left)

    return by_daemon_or_here(daemon, "POST", f"runs/{number}/retry", RunRetried, None, here)


def _drop(context: typer.Context, number: int, request: DropRequest) -> Dropped:
    from crawlerd.operations.run_acts import Dropped, check_drop, drop_act, dropped_already

    daemon = daemon_of(context)

    def here(by: str, now: float) -> Dropped:
        act = drop_act(number, request, by, now)
        settings = read_settings(config_path(context), secrets=False)
        with existing_reader(daemon.state_dir) as reader:
            check_drop(reader, number, settings.imports, under_way=False)
        with writer_of(daemon.state_dir) as frontier:
            if not frontier.cancel_run(number, act, forget=True):
                raise dropped_already(number)
            while frontier.chores:  # what is left undone here, the next daemon does; until then the run is still listed
                frontier.commit([], now=time.time())
        return Dropped(run=number)

    return by_daemon_or_here(daemon, "POST", f"runs/{number}/drop", Dropped, request, here)


def _print(found: RunDetail) -> None:
    run = found.run
    took = duration((run.ended_at or time.time()) - run.started_at)
    began = ", begun by the schedule" if run.began == "schedule" else f", begun {run.began}" if run.began else ""
    say(f"run {run.id} of import {run.import_name} (account {run.account}): {run.state}{began}")
    say(f"  started {local_time(run.started_at)}, took {took}" + (", so far" if run.ended_at is None else ""))
    if run.full or run.full_reason:
        say(shown(f"  {'full' if run.full else 'full in part'}" + (f": {run.full_reason}" if run.full_reason else "")))
    part = run.part and f"only the streams {run.part}"
    for text in (part, run.ad_hoc and f"ad hoc: {run.ad_hoc}", run.ended_reason and f"cancelled: {run.ended_reason}"):
        if text:
            say(shown(f"  {text}"))
    say(
        f"  tasks: {run.done:,} done, {run.ready:,} ready, {run.delayed:,} delayed, {run.waiting:,} waiting, "
        f"{run.dead:,} dead; {run.retried:,} retried, {run.throttled:,} throttled"
    )
    if run.ended_at is None:
        print_end(found.end)
    else:
        say(f"  {'complete' if run.complete else 'not complete'}")
    for sentence in found.waits.sentences[1:]:
        say(shown(f"  {sentence}"))
    print_streams(found.streams)
    print_figures(found.figures, found.share)
    for doubt in run.doubts:
        say(shown(f"in doubt: {doubt.stream} of {doubt.account}: {doubt.seen:,} seen, before {doubt.before:,}"))
    for letter in found.letters:
        say(shown(f"dead letter {letter.id}: {plain_error(letter.error)}"))
