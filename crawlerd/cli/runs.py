"""`crawlerd runs`: lists runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import tell_list
from crawlerd.cli.context import reader_of, running_pid, state_directory
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.tables import duration, local_time, print_columns
from crawlerd.core.durations import parse_duration
from crawlerd.core.row_numbers import GREATEST

if TYPE_CHECKING:
    from crawlerd.frontier.reports import RunReport
    from crawlerd.operations.run_history import Runs

INTERRUPTED = "interrupted"  # the frontier says that it runs, but no crawlerd works on it


def runs(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Only the runs of this import.", autocompletion=completion.imports),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            help="running, interrupted, completed, 'completed with dead letters', failed or cancelled.",
            autocompletion=completion.run_states,
        ),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="DURATION", help="Only runs that began within this time, such as 7d.")
    ] = "",
    limit: Annotated[int, typer.Option(help="Maximum number to list.", min=1, max=500)] = 50,
    after: Annotated[int | None, typer.Option(help="Only runs older than this one.", min=1, max=GREATEST)] = None,
) -> None:
    """List runs, the newest first."""
    from crawlerd.operations.run_history import Runs, RunsRequest, State
    from crawlerd.operations.run_history import runs as found_runs

    states = [*get_args(State), INTERRUPTED]
    if state is not None and state not in states:
        fail(f"--state: {state} is not a state of runs; write one of {', '.join(states)}", ExitCode.USAGE)
    try:
        start = time.time() - parse_duration(since) if since else 0.0
    except ValueError as error:
        fail(f"--since: {error}", ExitCode.USAGE)
    with exit_codes():
        folder = state_directory(context)
        alive = running_pid(folder) is not None
        wanted = "running" if state == INTERRUPTED else state
        request = RunsRequest(import_name=name, state=wanted, since=start, after=after, limit=limit)  # type: ignore[arg-type] # see above
        nothing = alive if state == INTERRUPTED else not alive and state == "running"
        with reader_of(folder) as reader:
            found = found_runs(reader, request) if reader and not nothing else Runs(runs=[])
        again = f"crawlerd runs{f' {name}' if name else ''} --after {found.next}"
        more = "" if found.next is None else f"there are more: {again}"
        tell_list(found, found.runs, lambda found: _print(found, alive=alive), more=more)


def _print(found: Runs, *, alive: bool) -> None:
    rows = [("run", "import", "state", "started", "took", "records", "tasks", "dead", "complete", "read", "began")]
    rows += [
        (
            str(each.id),
            each.import_name,
            each.state if alive or each.state != "running" else INTERRUPTED,
            local_time(each.started_at),
            duration((each.ended_at or time.time()) - each.started_at),
            f"{each.records:,}",
            f"{each.done:,}",
            f"{each.dead:,}",
            "yes" if each.complete else "no",
            _read(each),
            each.began,
        )
        for each in found.runs
    ]
    print_columns(rows)


def _read(run: RunReport) -> str:
    """What the run was meant to read."""
    if run.part or run.ad_hoc:
        return run.ad_hoc or f"all of {run.part}"
    return "all" if run.full else "what has changed"
