"""`crawlerd dead retry` and `drop`: the command counts the matching letters, asks the user, and starts an operation."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli import dead_options as options
from crawlerd.cli.answers import confirm, lines, note, print_json, tell
from crawlerd.cli.context import by_daemon_or_here, daemon_of, existing_reader, reader_of, writer_of
from crawlerd.cli.dead import check_import, dead
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.modes import modes
from crawlerd.cli.terminal import say
from crawlerd.core.wording import agreeing, counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from crawlerd.frontier.letter_contract import Stepped
    from crawlerd.frontier.letter_filter import LetterFilter
    from crawlerd.frontier.reports import LetterAct, LetterCount, OperationReport
    from crawlerd.operations.dead import LettersRequest
    from crawlerd.service.control import Asked

LOOK_SECONDS = 0.1  # seconds between two checks of what the daemon has done
TELL_SECONDS = 1.0  # seconds between two lines of progress on a terminal
All = Annotated[bool, typer.Option("--all", help="Select every dead letter.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation; required without a terminal.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print how many match, and change nothing.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the daemon to finish.")]


@dead.command(name="retry")
@options.takes_filter
def dead_retry(
    context: typer.Context,
    which: LetterFilter,
    everything: All = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Make dead letters ready again, with all their attempts. Select them by id, or by what they have in common."""
    _act(context, "retry", which, "", everything=everything, yes=yes, dry_run=dry_run, wait=not no_wait)


