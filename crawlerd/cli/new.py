"""`crawlerd new …`: creates a package with a source in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crawlerd.cli.answers import lines, tell
from crawlerd.cli.exits import ExitCode, exit_codes, fail

new = typer.Typer(help="Create a new source package.", no_args_is_help=True)


@new.command(name="source")
def new_source(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the source, as accounts will refer to it.")],
) -> None:
    """Create the folder crawlerd-NAME: a package with a working source in Python, and its test."""
    from crawlerd.authoring.scaffold import new_source
    from crawlerd.cli.results import FolderMade

    with exit_codes():
        try:
            folder = new_source(name, Path())
        except ValueError as error:
            fail(error, ExitCode.USAGE)
        text = f"{folder} is ready; try it: cd {folder} && pip install -e '.[test]' && pytest"
        tell(FolderMade(folder=str(folder)), lines([text]))
