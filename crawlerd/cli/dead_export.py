"""`crawlerd dead export` and `import`: hand dead letters to other programs, and take them back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crawlerd.cli import completion
from crawlerd.cli import dead_options as options
from crawlerd.cli.answers import confirm, lines, tell
from crawlerd.cli.context import daemon_of, existing_reader, reader_of, state_directory
from crawlerd.cli.dead import dead
from crawlerd.cli.dead_acts import All, DryRun, carry_out
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.terminal import say
from crawlerd.core.row_numbers import GREATEST
from crawlerd.core.wording import agreeing

if TYPE_CHECKING:
    from crawlerd.frontier.letter_filter import LetterFilter
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.service.control import Asked
    from crawlerd.sinks.letter_queue import LetterQueue

CHUNK = 500  # letters that are read or retried at once
Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="A persist-queue directory.", autocompletion=completion.files)
]


@dead.command(name="export")
@options.takes_filter
def dead_export(
    context: typer.Context,
    directory: Directory,
    which: LetterFilter,
    everything: All = False,
    dry_run: DryRun = False,
) -> None:
    """Put copies of dead letters into a queue for other programs. Select them by id, or by what they have in common.

    The queue is a directory for `persistqueue.SQLiteAckQueue` with the JSON serializer. The letters stay dead letters.
    """
    options.must_be_narrow(which, "export", everything=everything)
    from crawlerd.cli.results import LettersExported
    from crawlerd.operations.dead import check

    with exit_codes():
        check(which)
        folder = state_directory(context)
        with reader_of(folder) as reader:
            found = reader.count_letters(which) if reader else None
        if found is None or not found.count:
            confirm(LettersExported(count=0, directory=None), "no dead letters match")
            return
        if dry_run:
            text = f"{agreeing(found.count, 'dead letter', 'match')} ({which.text}); nothing was written"
            tell(LettersExported(count=found.count, directory=None), lines([text]))
            return
        from crawlerd.sinks.letter_queue import letter_queue

        with letter_queue(directory, make=True) as queue:
            count = _put_all(folder, which, found.through, queue)
        done = LettersExported(count=count, directory=str(directory))
        confirm(done, f"{agreeing(count, 'dead letter', 'were')} put into {directory}")


def _put_all(folder: Path, which: LetterFilter, through: int, queue: LetterQueue) -> int:
    import msgspec

    count = last = 0
    while True:
        with existing_reader(folder) as reader:
            numbers = reader.next_letters(which, through=through, after=last, most=CHUNK)
            letters = [letter for number in numbers if (letter := reader.dead_letter(number))]
        for letter in letters:
            queue.put(msgspec.to_builtins(letter))
        count += len(letters)
        if not numbers:
            return count
        last = numbers[-1]


@dead.command(name="import")
def dead_import(context: typer.Context, directory: Directory) -> None:
    """Take exported dead letters back from a queue and retry them, as `dead retry` does.

    An item leaves the queue when its letter is ready again. Items that cannot be taken back are listed and stay in the
    queue as failed; the exit code is then 1.
    """
    from crawlerd.cli.results import LettersTaken
    from crawlerd.sinks.letter_queue import letter_queue

    with exit_codes():
        daemon = daemon_of(context)
        count, refused = 0, list[str]()
        with letter_queue(directory, make=False) as queue:
            while items := _next(queue):
                done, left = _take_back(daemon, queue, items)
                count, refused = count + done, refused + left
        more = f"; {len(refused):,} items were refused" if refused else ""
        confirm(LettersTaken(count=count, refused=refused), f"{agreeing(count, 'dead letter')} ready again{more}")
        if refused:
            raise typer.Exit(ExitCode.FAILED)


def _next(queue: LetterQueue) -> list[tuple[Any, Any]]:
    items: list[tuple[Any, Any]] = []
    while len(items) < CHUNK and (item := queue.get()) is not None:
        items.append(item)
    return items


def _take_back(daemon: Asked, queue: LetterQueue, items: list[tuple[Any, Any]]) -> tuple[int, list[str]]:
    """How many letters are ready again, and why other items were refused."""
    from crawlerd.frontier.letter_filter import LetterFilter
    from crawlerd.operations.dead import LettersRequest

    with reader_of(daemon.state_dir) as reader:
        problems = [(number, item, _problem(reader, item)) for number, item in items]
    ids = sorted({item["id"] for _, item, problem in problems if problem is None})
    done = 0
    if ids:
        request = LettersRequest(which=LetterFilter(ids=ids), reason="taken back from a queue")
        operation = carry_out(daemon, "retry", request, wait=True)
        if operation.state != "done":  # the items stay in the queue for the next time
            fail(f"operation {operation.id} is {operation.state}: {operation.error or 'cancelled'}", ExitCode.FAILED)
        done = operation.done
    for number, _, problem in problems:
        if problem is None:
            queue.ack(number)
        else:
            say(f"crawlerd: refused an item: {problem}", error=True)
            queue.refuse(number)
    return done, [problem for _, _, problem in problems if problem is not None]


def _problem(reader: FrontierReader | None, item: Any) -> str | None:
    """Why an item cannot be taken back; None if it can."""
    number = item.get("id") if isinstance(item, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= GREATEST:
        return f"it is not a dead letter: {str(item)[:80]!r} has no numeric `id`"
    letter = reader.dead_letter(number) if reader else None
    if letter is None:
        return f"there is no dead letter {number} any more: it was retried or dropped, or a later run has done its task"
    for field, value in (("run", letter.run), ("kind", letter.kind), ("payload", letter.payload)):
        if item.get(field) != value:
            return f"the item is not dead letter {number}, or was edited: its `{field}` differs"
    return None
