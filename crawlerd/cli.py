"""The commands. Each imports what it needs when it is called: `status` must not wait for `requests`."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crawlerd import __version__
from crawlerd.exits import EXIT_FAILED, EXIT_USAGE, exit_codes, fail
from crawlerd.source_commands import new, source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crawlerd.frontier.reader import AccountReport, FrontierReader, Status

app = typer.Typer(
    name="crawlerd",
    help="Imports data from rate-limited APIs, durably, at the highest speed that each account permits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
dead = typer.Typer(help="Dead letters: tasks that are not retried by themselves.", no_args_is_help=True)
app.add_typer(dead, name="dead")
frontier = typer.Typer(help="The database of runs and tasks.", no_args_is_help=True)
app.add_typer(frontier, name="frontier")
app.add_typer(source, name="source")
app.add_typer(new, name="new")
show = typer.Typer(help="What was imported.", no_args_is_help=True)
app.add_typer(show, name="show")


class _Chosen:
    config = Path("crawlerd.toml")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crawlerd {__version__}")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("crawlerd.toml"),
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    _Chosen.config = config


@app.command()
def run() -> None:
    """Run the daemon in the foreground: due imports, /metrics, /healthz, /readyz."""
    import logging

    from crawlerd import daemon
    from crawlerd.settings import load

    with exit_codes():
        settings = load(_Chosen.config)
        logging.basicConfig(
            level=settings.daemon.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
        )
        daemon.run(settings)


@app.command(name="import")
def import_(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Imports to run.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run every configured import.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Import everything anew, not only what has changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Run imports to their end in the foreground; an interrupted run is resumed.

    Exit codes: 0 complete, 3 complete with dead letters, 1 failed, 130 interrupted.
    """
    import json

    from rich.console import Console

    from crawlerd.core.problems import instead
    from crawlerd.progress import import_now, log_to, print_report
    from crawlerd.settings import load

    console = Console(stderr=True)
    with exit_codes():
        with redirect_stdout(sys.stderr):  # a source may print, where it is imported and where a run begins
            settings = load(_Chosen.config)
            chosen = list(settings.imports) if everything else list(dict.fromkeys(names or ()))
            if not chosen:
                known = ", ".join(settings.imports) or "none is configured"
                fail(f"name the imports to run, or say --all ({known})", EXIT_USAGE)
            for name in [each for each in chosen if each not in settings.imports]:
                known = instead(name, settings.imports)
                fail(f"there is no [imports.{name}] in {_Chosen.config}; {known}", EXIT_USAGE)
            log_to(console, settings.daemon.log_level if settings.daemon.log_level != "info" else "warning")
            outcome = import_now(settings, chosen, full=full, console=console)
        if as_json:
            typer.echo(json.dumps(outcome.report))
        else:
            print_report(outcome.report, Console())
        raise typer.Exit(outcome.exit_code)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show runs, accounts and queued tasks, whether the daemon runs or not."""
    import msgspec

    from crawlerd.frontier.lock import lock_holder
    from crawlerd.frontier.reader import Status
    from crawlerd.settings import state_dir

    with exit_codes():
        folder = state_dir(_Chosen.config)
        pid = lock_holder(folder)
        with _reader(folder) as reader:
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


@app.command()
def demo(
    kill: Annotated[bool, typer.Option("--kill", help="Kill the import half-way with SIGKILL, and resume it.")] = False,
) -> None:
    """Import from a local API into ./crawlerd-demo: no configuration, no network, under a minute."""
    from rich.console import Console

    with exit_codes():
        if find_spec("aiohttp") is None:  # which the local API needs, in a process of its own
            fail("the demo's local API needs aiohttp: pip install 'crawlerd[demo]'", EXIT_FAILED)
        from crawlerd.demo import command
        from crawlerd.progress import log_to

        console = Console()
        log_to(console, "error")
        raise typer.Exit(command.demo(console, kill=kill))


@contextmanager
def _reader(folder: Path) -> Iterator[FrontierReader | None]:
    from crawlerd.frontier.reader import FrontierReader

    reader = FrontierReader.open(folder)
    try:
        yield reader
    finally:
        if reader:
            reader.close()


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
    import_name: Annotated[str | None, typer.Option("--import", help="Only those of one import.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 100,
    after: Annotated[int, typer.Option(help="Only those behind this id.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List dead letters with their reasons."""
    import msgspec

    from crawlerd.settings import state_dir

    with exit_codes(), _reader(state_dir(_Chosen.config)) as reader:
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
def dead_show(number: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """Show one dead letter, whole, as JSON."""
    import msgspec

    from crawlerd.settings import state_dir

    with exit_codes(), _reader(state_dir(_Chosen.config)) as reader:
        letter = reader.dead_letter(number) if reader else None
        if letter is None:
            fail(f"there is no dead letter {number}", EXIT_FAILED)
        typer.echo(msgspec.json.format(msgspec.json.encode(letter), indent=2))


@dead.command(name="retry")
def dead_retry(
    numbers: Annotated[list[int] | None, typer.Argument(metavar="[ID]...")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
) -> None:
    """Make dead letters ready again, with all their attempts."""
    from crawlerd.settings import state_dir

    if bool(numbers) == everything:
        fail("name the dead letters to retry, or say --all", EXIT_USAGE)
    with exit_codes():
        folder = state_dir(_Chosen.config)
        groups = _all_dead(folder) if everything else [_known_dead(folder, numbers or ())]
        count = sum(_retry(folder, group) for group in groups if group)
        typer.echo(f"{count:,} dead letters are ready again")
        if not count and numbers:
            raise typer.Exit(EXIT_FAILED)


def _known_dead(folder: Path, numbers: Sequence[int]) -> list[int]:
    """Those of the numbers that are dead letters'; the others are named."""
    with _reader(folder) as reader:
        known = [number for number in dict.fromkeys(numbers) if reader and reader.dead_letter(number)]
    for number in set(numbers).difference(known):
        typer.echo(f"crawlerd: there is no dead letter {number}", err=True)
    return known


def _all_dead(folder: Path) -> Iterator[list[int]]:
    after = 0
    while True:
        with _reader(folder) as reader:
            letters = reader.dead_letters(after=after, limit=10_000) if reader else []
        if not letters:
            return
        yield [each.id for each in letters]
        after = letters[-1].id


def _retry(folder: Path, numbers: list[int]) -> int:
    """Through the daemon if one runs, else in the frontier itself."""
    from crawlerd.frontier.lock import StateLock, lock_holder

    if lock_holder(folder) is not None:
        from crawlerd.admin import ask_daemon

        return ask_daemon(folder, numbers)
    from crawlerd.frontier.sqlite import Frontier

    with StateLock(folder):
        frontier = Frontier(folder, now=time.time())
        try:
            count, imports = frontier.retry_dead(numbers)
        finally:
            frontier.close()
    if imports:
        typer.echo(f"run `crawlerd import {' '.join(imports)}` to perform them")
    return count


@show.command(name="tree")
def show_tree(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="An import of the source aws_org.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, children in children.")] = False,
    as_dot: Annotated[bool, typer.Option("--dot", help="Print a graph for Graphviz.")] = False,
) -> None:
    """Draw the tree of an AWS organization, from the sink."""
    import msgspec

    from crawlerd.settings import load
    from crawlerd.sinks.sqlite_reader import objects
    from crawlerd.sources.aws_tree import STREAMS, dot, text, trees

    if as_json and as_dot:
        fail("say --json or --dot", EXIT_USAGE)
    with exit_codes():
        settings = load(_Chosen.config, secrets=False)
        known = [key for key, each in settings.imports.items() if settings.accounts[each.account].source == "aws_org"]
        if name not in known and (name or len(known) != 1):
            fail(f"name an import of the source aws_org; known: {', '.join(known) or 'none'}", EXIT_USAGE)
        chosen = settings.imports[name or known[0]]
        sink = settings.sinks.get(chosen.sink or "")
        if sink is None or sink.type != "sqlite":
            fail(f"{chosen.name} has no sink of the type sqlite to show a tree from", EXIT_FAILED)
        found = trees({stream: objects(sink.path, "aws_org", stream, chosen.account) for stream in STREAMS})
        if not found:
            fail(f"nothing of {chosen.name} has been imported yet", EXIT_FAILED)
        for tree in found:
            if as_json:
                typer.echo(msgspec.json.encode(tree))
            else:
                typer.echo("\n".join(dot(tree) if as_dot else text(tree)))


