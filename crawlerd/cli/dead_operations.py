"""`crawlerd operations`: retries and drops of many dead letters, and their progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import confirm, tell_list
from crawlerd.cli.context import by_daemon_or_here, daemon_of, existing_reader, reader_of, state_directory, writer_of
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.tables import local_time, print_columns
from crawlerd.cli.terminal import say
from crawlerd.core.row_numbers import GREATEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.reports import OperationReport

operations = typer.Typer(help="List or cancel retries and drops of many dead letters.", invoke_without_command=True)


@operations.callback()
def operations_list(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="Maximum number to list.", min=1, max=500)] = 20,
    before: Annotated[
        int | None, typer.Option(help="Only operations with a lower number than this.", min=1, max=GREATEST)
    ] = None,
) -> None:
    """List retries and drops of dead letters with their progress, the newest first. They are kept for a year."""
    if context.invoked_subcommand:
        return
    with exit_codes(), reader_of(state_directory(context)) as reader:
        found = reader.operations(before=before, limit=limit) if reader else []
        more = f"there may be more: --before {found[-1].id}" if len(found) == limit else ""
        tell_list(found, found, _print, more=more)


def _print(found: Sequence[OperationReport]) -> None:
    if not found:
        say("there were no operations")
        return
    columns = ("id", "state", "what", "letters", "done", "by", "began", "why")
    print_columns([columns, *map(_row, found)])


def _row(each: OperationReport) -> tuple[str, ...]:
    done = f"{each.done:,}" + (f" ({each.seen:,} seen)" if each.seen != each.done else "")
    what = f"{each.act} {each.which.text}"[:80]
    return (
        *(str(each.id), each.state, what, f"{each.total:,}", done, each.by, local_time(each.began_at)),
        each.error or each.reason,
    )


@operations.command(name="cancel")
def cancel(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="ID", min=1, max=GREATEST, autocompletion=completion.operations)],
) -> None:
    """Cancel an operation that is under way. What it has done is kept."""
    from crawlerd.frontier.reports import OperationReport
    from crawlerd.operations.dead import cancel_act, not_under_way
    from crawlerd.operations.dead import operation as found

    with exit_codes():
        daemon = daemon_of(context)

        def here(by: str, now: float) -> OperationReport:
            with writer_of(daemon.state_dir) as frontier, existing_reader(daemon.state_dir) as reader:
                if not frontier.end_operation(number, None, cancel_act(number, by, now), now):
                    raise not_under_way(reader, number)
                return found(reader, number)

        ended = by_daemon_or_here(daemon, "POST", f"operations/{number}/cancel", OperationReport, None, here)
        confirm(ended, f"operation {number} is cancelled; {ended.done:,} of {ended.total:,} letters were done")
