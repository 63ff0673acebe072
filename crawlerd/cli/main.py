"""The commands. Each imports what it needs when it is called: `status` must not wait for `requests`."""

from __future__ import annotations

import signal
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from crawlerd import __version__
from crawlerd.cli.context import config_path, read_settings
from crawlerd.cli.exits import EXIT_FAILED, EXIT_USAGE, exit_codes, fail
from crawlerd.cli.frontier import dead, frontier, status
from crawlerd.cli.sink import sink
from crawlerd.cli.source import new, source

app = typer.Typer(
    name="crawlerd",
    help="Imports data from rate-limited APIs, durably, at the highest speed that each account permits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(dead, name="dead")
app.add_typer(frontier, name="frontier")
app.add_typer(source, name="source")
app.add_typer(sink, name="sink")
app.add_typer(new, name="new")
show = typer.Typer(help="What was imported.", no_args_is_help=True)
app.add_typer(show, name="show")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crawlerd {__version__}")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("crawlerd.toml"),
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass  # each command reads what it needs of them


@app.command()
def run(context: typer.Context) -> None:
    """Run the daemon in the foreground: due imports, /metrics, /healthz, /readyz."""
    import logging

    from crawlerd.service import daemon

    with exit_codes():
        settings = read_settings(config_path(context))
        logging.basicConfig(
            level=settings.daemon.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
        )
        daemon.run(settings)


@app.command(name="import")
def import_(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Imports to run.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run every configured import.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Import everything anew, not only what has changed.")] = False,
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Accept that a full run sees far less than the last one.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Run imports to their end in the foreground; an interrupted run is resumed.

    Exit codes: 0 complete, 3 ended but not complete, 1 failed, 130 interrupted.
    """
    import json

    from rich.console import Console

    from crawlerd.cli.imports import import_now, log_to, print_report
    from crawlerd.config.problems import instead

    console = Console(stderr=True)
    with exit_codes():
        with redirect_stdout(sys.stderr):  # a source may print, where it is imported and where a run begins
            settings = read_settings(config_path(context))
            chosen = list(settings.imports) if everything else list(dict.fromkeys(names or ()))
            if not chosen:
                known = ", ".join(settings.imports) or "none is configured"
                fail(f"name the imports to run, or say --all ({known})", EXIT_USAGE)
            for name in [each for each in chosen if each not in settings.imports]:
                known = instead(name, settings.imports)
                fail(f"there is no [imports.{name}] in {config_path(context)}; {known}", EXIT_USAGE)
            log_to(console, settings.daemon.log_level if settings.daemon.log_level != "info" else "warning")
            outcome = import_now(settings, chosen, full=full, allow_shrink=allow_shrink, console=console)
        if as_json:
            typer.echo(json.dumps(outcome.report))
        else:
            print_report(outcome.report, Console())
        raise typer.Exit(outcome.exit_code)


app.command()(status)


@app.command()
def demo(
    kill: Annotated[bool, typer.Option("--kill", help="Kill the import half-way with SIGKILL, and resume it.")] = False,
) -> None:
    """Import from a local API into ./crawlerd-demo: no configuration, no network, under a minute."""
    from rich.console import Console

    with exit_codes():
        if find_spec("aiohttp") is None:  # which the local API needs, in a process of its own
            fail("the demo's local API needs aiohttp: pip install 'crawlerd[demo]'", EXIT_FAILED)
        from crawlerd.cli import demo as command
        from crawlerd.cli.imports import log_to

        console = Console()
        log_to(console, "error")
        raise typer.Exit(command.demo(console, kill=kill))


@show.command(name="tree")
def show_tree(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="An import of the source aws_org.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, children in children.")] = False,
    as_dot: Annotated[bool, typer.Option("--dot", help="Print a graph for Graphviz.")] = False,
) -> None:
    """Draw the tree of an AWS organization, from the sink."""
    import msgspec

    from crawlerd.sinks.sqlite.reader import objects
    from crawlerd.sources.aws.tree import STREAMS, dot, text, trees

    if as_json and as_dot:
        fail("say --json or --dot", EXIT_USAGE)
    with exit_codes():
        settings = read_settings(config_path(context), secrets=False)
        known = [key for key, each in settings.imports.items() if settings.accounts[each.account].source == "aws_org"]
        if name not in known and (name or len(known) != 1):
            fail(f"name an import of the source aws_org; known: {', '.join(known) or 'none'}", EXIT_USAGE)
        chosen = settings.imports[name or known[0]]
        sink = settings.sinks.get(chosen.sink or "")
        if sink is None or sink.type != "sqlite":
            fail(f"{chosen.name} has no sink of the type sqlite to show a tree from", EXIT_FAILED)
        found = trees({stream: objects(sink.path, "aws_org", stream, chosen.account) for stream in STREAMS})
        if not found:
            fail(f"nothing of {chosen.name} has been imported yet", EXIT_FAILED)
        for tree in found:
            if as_json:
                typer.echo(msgspec.json.encode(tree))
            else:
                typer.echo("\n".join(dot(tree) if as_dot else text(tree)))


def main() -> None:
    """The `crawlerd` command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as long as nothing is under way, Ctrl-C just ends it
    app()
