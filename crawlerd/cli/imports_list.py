"""`crawlerd imports`: when each import last ran, how old its data are, and when it starts next."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from crawlerd.cli.answers import tell_list
from crawlerd.cli.context import config_path, daemon_of, read_settings, reader_of, running_pid
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.status_lines import IMPORT_HEAD, import_row
from crawlerd.cli.tables import fitted, terminal_width
from crawlerd.cli.terminal import say

if TYPE_CHECKING:
    from crawlerd.operations.import_facts import Imports, ImportsRequest

imports = typer.Typer(help="List imports with their last run and next start; rename one.", invoke_without_command=True)


@imports.callback()
def imports_list(
    context: typer.Context,
    after: Annotated[str, typer.Option(metavar="NAME", help="Start after this name.")] = "",
    limit: Annotated[int, typer.Option(help="Maximum number to list.", min=1, max=500)] = 100,
) -> None:
    """List the imports by name: their last run, the age of their data, and when they start next."""
    if context.invoked_subcommand:
        return
    from crawlerd.operations.import_facts import ImportsRequest

    with exit_codes():
        found = _imports(context, ImportsRequest(after=after, limit=limit))
        more = "" if found.next is None else f"there are more: crawlerd imports --after {found.next}"
        tell_list(found, found.imports, _print, more=more)


def _print(found: Imports) -> None:
    rows = [import_row(each, time.time()) for each in found.imports]
    for line in fitted([IMPORT_HEAD, *rows], terminal_width(), elastic=(0, 2)):
        say(line)


def _imports(context: typer.Context, request: ImportsRequest) -> Imports:
    from crawlerd.config.outline import outline
    from crawlerd.operations.import_facts import Imports, imports
    from crawlerd.operations.live_facts import Unheard
    from crawlerd.service.control import ask

    daemon = daemon_of(context)
    running = running_pid(daemon.state_dir) is not None
    place = f"imports?after={quote(request.after, safe='')}&limit={request.limit}"
    if running and (told := ask(daemon, "GET", place, Imports)):
        return told
    configured = outline(config_path(context)) or read_settings(config_path(context), secrets=False)
    with reader_of(daemon.state_dir) as reader:
        return imports(reader, Unheard() if running else None, configured, request, time.time())
