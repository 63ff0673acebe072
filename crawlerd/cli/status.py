"""`crawlerd status`: runs, accounts and queued tasks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crawlerd.cli.context import reader_of, state_directory
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.tables import local_time, print_columns

if TYPE_CHECKING:
    from crawlerd.frontier.reports import AccountReport, OutageReport, Status


def status(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Show runs, accounts and queued tasks, whether the daemon runs or not."""
    import msgspec

    from crawlerd.frontier.lock import lock_holder
    from crawlerd.frontier.reports import Status

    with exit_codes():
        folder = state_directory(context)
        pid = lock_holder(folder)
        with reader_of(folder) as reader:
            found = reader.status() if reader else None
            streams = {run.id: reader.streams(run.id) for run in found.runs} if reader and found and as_json else {}
        if as_json:
            nothing = Status(ready=0, delayed=0, waiting=0, dead=0, runs=[], accounts=[])
            report: dict[str, Any] = msgspec.to_builtins(found or nothing)
            for run in report["runs"]:
                run["streams"] = msgspec.to_builtins(streams[run["id"]])
            typer.echo(msgspec.json.encode({"pid": pid, **report}))
            return
        typer.echo(f"crawlerd {'is running (pid ' + str(pid) + ')' if pid else 'is not running'}; state in {folder}")
        if found is None:
            typer.echo("nothing has been imported yet")
        else:
            _print_status(found)


def _print_status(found: Status) -> None:
    waiting = f"{found.waiting:,} waiting, " if found.waiting else ""
    typer.echo(f"tasks: {found.ready:,} ready, {found.delayed:,} delayed, {waiting}{found.dead:,} dead")
    rows = [("run", "import", "state", "started", "done", "open", "dead", "retried", "throttled", "records")]
    rows += [
        (
            str(run.id),
            run.import_name,
            run.state,
            local_time(run.started_at),
            f"{run.done:,}",
            f"{run.ready + run.delayed + run.waiting:,}",
            f"{run.dead:,}",
            f"{run.retried:,}",
            f"{run.throttled:,}",
            f"{run.records:,}",
        )
        for run in found.runs[:20]
    ]
    print_columns(rows)
    for run in found.runs[:20]:
        if run.ended_reason:
            typer.echo(f"run {run.id} was cancelled: {run.ended_reason}")
    doubts = {run.import_name: run.doubts for run in reversed(found.runs)}  # of each import's newest run
    for name, each in doubts.items():
        for doubt in each:
            typer.echo(f"in doubt: {doubt.stream} of import {name}: {doubt.seen:,} seen, before {doubt.before:,}")
    for outage in found.outages:
        typer.echo(_outage(outage))
    print_columns(
        [
            ("account", "source", "ready", "state"),
            *((each.name, each.source, f"{each.ready:,}", _state(each)) for each in found.accounts),
        ]
    )


def _outage(outage: OutageReport) -> str:
    who = outage.origin if outage.account is None else f"{outage.origin} (account {outage.account})"
    since, next_at = local_time(outage.since), local_time(max(outage.next_at, time.time()))
    return f"down: {who} since {since}, next try {next_at}: {outage.error}"


def _state(account: AccountReport) -> str:
    if account.paused:
        return f"paused: {account.paused}"
    if account.blocked_until > time.time():
        return f"throttled, at least in part, until {local_time(account.blocked_until)}"
    return "active"
