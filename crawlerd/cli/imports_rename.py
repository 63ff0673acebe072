"""`crawlerd imports rename`: history and sync points follow an import that the configuration calls by another name."""

from __future__ import annotations

import os
import time

import typer

from crawlerd.cli.context import config_path, read_settings, writer_of
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.terminal import say
from crawlerd.core.redaction import shown

imports = typer.Typer(help="Imports and their history.", no_args_is_help=True)


@imports.callback()
def group() -> None:
    pass


@imports.command(name="rename")
def imports_rename(context: typer.Context, old: str, new: str) -> None:
    """Move sync points and history to the import's new name. Rename it in the configuration first."""
    from crawlerd.operations.import_names import rename
    from crawlerd.service.control import user_name

    with exit_codes():
        settings = read_settings(config_path(context), secrets=False)
        with writer_of(settings.daemon.state_dir) as frontier:
            rename(frontier, settings.imports, old, new, user_name(os.getuid()), time.time())
        say(shown(f"import {old} is {new} now, with its sync points and history"))
