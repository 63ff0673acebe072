"""`crawlerd show …`: shows what was imported."""

from __future__ import annotations

from typing import Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import lines, tell
from crawlerd.cli.context import config_path, read_for_sinks
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.modes import modes

show = typer.Typer(help="Show what was imported.", no_args_is_help=True)


@show.command(name="tree")
def show_tree(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="An import of the source aws_org.", autocompletion=completion.trees),
    ] = None,
    as_dot: Annotated[bool, typer.Option("--dot", help="Print a graph for Graphviz.")] = False,
) -> None:
    """Draw the tree of an AWS organization, from the sink."""
    from crawlerd.operations.problem import Unknown
    from crawlerd.sinks import objects_in
    from crawlerd.sources.aws.tree import STREAMS, Node, dot, text, trees

    if modes.machine and as_dot:
        fail("use --json or --dot, not both", ExitCode.USAGE)
    with exit_codes():
        settings = read_for_sinks(config_path(context))
        known = [key for key, each in settings.imports.items() if settings.accounts[each.account].source == "aws_org"]
        if name not in known and (name or len(known) != 1):
            fail(f"name an import of the source aws_org; known: {', '.join(known) or 'none'}", ExitCode.USAGE)
        chosen = settings.imports[name or known[0]]
        sink = settings.sinks.get(chosen.sink or "")
        if sink is None or sink.type not in ("sqlite", "postgresql"):
            fail(f"{chosen.name} has no sink of the type sqlite or postgresql to show a tree from", ExitCode.FAILED)
        found = trees({stream: objects_in(sink, "aws_org", stream, chosen.account) for stream in STREAMS})
        if not found:
            raise Unknown(f"nothing of {chosen.name} has been imported yet")
        whole = found[0] if len(found) == 1 else Node("", children=found)
        tell(whole, lines(line for tree in found for line in (dot(tree) if as_dot else text(tree))))
