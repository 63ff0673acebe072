"""`crawlerd frontier …`: checks, backs up, restores and shrinks the database of runs and tasks."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import confirm, lines, tell
from crawlerd.cli.context import state_directory
from crawlerd.cli.exits import ExitCode, exit_codes


class Target(StrEnum):
    POSTGRESQL = "postgresql"
    FILE = "file"


frontier = typer.Typer(help="Check, back up, restore or shrink the database of runs and tasks.", no_args_is_help=True)


@frontier.command(name="check")
def frontier_check(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="Check this backup, not the frontier in use.", autocompletion=completion.files
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Compare the indexes with their tables as well.")] = False,
) -> None:
    """Check that the file is sound, that each task is in one place, and that every counter is right.

    Exit codes: 0 all checks pass, 1 the failed checks are printed.
    """
    from crawlerd.cli.results import Checked
    from crawlerd.frontier import check, check_file

    with exit_codes():
        name, broken = check_file(file, full=full) if file else check(state_directory(context), full=full)
        found = Checked(what=str(name), problems=list(broken))
        if broken:
            tell(found, lines(broken))
        else:
            confirm(found, f"{name}: every invariant holds")
        raise typer.Exit(ExitCode.FAILED if broken else ExitCode.DONE)


@frontier.command(name="vacuum")
def frontier_vacuum(context: typer.Context) -> None:
    """Return the space of finished tasks to the disk. No daemon may be running."""
    from crawlerd.cli.results import Shrunk
    from crawlerd.frontier import vacuum

    with exit_codes():
        before, after = vacuum(state_directory(context))
        confirm(Shrunk(before=before, after=after), f"{before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB after")


@frontier.command(name="copy")
def frontier_copy(
    context: typer.Context,
    to: Annotated[Target, typer.Option("--to", help="Where the copy goes.")],
) -> None:
    """Copy the frontier from its file into the database of daemon.frontier, or back.

    No daemon may be running. Both are checked, and the source stays as it is.
    """
    from crawlerd.cli.results import Copied
    from crawlerd.frontier import copy

    with exit_codes():
        rows = copy(state_directory(context), to_server=to is Target.POSTGRESQL)
        confirm(Copied(to=to.value, rows=rows), f"{rows:,} rows copied; every invariant holds")


@frontier.command(name="restore")
def frontier_restore(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A backup or other copy of a frontier.", autocompletion=completion.files),
    ],
) -> None:
    """Replace the frontier with a copy of FILE. No daemon may be running.

    Work done after FILE was made is done again; records still reach the sinks only once. Quota used since then is
    forgotten.
    """
    from crawlerd.cli.results import Replaced
    from crawlerd.frontier import restore

    with exit_codes():
        aside = restore(state_directory(context), file)
        what = f"; the old frontier is now {aside}" if aside else ""
        confirm(Replaced(aside=str(aside) if aside else None), f"restored from {file}{what}")


@frontier.command(name="new")
def frontier_new(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Also if the existing frontier is usable.")] = False,
) -> None:
    """Set the frontier aside, so that the next start begins with an empty one. No daemon may be running.

    Imported records stay in the sinks; the next run of each import is a full one.
    """
    from crawlerd.cli.results import Replaced
    from crawlerd.frontier import begin_new

    with exit_codes():
        aside = begin_new(state_directory(context), force=force)
        what = f"; the old frontier is now {aside}" if aside else ""
        confirm(Replaced(aside=str(aside) if aside else None), f"the next start begins a new frontier{what}")


@frontier.command(name="backup")
def frontier_backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to create.", autocompletion=completion.files)],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Copy the current frontier into a file, whether the daemon runs or not."""
    from crawlerd.cli.results import FileWritten
    from crawlerd.frontier import backup, note_backup

    with exit_codes():
        size = backup(state_directory(context), file, force=force)
        note_backup(state_directory(context))
        confirm(FileWritten(file=str(file), bytes=size), f"{file}: {size / 1e6:,.1f} MB")
