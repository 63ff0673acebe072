"""`crawlerd status`, `crawlerd dead …`, `crawlerd frontier …`: what is in the frontier, and what can be done to it."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crawlerd.cli.context import reader_of, state_directory
from crawlerd.cli.exits import EXIT_FAILED, EXIT_USAGE, exit_codes, fail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crawlerd.frontier.reports import AccountReport, Status

dead = typer.Typer(help="Dead letters: tasks that are not retried by themselves.", no_args_is_help=True)
frontier = typer.Typer(help="The database of runs and tasks.", no_args_is_help=True)


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
            streams = reader.streams_many(run.id for run in found.runs) if reader and found and as_json else {}
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
            _local(run.started_at),
            f"{run.done:,}",
            f"{run.ready + run.delayed + run.waiting:,}",
            f"{run.dead:,}",
            f"{run.retried:,}",
            f"{run.throttled:,}",
            f"{run.records:,}",
        )
        for run in found.runs[:20]
    ]
    _print_columns(rows)
    for run in found.runs[:20]:
        if run.ended_reason:
            typer.echo(f"run {run.id} was cancelled: {run.ended_reason}")
    doubts = {run.import_name: run.doubts for run in reversed(found.runs)}  # of each import's newest run
    for name, each in doubts.items():
        for doubt in each:
            typer.echo(f"in doubt: {doubt.stream} of import {name}: {doubt.seen:,} seen, before {doubt.before:,}")
    _print_columns(
        [
            ("account", "source", "ready", "state"),
            *((each.name, each.source, f"{each.ready:,}", _state(each)) for each in found.accounts),
        ]
    )


def _state(account: AccountReport) -> str:
    if account.paused:
        return f"paused: {account.paused}"
    if account.blocked_until > time.time():
        return f"throttled, at least in part, until {_local(account.blocked_until)}"
    return "active"


def _print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    typer.echo()
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _local(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


@dead.command(name="list")
def dead_list(
    context: typer.Context,
    import_name: Annotated[str | None, typer.Option("--import", help="Only those of one import.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 100,
    after: Annotated[int, typer.Option(help="Only those behind this id.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List dead letters with their reasons."""
    import msgspec

    with exit_codes(), reader_of(state_directory(context)) as reader:
        letters = reader.dead_letters(import_name=import_name, after=after, limit=limit) if reader else []
        if as_json:
            typer.echo(msgspec.json.encode(letters))
        elif not letters:
            typer.echo("no dead letters")
        else:
            _print_columns(
                [("id", "import", "stream", "attempts", "at", "error")]
                + [
                    (str(each.id), each.import_name, each.stream, str(each.attempts), _local(each.at), each.error[:100])
                    for each in letters
                ]
            )
            if len(letters) == limit:
                typer.echo(f"there may be more: --after {letters[-1].id}")


@dead.command(name="show")
def dead_show(context: typer.Context, number: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """Show one dead letter, whole, as JSON."""
    import msgspec

    with exit_codes(), reader_of(state_directory(context)) as reader:
        letter = reader.dead_letter(number) if reader else None
        if letter is None:
            fail(f"there is no dead letter {number}", EXIT_FAILED)
        typer.echo(msgspec.json.format(msgspec.json.encode(letter), indent=2))


@dead.command(name="retry")
def dead_retry(
    context: typer.Context,
    numbers: Annotated[list[int] | None, typer.Argument(metavar="[ID]...")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
) -> None:
    """Make dead letters ready again, with all their attempts."""
    if bool(numbers) == everything:
        fail("name the dead letters to retry, or say --all", EXIT_USAGE)
    with exit_codes():
        folder = state_directory(context)
        groups = _all_dead(folder) if everything else [_known_dead(folder, numbers or ())]
        count = sum(_retry(folder, group) for group in groups if group)
        typer.echo(f"{count:,} dead letters are ready again")
        if not count and numbers:
            raise typer.Exit(EXIT_FAILED)


def _known_dead(folder: Path, numbers: Sequence[int]) -> list[int]:
    """Those of the numbers that are dead letters'; the others are named."""
    with reader_of(folder) as reader:
        known = reader.known_dead(numbers) if reader else []
    for number in set(numbers).difference(known):
        typer.echo(f"crawlerd: there is no dead letter {number}", err=True)
    return known


def _all_dead(folder: Path) -> Iterator[list[int]]:
    after = 0
    while True:
        with reader_of(folder) as reader:
            letters = reader.dead_letters(after=after, limit=10_000) if reader else []
        if not letters:
            return
        yield [each.id for each in letters]
        after = letters[-1].id


def _retry(folder: Path, numbers: list[int]) -> int:
    """Through the daemon if one runs, else in the frontier itself."""
    from crawlerd.frontier.lock import StateLock, lock_holder

    if lock_holder(folder) is not None:
        from crawlerd.service.http import ask_daemon

        return ask_daemon(folder, numbers)
    from crawlerd.frontier import open_frontier

    with StateLock(folder):
        frontier = open_frontier(folder, now=time.time())
        try:
            count, imports = frontier.retry_dead(numbers)
        finally:
            frontier.close()
    if imports:
        typer.echo(f"run `crawlerd import {' '.join(imports)}` to perform them")
    return count


@frontier.command(name="check")
def frontier_check(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="A backup, instead of what is in use.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Compare the indexes with their tables as well.")] = False,
) -> None:
    """Check that the file is sound, each task in one place, and every counter right.

    Exit codes: 0 all of it holds, 1 what does not is printed.
    """
    from crawlerd.frontier import check, check_file

    with exit_codes():
        name, broken = check_file(file, full=full) if file else check(state_directory(context), full=full)
        typer.echo("\n".join(broken) or f"{name}: every invariant holds")
        raise typer.Exit(EXIT_FAILED if broken else 0)


@frontier.command(name="vacuum")
def frontier_vacuum(context: typer.Context) -> None:
    """Give the space of tasks that are done back to the disk; not while a daemon runs."""
    from crawlerd.frontier import vacuum

    with exit_codes():
        before, after = vacuum(state_directory(context))
        typer.echo(f"{before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB after")


@frontier.command(name="restore")
def frontier_restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup, or another copy of a frontier.")],
) -> None:
    """Put a copy of FILE in the frontier's place; not while a daemon runs.

    What was done after FILE was made is done again; records reach the sinks once all the same. What quotas were
    charged since is forgotten.
    """
    from crawlerd.frontier import restore

    with exit_codes():
        aside = restore(state_directory(context), file)
        typer.echo(f"restored from {file}" + (f"; what was there is {aside} now" if aside else ""))


@frontier.command(name="new")
def frontier_new(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Also when there is a usable one.")] = False,
) -> None:
    """Let the next start begin with an empty frontier; not while a daemon runs.

    What was imported stays in the sinks; the next run of each import is a full one.
    """
    from crawlerd.frontier import begin_new

    with exit_codes():
        aside = begin_new(state_directory(context), force=force)
        typer.echo("the next start begins a new frontier" + (f"; what was there is {aside} now" if aside else ""))


@frontier.command(name="backup")
def frontier_backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file when there is one.")] = False,
) -> None:
    """Copy the frontier as it is at this moment into a file, whether the daemon runs or not."""
    from crawlerd.frontier import backup

    with exit_codes():
        size = backup(state_directory(context), file, force=force)
        typer.echo(f"{file}: {size / 1e6:,.1f} MB")
