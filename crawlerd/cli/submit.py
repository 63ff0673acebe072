"""`crawlerd submit`: adds a task to the current run of an import, or to a new one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import confirm
from crawlerd.cli.context import by_daemon_or_here, config_path, daemon_of, read_settings, writer_of
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from crawlerd.operations.submitting import TasksRequest, TasksSubmitted

MOST_INPUT = 2 << 20  # bytes


def submit(
    context: typer.Context,
    kind: Annotated[
        str, typer.Argument(help="The kind of task, as the import's source names it.", autocompletion=completion.kinds)
    ],
    args: Annotated[str, typer.Argument(help='Its arguments, a JSON object; "-" for stdin.')],
    name: Annotated[
        str,
        typer.Option(
            "--import", metavar="NAME", help="The import that it belongs to.", autocompletion=completion.imports
        ),
    ],
) -> None:
    """Add a task to the run of an import that is under way, or start a run that has only this task.

    Such a run publishes no sync point and writes no tombstones. A task that its run has or had already is not added
    again.
    """
    with exit_codes():
        done, performed = _submitted(context, name, _request(kind, args))
        what = "has the task now" if done.added else "already had this task: nothing is added"
        then = "" if performed else f"; the daemon performs it when it starts, or `crawlerd import {name}`"
        confirm(done, shown(f"{'new ' if done.began else ''}run {done.run} of import {name} {what}{then}"))


def _request(kind: str, args: str) -> TasksRequest:
    import msgspec

    from crawlerd.engine.submittable import TaskRequest
    from crawlerd.operations.submitting import TasksRequest

    text = sys.stdin.buffer.read(MOST_INPUT + 1) if args == "-" else args.encode(errors="surrogateescape")
    if len(text) > MOST_INPUT:
        fail("the arguments have more than 2 MiB", ExitCode.USAGE)
    try:
        msgspec.json.decode(text, type=dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fail(f'ARGS is not a JSON object: {error}; write for example \'{{"id": "cus_1"}}\'', ExitCode.USAGE)
    return TasksRequest(tasks=[TaskRequest(kind, msgspec.Raw(text))])


def _submitted(context: typer.Context, name: str, request: TasksRequest) -> tuple[TasksSubmitted, bool]:
    """What was done, and whether a daemon has done it."""
    from crawlerd.operations.submitting import TasksSubmitted, here

    settings = read_settings(config_path(context), secrets=False)
    by_files = False

    def in_files(by: str, now: float) -> TasksSubmitted:
        nonlocal by_files
        with writer_of(settings.daemon.state_dir) as frontier:
            by_files = True
            return here(settings, frontier, name, request, by, now)

    place = f"imports/{quote(name, safe='')}/tasks"
    done = by_daemon_or_here(daemon_of(context), "POST", place, TasksSubmitted, request, in_files)
    return done, not by_files
