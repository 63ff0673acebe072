"""`crawlerd dead …`: lists, shows and retries dead letters."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli.context import reader_of, socket_path, state_directory, writer_of
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.tables import local_time, print_columns
from crawlerd.cli.terminal import say, say_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

GREATEST = 2**63 - 1  # number that a database holds

dead = typer.Typer(help="Dead letters: tasks that are not retried by themselves.", no_args_is_help=True)


@dead.command(name="list")
def dead_list(
    context: typer.Context,
    import_name: Annotated[str | None, typer.Option("--import", help="Only those of one import.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number to list.", min=1, max=GREATEST)] = 100,
    after: Annotated[int, typer.Option(help="Start after this id.", min=0, max=GREATEST)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List dead letters with their reasons."""
    import msgspec

    with exit_codes(), reader_of(state_directory(context)) as reader:
        if reader and import_name and reader.latest(import_name) is None:
            fail(f"import {import_name} has not run yet, or there is none of that name", ExitCode.FAILED)
        letters = reader.dead_letters(import_name=import_name, after=after, limit=limit) if reader else []
        if as_json:
            say_json(msgspec.json.encode(letters))
        elif not letters:
            say("no dead letters")
        else:
            print_columns(
                [("id", "import", "stream", "attempts", "at", "error")]
                + [
                    (
                        str(each.id),
                        each.import_name,
                        each.stream,
                        str(each.attempts),
                        local_time(each.at),
                        each.error[:100],
                    )
                    for each in letters
                ]
            )
            if len(letters) == limit:
                say(f"there may be more: --after {letters[-1].id}")


@dead.command(name="show")
def dead_show(
    context: typer.Context, number: Annotated[int, typer.Argument(metavar="ID", min=1, max=GREATEST)]
) -> None:
    """Show one dead letter, whole, as JSON."""
    import msgspec

    with exit_codes(), reader_of(state_directory(context)) as reader:
        letter = reader.dead_letter(number) if reader else None
        if letter is None:
            fail(f"there is no dead letter {number}", ExitCode.FAILED)
        say_json(msgspec.json.format(msgspec.json.encode(letter), indent=2))


@dead.command(name="retry")
def dead_retry(
    context: typer.Context,
    numbers: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", min=1, max=GREATEST)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
) -> None:
    """Make dead letters ready again, with all their attempts."""
    if bool(numbers) == everything:
        fail("specify the dead letters to retry, or use --all", ExitCode.USAGE)
    with exit_codes():
        folder = state_directory(context)
        groups = _all_dead(folder) if everything else [_known_dead(folder, numbers or ())]
        count = sum(_retry(folder, group, socket_path(context)) for group in groups if group)
        say(f"{count:,} dead letters are ready again")
        if not count and numbers:
            raise typer.Exit(ExitCode.FAILED)


def _known_dead(folder: Path, numbers: Sequence[int]) -> list[int]:
    """Those of the numbers that are dead letters'; the others are named."""
    with reader_of(folder) as reader:
        known = [number for number in dict.fromkeys(numbers) if reader and reader.dead_letter(number)]
    for number in set(numbers).difference(known):
        say(f"crawlerd: there is no dead letter {number}", error=True)
    return known


def _all_dead(folder: Path) -> Iterator[list[int]]:
    after = 0
    while True:
        with reader_of(folder) as reader:
            letters = reader.dead_letters(after=after, limit=10_000) if reader else []
        if not letters:
            return
        yield [each.id for each in letters]
        after = letters[-1].id


def _retry(folder: Path, numbers: list[int], configured: Path | None) -> int:
    """Through the daemon if one runs, else in the frontier itself. configured: path of the daemon's socket."""
    from crawlerd.frontier.lock import lock_holder

    if lock_holder(folder) is not None:
        from crawlerd.operations.dead import Retried, RetryRequest
        from crawlerd.service.control import Asked, must_ask

        return must_ask(Asked(folder, configured), "POST", "dead/retry", Retried, RetryRequest(numbers)).retried
    from crawlerd.operations.dead import retry_act
    from crawlerd.service.control import user_name

    with writer_of(folder) as frontier:
        act = retry_act(numbers, user_name(os.getuid()), time.time())
        count, imports = frontier.retry_dead(numbers, act)
    if imports:
        say(f"run `crawlerd import {' '.join(imports)}` to perform them")
    return count
