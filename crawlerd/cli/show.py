"""`crawlerd show …`: what was imported."""

from __future__ import annotations

from typing import Annotated

import typer

from crawlerd.cli.context import config_path, read_settings
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.terminal import say, say_json

show = typer.Typer(help="What was imported.", no_args_is_help=True)


@show.command(name="tree")
def show_tree(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="An import of the source aws_org.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, children in children.")] = False,
    as_dot: Annotated[bool, typer.Option("--dot", help="Print a graph for Graphviz.")] = False,
) -> None:
    """Draw the tree of an AWS organization, from the sink."""
    import msgspec

    from crawlerd.sinks import objects_in
    from crawlerd.sources.aws.tree import STREAMS, dot, text, trees

    if as_json and as_dot:
        fail("say --json or --dot", ExitCode.USAGE)
    with exit_codes():
        settings = read_settings(config_path(context), secrets=False)
        known = [key for key, each in settings.imports.items() if settings.accounts[each.account].source == "aws_org"]
        if name not in known and (name or len(known) != 1):
            fail(f"name an import of the source aws_org; known: {', '.join(known) or 'none'}", ExitCode.USAGE)
        chosen = settings.imports[name or known[0]]
        sink = settings.sinks.get(chosen.sink or "")
        if sink is None or sink.type != "sqlite":
            fail(f"{chosen.name} has no sink of the type sqlite to show a tree from", ExitCode.FAILED)
        found = trees({stream: objects_in(sink, "aws_org", stream, chosen.account) for stream in STREAMS})
        if not found:
            fail(f"nothing of {chosen.name} has been imported yet", ExitCode.FAILED)
        for tree in found:
            if as_json:
                say_json(msgspec.json.encode(tree))
            else:
                for line in dot(tree) if as_dot else text(tree):
                    say(line)
