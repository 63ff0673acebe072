"""`crawlerd sink forget`: deletes an account, an import or a record from every file of crawlerd."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import confirm, note, tell
from crawlerd.cli.context import by_daemon_or_here, config_path, daemon_of, read_for_sinks, reader_of, writer_of
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.sink import sink
from crawlerd.cli.terminal import say
from crawlerd.core.wording import counted

if TYPE_CHECKING:
    from crawlerd.config.load import Settings
    from crawlerd.engine.forgetting import Forgot
    from crawlerd.operations.forget_requests import ForgetRequest, Forgettable
    from crawlerd.service.control import Asked

LOOK_SECONDS = 0.1  # seconds between two checks of what the daemon has done
UNREACHED = (
    "not reached: copies (`sink copy`), backups (`backup`, `frontier backup`), exports (`dead export`), files that "
    "were moved away, records that receivers and consumers have, messages of [notify], and logs"
)
AGAIN = "if the API still has it, the next run imports it again: delete it there first, or end the import"


@sink.command(name="forget")
def sink_forget(
    context: typer.Context,
    account: Annotated[
        str | None,
        typer.Option("--account", help="Everything of an account and its parts.", autocompletion=completion.accounts),
    ] = None,
    import_name: Annotated[
        str | None,
        typer.Option("--import", help="Everything that an import has written.", autocompletion=completion.imports),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="One record, and the records below it.")] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Only in one stream.", autocompletion=completion.streams)
    ] = None,
    name: Annotated[
        str | None, typer.Option("--sink", help="Only in one sink.", autocompletion=completion.sinks)
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask for confirmation; required without a terminal.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print how much there is, and change nothing.")] = False,
) -> None:
    """Delete imported data for good: rows, lines of files, deliveries, dead letters, sync points, notes.

    Nothing of the data is left in the files, nor in their free space. No run of an import that may write the data may
    be under way. After an interruption, repeat the command.
    """
    from crawlerd.operations.forget_requests import ForgetRequest, forget_count, forget_plan

    if not (account or import_name or key):
        fail("specify what to forget: --account, --import or --key", ExitCode.USAGE)
    request = ForgetRequest(account=account, import_name=import_name, key=key, stream=stream, sink=name)
    with exit_codes():
        settings = read_for_sinks(config_path(context))
        daemon = daemon_of(context)
        with reader_of(daemon.state_dir) as reader:
            found = forget_count(settings, reader, forget_plan(settings, request))
        if dry_run:
            tell(found, _print)
            return
        if found.nothing:
            note("nothing matches; free space is cleaned anyway")
        if not yes:
            _ask(found)
        forgot = _forget(daemon, settings, request)
        if forgot.error:
            confirm(forgot, _done(forgot))
            fail(
                f"{forgot.error}; what was deleted so far stays deleted: repeat the command afterwards", ExitCode.FAILED
            )
        confirm(forgot, _done(forgot), UNREACHED, AGAIN)
        if forgot.left:
            for each in forgot.left:
                say(f"crawlerd: {each}", error=True)
            fail("deleted data may still be in free space: stop crawlerd and repeat the command", ExitCode.FAILED)


def _forget(daemon: Asked, settings: Settings, request: ForgetRequest) -> Forgot:
    """Forgets the data: in the daemon if one runs, otherwise in this process."""
    from crawlerd.engine.forgetting import Forgot, Here
    from crawlerd.operations.forget_requests import forgettor
    from crawlerd.service.control import must_ask

    def here(by: str, now: float) -> Forgot:
        forgot = Forgot()
        with writer_of(daemon.state_dir) as frontier:
            while frontier.chores:
                frontier.commit([], now=now)
            forgettor(settings, request, by, now, None).run(frontier, Here(), forgot)
        forgot.done = True
        return forgot

    forgot = by_daemon_or_here(daemon, "POST", "forget", Forgot, request, here)
    while not forgot.done:
        time.sleep(LOOK_SECONDS)  # the daemon is another process, and does not report to us
        forgot = must_ask(daemon, "GET", "forget", Forgot)
    return forgot


def _print(found: Forgettable, *, error: bool = False) -> None:
    for name, tables in sorted(found.records.items()):
        for table, count in sorted(tables.items()):
            say(f"sinks.{name}: {counted(count, 'record')} of {table}", error=error)
    for name, count in sorted(found.lines.items()):
        say(f"sinks.{name}: {counted(count, 'line')} of its files", error=error)
    points, texts = counted(found.sync_points, "sync point"), counted(found.texts, "text")
    notes = f"{counted(found.dead_letters, 'dead letter')}, {points}, {texts} of reports"
    say(notes, error=error)
    say(UNREACHED, error=error)


def _ask(found: Forgettable) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        fail("this would delete for good: confirm with --yes, or use --dry-run", ExitCode.USAGE)
    _print(found, error=True)
    if not typer.confirm("Delete it for good?", err=True):
        fail("nothing was changed", ExitCode.FAILED)


def _done(forgot: Forgot) -> str:
    return (
        f"forgotten: {counted(forgot.records, 'row')} of databases, {counted(forgot.lines, 'line')} of files, "
        f"{counted(forgot.dead_letters, 'dead letter')}, {counted(forgot.sync_points, 'sync point')}, "
        f"{counted(forgot.texts, 'text')} of reports"
    )
