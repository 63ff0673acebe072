"""`crawlerd sink forget`: an account, an import or a record leaves every file of ours."""

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

LOOK_SECONDS = 0.1  # between looks at what the daemon does
UNREACHED = (
    "not reached: copies (`sink copy`), backups (`backup`, `frontier backup`), exports (`dead export`), files that "
    "were moved away, what receivers and consumers have got, messages of [notify], and logs"
)
AGAIN = "the next run imports it again where the API still has it: delete it there first, or end the import"


@sink.command(name="forget")
def sink_forget(
    context: typer.Context,
    account: Annotated[
        str | None,
        typer.Option("--account", help="All of an account and its parts.", autocompletion=completion.accounts),
    ] = None,
    import_name: Annotated[
        str | None,
        typer.Option("--import", help="All that an import has brought.", autocompletion=completion.imports),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="One record, and those that lie below it.")] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Only of one stream.", autocompletion=completion.streams)
    ] = None,
    name: Annotated[
        str | None, typer.Option("--sink", help="Only in one sink.", autocompletion=completion.sinks)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where nobody can be asked.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how much there is, and change nothing.")] = False,
) -> None:
    """Delete for good what was imported: rows, files' lines, deliveries, dead letters, sync points, notes.

    Nothing of it is left in the files, free space included. Not while a run of an import that may write it is under
    way. It may be said again, after a crash too: what is gone is gone.
    """
    from crawlerd.operations.forget_requests import ForgetRequest, forget_count, forget_plan

    if not (account or import_name or key):
        fail("give what to forget: --account, --import or --key", ExitCode.USAGE)
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
            note("nothing of it is known; free space is cleaned all the same")
        if not yes:
            _ask(found)
        forgot = _forget(daemon, settings, request)
        if forgot.error:
            confirm(forgot, _done(forgot))
            fail(f"{forgot.error}; what was forgotten so far stays so: say it again then", ExitCode.FAILED)
        confirm(forgot, _done(forgot), UNREACHED, AGAIN)
        if forgot.left:
            for each in forgot.left:
                say(f"crawlerd: {each}", error=True)
            fail("what was deleted may still be in free space: say it again with crawlerd stopped", ExitCode.FAILED)


def _forget(daemon: Asked, settings: Settings, request: ForgetRequest) -> Forgot:
    """By the daemon if one runs, else here."""
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
        time.sleep(LOOK_SECONDS)  # the daemon is another process, and tells nobody
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
        fail("this would delete for good: add --yes to do so without being asked, or --dry-run", ExitCode.USAGE)
    _print(found, error=True)
    if not typer.confirm("Delete it for good?", err=True):
        fail("nothing was changed", ExitCode.FAILED)


def _done(forgot: Forgot) -> str:
    return (
        f"forgotten: {counted(forgot.records, 'record')} and lines of databases, {counted(forgot.lines, 'line')} of "
        f"files, {counted(forgot.dead_letters, 'dead letter')}, {counted(forgot.sync_points, 'sync point')}, "
        f"{counted(forgot.texts, 'text')}"
    )