@dead.command(name="drop")
@options.takes_filter
def dead_drop(
    context: typer.Context,
    which: LetterFilter,
    everything: All = False,
    reason: Annotated[str, typer.Option(help="Why, for the audit. On a terminal, you are asked for it.")] = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Drop dead letters for good. Select them by id, or by what they have in common. The records that they would have
    brought stay missing."""
    if not reason and not dry_run:
        if not _can_ask():
            fail("give --reason: why these letters are dropped is kept in the audit", ExitCode.USAGE)
        reason = typer.prompt("Why are they dropped?", err=True)
    _act(context, "drop", which, reason, everything=everything, yes=yes, dry_run=dry_run, wait=not no_wait)


def _act(
    context: typer.Context,
    act: LetterAct,
    which: LetterFilter,
    reason: str,
    *,
    everything: bool,
    yes: bool,
    dry_run: bool,
    wait: bool,
) -> None:
    from crawlerd.cli.results import Counted
    from crawlerd.operations.dead import LettersRequest, check

    options.must_be_narrow(which, act, everything=everything)
    with exit_codes():
        check(which)
        daemon = daemon_of(context)
        found = _counted(daemon.state_dir, which)
        if dry_run:
            text = f"{agreeing(found.count, 'dead letter', 'match')} ({which.text}); nothing was changed"
            tell(Counted(count=found.count), lines([text]))
            return
        if not found.count:
            confirm(Counted(count=0), f"no dead letters match ({which.text})" if _narrowed(which) else _done(act, 0))
            if which.ids:
                raise typer.Exit(ExitCode.FAILED)
            return
        if not yes and (act == "drop" or not _only_ids(which)):
            _ask(act, which, found.count)
        request = LettersRequest(which=which, reason=reason, expect=found.count, through=found.through)
        operation = carry_out(daemon, act, request, wait=wait)
        if operation.ended_at is None:
            confirm(operation, f"operation {operation.id} has started: `crawlerd operations` shows its progress")
        elif operation.state == "done":
            left = operation.stayed
            more = operation.done - operation.seen
            confirm(
                operation,
                _done(act, operation.done),
                *([LEFT[act].format(agreeing(left, "letter", "stay"))] if left else []),
                *([f"{more:,} of them did not match: they follow a group, and come back with it"] if more > 0 else []),
            )
        else:
            if modes.machine:
                print_json(operation)
            why = f": {operation.error}" if operation.error else ""
            fail(
                f"operation {operation.id} is {operation.state}, {operation.done:,} letters done{why}", ExitCode.FAILED
            )


LEFT = {
    "retry": "{}: their run was cancelled, or they follow a group and come back with its other dead letters",
    "drop": "{}: their run was cancelled, or is under way and they are in a group that it waits for",
}


def _counted(folder: Path, which: LetterFilter) -> LetterCount:
    """How many letters match. Prints the ids that are not dead letters. Raises Unknown for an import without runs."""
    from crawlerd.frontier.reports import LetterCount

    with reader_of(folder) as reader:
        if reader is None:
            found, known = LetterCount(0, 0), set[int]()
        else:
            check_import(reader, which)
            found, known = reader.count_letters(which), set(reader.known_dead(which.ids))
    for number in which.ids:
        if number not in known:
            say(f"crawlerd: there is no dead letter {number}", error=True)
    return found


def _only_ids(which: LetterFilter) -> bool:
    """Whether the user has named each of the letters."""
    from crawlerd.frontier.letter_filter import LetterFilter

    return which == LetterFilter(ids=which.ids)


def _narrowed(which: LetterFilter) -> bool:
    """Whether the user has selected letters by what they have in common."""
    return not which.ids and which.narrow


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask(act: str, which: LetterFilter, count: int) -> None:
    what = f"{counted(count, 'dead letter')} ({which.text})"
    if not _can_ask():
        fail(f"this would {act} {what}: confirm with --yes, or use --dry-run", ExitCode.USAGE)
    if not typer.confirm(f"{act.capitalize()} {what}?", err=True):
        fail("nothing was changed", ExitCode.FAILED)


def _done(act: str, count: int) -> str:
    return (
        f"{agreeing(count, 'dead letter')} ready again"
        if act == "retry"
        else f"{agreeing(count, 'dead letter', 'were')} dropped"
    )


def carry_out(daemon: Asked, act: LetterAct, request: LettersRequest, *, wait: bool) -> OperationReport:
    """Starts an operation: in the daemon if one runs, otherwise in this process.

    wait: return when the operation has ended.
    """
    from crawlerd.frontier.reports import OperationReport

    def here(by: str, now: float) -> OperationReport:
        return _here(daemon.state_dir, act, request, by, now)

    operation = by_daemon_or_here(daemon, "POST", f"dead/{act}", OperationReport, request, here)
    return _followed(daemon.state_dir, operation) if wait else operation


def _here(folder: Path, act: LetterAct, request: LettersRequest, by: str, now: float) -> OperationReport:
    """Performs the operation in this process, after operations that were interrupted earlier."""
    from crawlerd.engine.bulk import chunks
    from crawlerd.operations.dead import begun
    from crawlerd.operations.dead import operation as found

    imports: dict[str, None] = {}
    with writer_of(folder) as frontier:
        with existing_reader(folder) as reader:
            asked, audited = begun(reader, act, request, by, now)
        mine = frontier.begin_operation(asked, audited)
        for operation in frontier.running_operations():

            def step(numbers: Sequence[int], number: int = operation.id) -> Stepped | None:
                return frontier.step_operation(number, numbers, time.time())

            for stepped in chunks(operation, folder, step):
                imports |= dict.fromkeys(stepped.imports)
        with existing_reader(folder) as reader:
            ended = found(reader, mine.id)
    if imports:
        note(f"run `crawlerd import {' '.join(sorted(imports))}` to perform them")
    return ended


def _followed(folder: Path, operation: OperationReport) -> OperationReport:
    """Waits for the end of an operation. Ctrl-C ends the waiting, not the operation."""
    told_at = time.monotonic()
    while operation.ended_at is None:
        time.sleep(LOOK_SECONDS)  # the daemon is another process, and does not report to us
        with reader_of(folder) as reader:
            operation = (reader and reader.operation(operation.id)) or operation
        if time.monotonic() - told_at >= TELL_SECONDS and sys.stderr.isatty() and modes.shows_progress:
            told_at = time.monotonic()
            why = f"; it waits: {operation.error}" if operation.error else ""
            say(f"operation {operation.id}: {operation.seen:,} of {operation.total:,}{why}", error=True)
    return operation
