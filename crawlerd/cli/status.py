"""`crawlerd status`: runs, accounts and queued tasks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crawlerd.cli.context import reader_of, socket_path, state_directory
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.tables import local_time, print_columns
from crawlerd.cli.terminal import say, say_json
from crawlerd.core.errors import CrawlerdError
from crawlerd.core.redaction import shown as readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from crawlerd.frontier.reports import AccountReport, OutageReport, Overview, RunReport

SHOWN = 16  # runs under way, imports, and accounts


def status(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Show runs, accounts and queued tasks, whether the daemon runs or not."""
    import msgspec

    from crawlerd.frontier.lock import lock_holder
    from crawlerd.frontier.reports import Status
    from crawlerd.service.control import NO_ANSWER, ask_trouble

    with exit_codes():
        folder = state_directory(context)
        pid = lock_holder(folder)
        trouble = ask_trouble(folder, socket_path(context)) if pid else None
        with reader_of(folder) as reader:
            if as_json:
                found = reader.status() if reader else None
                streams = {run.id: reader.streams(run.id) for run in found.runs} if reader and found else {}
            else:
                overview = reader.overview(SHOWN, time.time()) if reader else None
        if as_json:
            nothing = Status(ready=0, delayed=0, waiting=0, dead=0, runs=[], accounts=[])
            report: dict[str, Any] = msgspec.to_builtins(found or nothing)
            for run in report["runs"]:
                run["streams"] = msgspec.to_builtins(streams[run["id"]])
            say_json(msgspec.json.encode({"pid": pid, "trouble": trouble, **report}))
            return
        say(f"crawlerd {'is running (pid ' + str(pid) + ')' if pid else 'is not running'}; state in {folder}")
        if trouble:
            say(f"held up: {trouble}")
        if overview is None:
            say("nothing has been imported yet")
        else:
            answers = pid and trouble != NO_ANSWER
            waits = _waits(folder, socket_path(context), overview.running) if answers else {}
            _print(overview, waits, running=pid is not None)


def _waits(folder: Path, configured: Path | None, runs: Sequence[RunReport]) -> dict[int, str]:
    """What the runs wait for, by number, as the daemon says; those alone that it can tell of."""
    from crawlerd.operations.why import Why
    from crawlerd.service.control import Asked, ask

    found: dict[int, str] = {}
    for run in runs:
        try:
            told = ask(Asked(folder, configured), "GET", f"why/run/{run.id}", Why)
        except CrawlerdError:  # a daemon that is busy, or of another version
            return found
        if told is None:  # nobody to ask, as beside an import in the foreground
            return {}
        if told.waits:
            first = told.waits[0]
            until = f" until {local_time(first.until)}" if first.until and first.until > time.time() else ""
            found[run.id] = f"{first.reason}{until}"
    return found


def _print(found: Overview, waits: Mapping[int, str], *, running: bool) -> None:
    """What needs a look first. waits: what runs under way wait for. running: a crawlerd works on it."""
    waiting = f"{found.waiting:,} waiting, " if found.waiting else ""
    say(f"tasks: {found.ready:,} ready, {found.delayed:,} delayed, {waiting}{found.dead:,} dead")
    for outage in found.outages[:SHOWN]:
        say(_outage(outage))
    for note in found.pauses[:SHOWN]:
        end = f" until {local_time(note.until)}" if note.until else ""
        say(readable(f"{note.text}, since {local_time(note.since)}{end}"))
    shown = [*found.running, *found.latest]
    for run in shown:
        if run.ended_reason:
            say(f"run {run.id} was cancelled: {run.ended_reason}")
        if run.ad_hoc:
            say(f"run {run.id} is an ad hoc one: {run.ad_hoc}")
    for run in found.latest:
        for doubt in run.doubts if not run.ad_hoc else ():
            say(f"in doubt: {doubt.stream} of import {run.import_name}: {doubt.seen:,} seen, before {doubt.before:,}")
    if shown:
        _print_runs(shown, waits, running=running)
    if found.running_count > len(found.running):
        say(f"and {found.running_count - len(found.running):,} more runs under way")
    if found.imports is None or found.imports > len(found.latest):
        rest = "more" if found.imports is None else f"{found.imports - len(found.latest):,} more"
        say(f"and {rest} imports that are not under way: see `crawlerd why NAME`")
    rows = [(each.name, each.source, f"{each.ready:,}", _state(each)) for each in found.accounts]
    print_columns([("account", "source", "ready", "state"), *rows])
    if found.account_count > len(found.accounts):
        say(
            f"{found.account_count:,} accounts: {found.refused_count:,} refused, {found.throttled_count:,} throttled, "
            "at least in part; these come first"
        )


def _print_runs(runs: Sequence[RunReport], waits: Mapping[int, str], *, running: bool) -> None:
    head = ("run", "import", "state", "started", "done", "open", "dead", "retried", "throttled", "records")
    rows = [(*head, "waits for" if waits else "")]
    rows += [
        (
            str(run.id),
            run.import_name,
            run.state if running or run.state != "running" else "interrupted",
            local_time(run.started_at),
            f"{run.done:,}",
            f"{run.ready + run.delayed + run.waiting:,}",
            f"{run.dead:,}",
            f"{run.retried:,}",
            f"{run.throttled:,}",
            f"{run.records:,}",
            waits.get(run.id, ""),
        )
        for run in runs
    ]
    print_columns(rows)


def _outage(outage: OutageReport) -> str:
    who = outage.origin if outage.account is None else f"{outage.origin} (account {outage.account})"
    since, next_at = local_time(outage.since), local_time(max(outage.next_at, time.time()))
    return f"down: {who} since {since}, next try {next_at}: {outage.error}"


def _state(account: AccountReport) -> str:
    if account.refused:
        return f"refused: {account.refused}"
    if account.blocked_until > time.time():
        return f"throttled, at least in part, until {local_time(account.blocked_until)}"
    return "active"
