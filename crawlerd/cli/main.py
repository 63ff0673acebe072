"""The commands, assembled. Each imports what it needs when it is called: `status` must not wait for `requests`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from crawlerd import __version__
from crawlerd.cli.accounts import accounts
from crawlerd.cli.audit import audit
from crawlerd.cli.config import config as config_commands
from crawlerd.cli.dead import dead
from crawlerd.cli.demo import demo
from crawlerd.cli.frontier import frontier
from crawlerd.cli.imports import import_
from crawlerd.cli.imports_rename import imports
from crawlerd.cli.new import new
from crawlerd.cli.pause import pause, resume
from crawlerd.cli.run import run
from crawlerd.cli.runs import runs
from crawlerd.cli.show import show
from crawlerd.cli.sink import sink
from crawlerd.cli.source import source
from crawlerd.cli.sources import sources, streams
from crawlerd.cli.status import status
from crawlerd.cli.terminal import open_standard_streams
from crawlerd.cli.why import why

app = typer.Typer(
    name="crawlerd",
    help="Imports data from rate-limited APIs, durably, at the highest speed that each account permits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(name="import")(import_)
app.command()(status)
app.command()(why)
app.command()(pause)
app.command()(resume)
app.command()(audit)
app.command()(sources)
app.command()(streams)
app.command()(demo)
app.command()(runs)
app.add_typer(run, name="run")
app.add_typer(accounts, name="accounts")
app.add_typer(config_commands, name="config")
app.add_typer(imports, name="imports")
app.add_typer(dead, name="dead")
app.add_typer(frontier, name="frontier")
app.add_typer(source, name="source")
app.add_typer(sink, name="sink")
app.add_typer(new, name="new")
app.add_typer(show, name="show")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crawlerd {__version__}")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[  # whether it is readable is for `read_settings` to say
        Path, typer.Option("--config", "-c", envvar="CRAWLERD_CONFIG", readable=False, help="The configuration file.")
    ] = Path("crawlerd.toml"),
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass  # each command reads what it needs of them


def main() -> None:
    """The `crawlerd` command."""
    open_standard_streams()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as long as nothing is under way, Ctrl-C just ends it
    app()
