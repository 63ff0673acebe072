"""`crawlerd new …`: what a source in Python begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crawlerd.cli.exits import ExitCode, exit_codes, fail

new = typer.Typer(help="Begin something of your own.", no_args_is_help=True)


@new.command(name="source")
def new_source(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the source, as accounts will say it.")],
) -> None:
    """Write a package with a source in Python that works, and its test, into the folder crawlerd-NAME."""
    from crawlerd.authoring.scaffold import new_source

    with exit_codes():
        try:
            folder = new_source(name, Path())
        except ValueError as error:
            fail(error, ExitCode.USAGE)
        typer.echo(f"{folder} is ready; try it: cd {folder} && pip install -e '.[test]' && pytest")