@frontier.command(name="check")
def frontier_check(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="A backup, instead of what is in use.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Compare the indexes with their tables as well.")] = False,
) -> None:
    """Check that the file is sound, each task in one place, and every counter right.

    Exit codes: 0 all of it holds, 1 what does not is printed.
    """
    from crawlerd.frontier.maintenance import check
    from crawlerd.frontier.schema import FILE_NAME
    from crawlerd.settings import state_dir

    with exit_codes():
        path = file or state_dir(_Chosen.config) / FILE_NAME
        broken = check(path, full=full)
        typer.echo("\n".join(broken) or f"{path}: every invariant holds")
        raise typer.Exit(EXIT_FAILED if broken else 0)


@frontier.command(name="vacuum")
def frontier_vacuum() -> None:
    """Give the space of tasks that are done back to the disk; not while a daemon runs."""
    from crawlerd.frontier.maintenance import vacuum
    from crawlerd.settings import state_dir

    with exit_codes():
        before, after = vacuum(state_dir(_Chosen.config))
        typer.echo(f"{before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB after")


@frontier.command(name="backup")
def frontier_backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file when there is one.")] = False,
) -> None:
    """Copy the frontier as it is at this moment into a file, whether the daemon runs or not."""
    from crawlerd.frontier.maintenance import backup
    from crawlerd.settings import state_dir

    with exit_codes():
        size = backup(state_dir(_Chosen.config), file, force=force)
        typer.echo(f"{file}: {size / 1e6:,.1f} MB")


def main() -> None:
    """The `crawlerd` command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as long as nothing is under way, Ctrl-C just ends it
    app()
