"""`crawlerd sink …`: checks sinks, and copies them for readers."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from crawlerd.cli.context import config_path, read_settings
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.terminal import say

sink = typer.Typer(help="Where records go.", no_args_is_help=True)


@sink.callback()
def group() -> None:
    """Where records go."""


@sink.command(name="check")
def sink_check(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One sink; all without it.")] = None,
) -> None:
    """Check that a sink's database is sound, holds what its runs have brought, and that its views can be read.

    Exit codes: 0 all of it holds, 1 what does not is printed.
    """
    from crawlerd.config.problems import instead
    from crawlerd.core.errors import SinkError
    from crawlerd.sinks import check_sink

    with exit_codes():
        sinks = read_settings(config_path(context), secrets=False).sinks
        if name is not None and name not in sinks:
            known = instead(name, sinks)
            fail(f"there is no [sinks.{name}] in {config_path(context)}; {known}", ExitCode.USAGE)
        broken = False
        for each in [each for each in sinks.values() if each.beside is None] if name is None else [sinks[name]]:
            path = each.database
            if each.type == "stdout":
                say(f"sinks.{each.name}: writes to stdout, and keeps nothing to be checked")
                continue
            if not path.exists():
                say(f"sinks.{each.name}: {path} does not exist; nothing was imported yet, or it was moved")
                broken |= name is not None
                continue
            try:
                found = check_sink(each)
            except SinkError as error:
                found = [str(error)]
            for line in found:
                say(f"sinks.{each.name}: {line}")
            if not found:
                say(f"sinks.{each.name}: {path} is sound")
            broken |= bool(found)
        raise typer.Exit(ExitCode.FAILED if broken else ExitCode.DONE)


@sink.command(name="copy")
def sink_copy(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A sink of the type sqlite.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file when there is one.")] = False,
) -> None:
    """Copy a sink's database as it is at this moment into a file for readers, whether the daemon runs or not.

    The file has the sink's `mode`, and appears whole or not at all.
    """
    from crawlerd.sinks import copy_sink

    with exit_codes():
        sinks = read_settings(config_path(context), secrets=False).sinks
        if name not in sinks:
            fail(f"there is no sink {name!r}; there are: {', '.join(sorted(sinks))}", ExitCode.FAILED)
        if sinks[name].type == "stdout":
            fail(f"sinks.{name} writes to stdout, and keeps nothing to be copied", ExitCode.USAGE)
        if sinks[name].type != "sqlite":
            fail(f"sinks.{name} is of the type {sinks[name].type}, whose files are for readers already", ExitCode.USAGE)
        size = copy_sink(sinks[name], file, force=force)
        say(f"{file}: {size / 1e6:,.1f} MB")
