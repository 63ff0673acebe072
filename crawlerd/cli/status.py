"""`crawlerd status`: what needs a look, what runs, what ran last, and what accounts wait for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli.answers import lines, print_json, tell
from crawlerd.cli.context import config_path, reader_of, running_pid, socket_path, state_directory
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.modes import modes
from crawlerd.cli.status_lines import status_lines, trouble_text
from crawlerd.cli.tables import terminal_width
from crawlerd.cli.terminal import say
from crawlerd.cli.watching import watch as watching
from crawlerd.core.errors import FrontierError, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.operations.status_report import StatusReport

WATCH_SECONDS = 2.0


def status(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every 2 seconds, until Ctrl-C.")] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="For cron and monit: print problems and exit with 1; print nothing if there are none."
        ),
    ] = False,
) -> None:
    """Show what needs a look, and the runs, imports and accounts, whether the daemon runs or not."""
    if watch + (check or modes.machine) > 1:
        fail("--watch cannot be combined with --json or --check", ExitCode.USAGE)
    with exit_codes():
        if check:
            _check(context)
        elif modes.machine:
            _print_json(context)
        elif watch:
            watching(lambda width: list(_lines(context, width)), WATCH_SECONDS)
        else:
            width = terminal_width()
            for line in _lines(context, width):
                say(line)


def _lines(context: typer.Context, width: int) -> Iterator[str]:
    pid, report = _found(context)
    yield f"crawlerd {f'is running (pid {pid})' if pid else 'is not running'}; state in {state_directory(context)}"
    if report is None:
        yield "nothing has been imported yet"
    else:
        yield from status_lines(report, time.time(), width, alive=pid is not None)


def _check(context: typer.Context) -> None:
    from crawlerd.cli.results import StatusCheck

    pid, report = _found(context)
    now = time.time()
    grave = [trouble_text(each, now) for each in report.troubles if each.grave] if report else []
    if report is None and not pid and _scheduled(context):
        grave.append("crawlerd: no daemon runs, so nothing starts by its schedule: start one with `crawlerd run`")
    tell(StatusCheck(wrong=grave), lines(grave))
    if grave:
        raise typer.Exit(ExitCode.FAILED)


def _scheduled(context: typer.Context) -> bool:
    from crawlerd.config.outline import outline

    found = outline(config_path(context))
    return found is not None and any(each.every for each in found.imports.values())


def _found(context: typer.Context) -> tuple[int | None, StatusReport | None]:
    """The process id of the crawlerd that works on the frontier, if there is one, and the status: from the daemon,
    otherwise from the disk."""
    from crawlerd.config.outline import outline
    from crawlerd.operations.live_facts import Unheard
    from crawlerd.operations.problem import Unknown
    from crawlerd.operations.status_report import StatusReport, status_report
    from crawlerd.service.control import Asked, ask

    folder = state_directory(context)
    pid = running_pid(folder)
    held_up = None
    if pid:
        try:
            if told := ask(Asked(folder, socket_path(context)), "GET", "status", StatusReport):
                return pid, told
        except Unknown:  # there is no frontier yet, or the daemon is of an earlier version
            pass
        except FrontierError as error:
            held_up = str(error)
    try:
        with reader_of(folder) as reader:
            if reader is None:
                return pid, None
            live = Unheard() if pid else None
            return pid, status_report(reader, live, outline(config_path(context)), time.time(), held_up=held_up)
    except StorageFailed as error:
        if pid is None:
            raise
        text = f"crawlerd is running (pid {pid}), but {error}; nothing is lost, and it goes on when that is mended"
        fail(text, ExitCode.DISK)


def _print_json(context: typer.Context) -> None:
    from msgspec.structs import asdict

    from crawlerd.cli.results import StatusNow, StatusRun
    from crawlerd.frontier.reports import Status
    from crawlerd.service.control import ask_trouble

    folder = state_directory(context)
    pid = running_pid(folder)
    trouble = ask_trouble(folder, socket_path(context)) if pid else None
    with reader_of(folder) as reader:
        found = reader.status() if reader else None
        streams = {run.id: reader.streams(run.id) for run in found.runs} if reader and found else {}
    facts = asdict(found or Status(ready=0, delayed=0, waiting=0, dead=0, runs=[], accounts=[]))
    facts["runs"] = [StatusRun(**asdict(run), streams=streams[run.id]) for run in facts["runs"]]
    _, told = _found(context)
    print_json(
        StatusNow(
            **facts,
            pid=pid,
            trouble=trouble,
            troubles=told.troubles if told else [],
            accounts_by_reason=told.accounts if told else {},
        )
    )
