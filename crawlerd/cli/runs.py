"""`crawlerd runs`: which runs there were."""

from __future__ import annotations

import time
from typing import Annotated, get_args

import typer

from crawlerd.cli.context import reader_of, state_directory
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.tables import duration, local_time, print_columns
from crawlerd.cli.terminal import say, say_json
from crawlerd.core.durations import parse_duration

GREATEST = 2**63 - 1  # number that a database holds


def runs(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only the runs of this import.")] = None,
    state: Annotated[
        str | None, typer.Option(help="running, completed, 'completed with dead letters', failed or cancelled.")
    ] = None,
    since: Annotated[str, typer.Option(metavar="DURATION", help="Only what began since so long, such as 7d.")] = "",
    limit: Annotated[int, typer.Option(help="Maximum number to list.", min=1, max=500)] = 50,
    after: Annotated[int | None, typer.Option(help="Only runs older than this one.", min=1, max=GREATEST)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List runs, the newest first."""
    import msgspec

    from crawlerd.frontier.lock import lock_holder
    from crawlerd.operations.run_history import Runs, RunsRequest, State
    from crawlerd.operations.run_history import runs as found_runs

    if state is not None and state not in get_args(State):
        fail(f"--state: {state} is none; write one of {', '.join(get_args(State))}", ExitCode.USAGE)
    try:
        start = time.time() - parse_duration(since) if since else 0.0
    except ValueError as error:
        fail(f"--since: {error}", ExitCode.USAGE)
    with exit_codes():
        folder = state_directory(context)
        request = RunsRequest(import_name=name, state=state, since=start, after=after, limit=limit)  # type: ignore[arg-type] # see above
        with reader_of(folder) as reader:
            found = found_runs(reader, request) if reader else Runs(runs=[])
        if as_json:
            say_json(msgspec.json.encode(found))
            return
        alive = lock_holder(folder) is not None
        rows = [("run", "import", "state", "started", "took", "records", "tasks", "dead", "complete", "began")]
        rows += [
            (
                str(each.id),
                each.import_name,
                each.state if alive or each.state != "running" else "interrupted",
                local_time(each.started_at),
                duration((each.ended_at or time.time()) - each.started_at),
                f"{each.records:,}",
                f"{each.done:,}",
                f"{each.dead:,}",
                "yes" if each.complete else "no",
                each.began,
            )
            for each in found.runs
        ]
        print_columns(rows)
        if found.next is not None:
            say(f"there are more: crawlerd runs{f' {name}' if name else ''} --after {found.next}")
