"""`crawlerd sink …`: checks sinks, and copies them for readers."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import confirm, tell_list
from crawlerd.cli.context import config_path, read_for_sinks, read_settings
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.modes import modes
from crawlerd.cli.terminal import say

if TYPE_CHECKING:
    from crawlerd.cli.results import Checked
    from crawlerd.core.configuration import SinkSpec

sink = typer.Typer(help="Check and copy sinks; forget records in them.", no_args_is_help=True)


@sink.callback()
def group() -> None:
    """Check and copy sinks; forget records in them."""


@sink.command(name="check")
def sink_check(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One sink; all if left out.", autocompletion=completion.sinks)
    ] = None,
) -> None:
    """Check that a sink's database is sound, has every record that its runs wrote, and that its views can be read.

    Exit codes: 0 all checks pass, 1 the failed checks are printed.
    """
    from crawlerd.config.problems import instead

    with exit_codes():
        sinks = read_for_sinks(config_path(context)).sinks
        if name is not None and name not in sinks:
            known = instead(name, sinks)
            fail(f"there is no [sinks.{name}] in {config_path(context)}; {known}", ExitCode.USAGE)
        chosen = [each for each in sinks.values() if each.beside is None] if name is None else [sinks[name]]
        checked: list[Checked] = []
        for each in chosen:
            found = _checked(each, needed=name is not None)
            checked.append(found)
            if not modes.machine:
                _print(found, each)
        if modes.machine:
            tell_list(checked, checked, lambda _: None)
        raise typer.Exit(ExitCode.FAILED if any(each.problems for each in checked) else ExitCode.DONE)


def _checked(sink: SinkSpec, *, needed: bool) -> Checked:
    """Checks a sink.

    needed: it is a problem if the sink does not exist.
    """
    from crawlerd.cli.results import Checked
    from crawlerd.core.errors import SinkError
    from crawlerd.sinks import check_sink, holds_rows

    what = f"sinks.{sink.name}"
    if sink.type == "stdout":
        return Checked(what=what, problems=[], note="writes to stdout, and keeps nothing to be checked")
    if not holds_rows(sink):
        text = f"{sink.database} does not exist: nothing was imported yet, or the file was moved"
        return Checked(what=what, problems=[text] if needed else [], note="" if needed else text)
    try:
        return Checked(what=what, problems=list(check_sink(sink)))
    except SinkError as error:
        return Checked(what=what, problems=[str(error)])


def _print(found: Checked, sink: SinkSpec) -> None:
    for line in found.problems:
        say(f"{found.what}: {line}")
    if not found.problems and not modes.quiet:
        where = f"schema {sink.schema}" if sink.type == "postgresql" else sink.database
        say(f"{found.what}: {found.note or f'{where} is sound'}")


@sink.command(name="copy")
def sink_copy(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A sink of the type sqlite.", autocompletion=completion.sinks)
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to create.", autocompletion=completion.files)],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Copy the current state of a sink's database into a file for readers, whether the daemon runs or not.

    The file has the sink's `mode`. If the command fails, no file appears.
    """
    from crawlerd.cli.results import FileWritten
    from crawlerd.operations.problem import Unknown
    from crawlerd.sinks import copy_sink

    with exit_codes():
        sinks = read_settings(config_path(context), secrets=False).sinks
        if name not in sinks:
            raise Unknown(f"there is no sink {name!r}; there are: {', '.join(sorted(sinks))}")
        if sinks[name].type == "stdout":
            fail(f"sinks.{name} writes to stdout, and keeps nothing to be copied", ExitCode.USAGE)
        if sinks[name].type == "postgresql":
            fail(
                f"sinks.{name} is in PostgreSQL: copy it with pg_dump --schema={sinks[name].schema}",
                ExitCode.USAGE,
            )
        if sinks[name].type != "sqlite":
            fail(
                f"sinks.{name} is of the type {sinks[name].type}, whose files readers can use as they are",
                ExitCode.USAGE,
            )
        size = copy_sink(sinks[name], file, force=force)
        confirm(FileWritten(file=str(file), bytes=size), f"{file}: {size / 1e6:,.1f} MB")
