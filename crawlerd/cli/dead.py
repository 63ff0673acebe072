"""`crawlerd dead …`: lists and shows dead letters, and groups of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli import dead_options as options
from crawlerd.cli.answers import tell, tell_list
from crawlerd.cli.context import reader_of, state_directory
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.tables import local_time, print_columns
from crawlerd.cli.terminal import say, say_json
from crawlerd.core.row_numbers import GREATEST
from crawlerd.core.wording import plain_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.letter_filter import LetterFilter
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import DeadGroup, DeadLetter

dead = typer.Typer(
    help="List, retry, drop and export dead letters: tasks that are no longer retried automatically.",
    no_args_is_help=True,
)


@dead.command(name="list")
@options.takes_filter
def dead_list(
    context: typer.Context,
    which: LetterFilter,
    limit: Annotated[int, typer.Option(help="Maximum number to list.", min=1, max=GREATEST)] = 100,
    after: Annotated[int, typer.Option(help="Start after this id.", min=0, max=GREATEST)] = 0,
) -> None:
    """List dead letters with their reasons. Several letters of the same task are shown as one, the newest, with a
    count."""
    with exit_codes(), reader_of(state_directory(context)) as reader:
        if reader:
            check_import(reader, which)
        letters = reader.dead_letters(which, after=after, limit=limit, one_each=True) if reader else []
        more = f"there may be more: --after {letters[-1].id}" if len(letters) == limit else ""
        tell_list(letters, letters, lambda found: _print_letters(found, narrow=which.narrow), more=more)


def check_import(reader: FrontierReader, which: LetterFilter) -> None:
    """Raises Unknown if the filter names an import that has never run, as after a typing error."""
    from crawlerd.operations.problem import Unknown

    if which.import_name and reader.latest(which.import_name) is None:
        raise Unknown(f"import {which.import_name} has not run yet, or does not exist")


def _print_letters(letters: Sequence[DeadLetter], *, narrow: bool) -> None:
    if not letters:
        say("no dead letters match" if narrow else "no dead letters")
        return
    print_columns(
        [("id", "import", "stream", "attempts", "letters", "at", "error")]
        + [
            (
                str(each.id),
                each.import_name,
                each.stream,
                str(each.attempts),
                f"{each.letters:,}",
                local_time(each.at),
                plain_error(each.error)[:100],
            )
            for each in letters
        ]
    )


@dead.command(name="groups")
def dead_groups(
    context: typer.Context,
    import_name: options.Import = None,
    limit: Annotated[int, typer.Option(help="Maximum number to list.", min=1, max=10_000)] = 50,
) -> None:
    """Group dead letters by failure: one line for each failure, the most frequent first.

    Letters form one group when source, kind, error class and status are the same, and so is the message apart from its
    digits, ids and quotations.
    """
    with exit_codes(), reader_of(state_directory(context)) as reader:
        groups = reader.dead_groups(import_name=import_name, limit=limit) if reader else []
        more = f"there may be more: --limit {2 * limit}" if len(groups) == limit else ""
        tell_list(groups, groups, _print_groups, more=more)


def _print_groups(groups: Sequence[DeadGroup]) -> None:
    if not groups:
        say("no dead letters")
        return
    columns = ("group", "letters", "imports", "kind", "last", "example", "failure")
    rows = [
        (
            each.group,
            f"{each.letters:,}",
            f"{each.imports:,}",
            each.kind,
            local_time(each.last_at),
            str(each.example),
            failure_text(each)[:100],
        )
        for each in groups
    ]
    print_columns([columns, *rows])


HIDDEN = ("", "Permanent", "Transient")  # error classes that say nothing to people


def failure_text(group: DeadGroup) -> str:
    """The failure as text, such as "HTTP 404: no such charge: *"."""
    status = "" if group.status is None else f"HTTP {group.status}"
    name = "" if group.error_class in HIDDEN else group.error_class
    return ": ".join(part for part in (name, status, group.message) if part) or "no error text"


@dead.command(name="show")
def dead_show(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="ID", min=1, max=GREATEST, autocompletion=completion.letters)],
) -> None:
    """Show one dead letter with all its details, as JSON."""
    import msgspec

    from crawlerd.operations.problem import Unknown

    with exit_codes(), reader_of(state_directory(context)) as reader:
        letter = reader.dead_letter(number) if reader else None
        if letter is None:
            raise Unknown(f"there is no dead letter {number}")
        tell(letter, lambda found: say_json(msgspec.json.format(msgspec.json.encode(found), indent=2)))
