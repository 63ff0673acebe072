"""`crawlerd audit`: lists what people have done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli.answers import tell_list
from crawlerd.cli.context import reader_of, state_directory
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.tables import local_time, print_columns
from crawlerd.cli.terminal import say
from crawlerd.core.durations import parse_duration
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.reports import Act


def audit(
    context: typer.Context,
    since: Annotated[
        str, typer.Option(metavar="DURATION", help="Only what was done within this time, such as 7d.")
    ] = "",
    limit: Annotated[int, typer.Option(help="Maximum number to list.", min=1, max=10_000)] = 100,
) -> None:
    """List who paused, resumed and retried what, the newest last. Entries are kept for a year."""
    try:
        start = time.time() - parse_duration(since) if since else 0.0
    except ValueError as error:
        fail(f"--since: {error}", ExitCode.USAGE)
    with exit_codes():
        with reader_of(state_directory(context)) as reader:
            acts = reader.audit(since=start, limit=limit) if reader else []
        tell_list(acts, acts, _print)


def _print(acts: Sequence[Act]) -> None:
    if not acts:
        say("the audit has no entries")
        return
    rows = [(local_time(each.at), each.by, each.act, shown(each.subject), shown(each.detail)) for each in acts]
    print_columns([("when", "by", "act", "on", "why"), *rows])
