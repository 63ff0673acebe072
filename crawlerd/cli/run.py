"""`crawlerd run`: the daemon, in the foreground; and `run show`, `run cancel`: one run of an import."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli.context import (
    config_path,
    read_settings,
    reader_of,
    socket_path,
    state_directory,
    tell_warnings,
    writer_of,
)
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.logs import log_of_service
from crawlerd.cli.tables import duration, local_time, print_columns
from crawlerd.cli.terminal import say, say_json
from crawlerd.core.errors import ConfigurationError
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from crawlerd.operations.run_history import Cancelled, CancelRequest, RunDetail

GREATEST = 2**63 - 1  # number that a database holds

run = typer.Typer(help="Run the daemon; or look at one run of an import.", invoke_without_command=True)
Number = Annotated[int, typer.Argument(metavar="ID", help="The run's number.", min=1, max=GREATEST)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@run.callback()
def daemon(context: typer.Context) -> None:
    """Run the daemon in the foreground: due imports, /metrics, /healthz, /readyz. With a word after it: one run."""
    if context.invoked_subcommand:
        return
    from crawlerd.service import daemon

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the daemon has its own way: it would kill without a drain
    faulthandler.register(signal.SIGUSR1)
    with exit_codes():
        settings = read_settings(config_path(context))
        for spec in settings.imports.values():
            if spec.sink is not None and settings.sinks[spec.sink].type == "stdout":
                problem = (
                    f"imports.{spec.name}.sink: sinks.{spec.sink} writes to stdout, which nobody reads of a daemon; "
                    "give the import another sink, or a configuration of its own for `crawlerd import`"
                )
                raise ConfigurationError([problem])
        log_of_service(settings.daemon.log_level)
        tell_warnings(settings)
        daemon.run(settings)


@run.command()
def show(context: typer.Context, number: Number, as_json: Json = False) -> None:
    """Show what a run brought, by stream, what it waits for, and its first dead letters."""
    import msgspec

    from crawlerd.frontier.lock import lock_holder
    from crawlerd.operations.run_history import RunDetail, detail
    from crawlerd.service.control import Asked, ask

    with exit_codes():
        folder = state_directory(context)
        running = lock_holder(folder) is not None
        found = ask(Asked(folder, socket_path(context)), "GET", f"runs/{number}", RunDetail) if running else None
        with reader_of(folder) as reader:
            if reader is None:
                fail("nothing has been imported yet", ExitCode.FAILED)
            found = found or detail(reader, None, number, time.time())
        if as_json:
            say_json(msgspec.json.encode(found))
        else:
            _print(found)


@run.command()
def cancel(
    context: typer.Context,
    number: Number,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it later.")],
    as_json: Json = False,
) -> None:
    """End a run that is under way: what it has queued is dropped, and none of its sync points is published."""
    import msgspec

    from crawlerd.operations.run_history import CancelRequest

    with exit_codes():
        done = _cancel(context, number, CancelRequest(reason=reason))
        if as_json:
            say_json(msgspec.json.encode(done))
            return
        late = f"; {done.requests:,} requests were under way, and may still take effect at the API" * bool(
            done.requests
        )
        say(f"run {number} is cancelled{late}")


def _cancel(context: typer.Context, number: int, request: CancelRequest) -> Cancelled:
    from crawlerd.frontier.lock import lock_holder
    from crawlerd.operations.run_history import Cancelled, cancel_act, not_running
    from crawlerd.service.control import Asked, must_ask, user_name

    folder = state_directory(context)
    if lock_holder(folder) is not None:
        return must_ask(Asked(folder, socket_path(context)), "POST", f"runs/{number}/cancel", Cancelled, request)
    act = cancel_act(number, request, user_name(os.getuid()), time.time())
    with reader_of(folder) as reader:
        if reader is None:
            fail("nothing has been imported yet", ExitCode.FAILED)
        with writer_of(folder) as frontier:
            if not frontier.cancel_run(number, act):
                raise not_running(reader, number)
    return Cancelled(requests=0)


def _print(found: RunDetail) -> None:
    run = found.run
    took = duration((run.ended_at or time.time()) - run.started_at)
    began = ", begun by the schedule" if run.began == "schedule" else f", begun {run.began}" if run.began else ""
    say(f"run {run.id} of import {run.import_name} (account {run.account}): {run.state}{began}")
    say(f"  started {local_time(run.started_at)}, took {took}" + (", so far" if run.ended_at is None else ""))
    if run.full or run.full_reason:
        say(shown(f"  {'full' if run.full else 'full in part'}" + (f": {run.full_reason}" if run.full_reason else "")))
    for text in (run.ad_hoc and f"ad hoc: {run.ad_hoc}", run.ended_reason and f"cancelled: {run.ended_reason}"):
        if text:
            say(shown(f"  {text}"))
    say(
        f"  tasks: {run.done:,} done, {run.ready:,} ready, {run.delayed:,} delayed, {run.waiting:,} waiting, "
        f"{run.dead:,} dead; {run.retried:,} retried, {run.throttled:,} throttled"
    )
    if run.ended_at is not None:
        say(f"  {'complete' if run.complete else 'not complete'}")
    for sentence in found.waits.sentences[1:]:
        say(shown(f"  {sentence}"))
    if found.streams:
        columns = ("seen", "new", "changed", "unchanged", "tombstoned", "skipped", "dead")
        rows: list[tuple[str, ...]] = [("stream", *columns, "seen before", "")]
        for each in found.streams:
            counts = [f"{getattr(each.facts, column):,}" for column in columns]
            note = "denied" if each.facts.denied else each.facts.reason or each.facts.note or ""
            rows.append((each.stream, *counts, "" if each.before is None else f"{each.before:,}", note))
        print_columns(rows)
    for doubt in run.doubts:
        say(shown(f"in doubt: {doubt.stream} of {doubt.account}: {doubt.seen:,} seen, before {doubt.before:,}"))
    for letter in found.letters:
        say(shown(f"dead letter {letter.id}: {letter.error}"))
