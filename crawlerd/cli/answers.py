"""Results: as text for people, as JSON for programs; and remarks that go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from crawlerd.cli.modes import modes
from crawlerd.cli.terminal import say, say_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")


def tell(found: T, text: Callable[[T], None]) -> None:
    """Prints a result.

    found: the result, as --json prints it.
    text: prints it for people.
    """
    if modes.machine:
        print_json(found)
    else:
        text(found)


def tell_list(found: T, items: Sequence[object], text: Callable[[T], None], *, more: str = "") -> None:
    """Prints a list; with --jsonl, one line for each of the items.

    found: what --json prints.
    items: what --jsonl prints.
    text: prints it for people.
    more: how to get the items that are left out; "" if there are none.
    """
    import msgspec

    if modes.jsonl:
        modes.printed = True
        for each in items:
            say_json(msgspec.json.encode(each))
        if more:
            note(more)
        return
    tell(found, text)
    if more and not modes.machine:
        say(more)


def confirm(done: object, *sentences: str) -> None:
    """Confirms that an act succeeded. With --quiet, nothing is printed.

    done: what --json prints.
    sentences: what people read.
    """
    if modes.machine:
        print_json(done)
    elif not modes.quiet:
        for sentence in sentences:
            say(sentence)


def note(*sentences: str) -> None:
    """Prints remarks on stderr, unless --quiet is given."""
    if not modes.quiet:
        for sentence in sentences:
            say(sentence, error=True)


def print_json(value: object) -> None:
    """Prints one JSON value: on stdout, unless records go there."""
    import msgspec

    modes.printed = True
    say_json(msgspec.json.encode(value), error=modes.records)


def lines(texts: Iterable[str]) -> Callable[[object], None]:
    """A printer of these lines, for `tell`."""

    def text(_: object) -> None:
        for each in texts:
            say(each)

    return text
