"""`crawlerd imports rename`: moves history and sync points to the new name of an import."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import confirm
from crawlerd.cli.context import config_path, read_settings, writer_of
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.imports_list import imports
from crawlerd.core.redaction import shown


@imports.command(name="rename")
def imports_rename(
    context: typer.Context,
    old: Annotated[
        str, typer.Argument(help="The name under which the import has run.", autocompletion=completion.left_imports)
    ],
    new: Annotated[
        str, typer.Argument(help="The import's name in the configuration now.", autocompletion=completion.imports)
    ],
) -> None:
    """Move history and sync points of an import to its new name. Rename it in the configuration first."""
    from crawlerd.cli.results import ImportRenamed
    from crawlerd.operations.import_names import rename
    from crawlerd.service.control import user_name

    with exit_codes():
        settings = read_settings(config_path(context), secrets=False)
        with writer_of(settings.daemon.state_dir) as frontier:
            rename(frontier, settings.imports, old, new, user_name(os.getuid()), time.time())
        text = shown(f"import {old} is now {new}, with its sync points and history")
        confirm(ImportRenamed(old=old, new=new), text)
