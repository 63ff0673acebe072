"""Results: for people as text, for programs as JSON; and what is said beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from crawlerd.cli.modes import modes
from crawlerd.cli.terminal import say, say_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")


def tell(found: T, text: Callable[[T], None]) -> None:
    """A result that was asked for. text: prints it for people."""
    if modes.machine:
        print_json(found)
    else:
        text(found)


def tell_list(found: T, items: Sequence[object], text: Callable[[T], None], *, more: str = "") -> None:
    """A list that was asked for: with --jsonl a line for each of the items.

    found: what --json prints.
    more: how to get what is left out; "" where nothing is.
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
    """The result of an act, which went well: people who want quiet need not hear it."""
    if modes.machine:
        print_json(done)
    elif not modes.quiet:
        for sentence in sentences:
            say(sentence)


def note(*sentences: str) -> None:
    """What is good to know, on stderr."""
    if not modes.quiet:
        for sentence in sentences:
            say(sentence, error=True)


def print_json(value: object) -> None:
    """One JSON value, on stdout unless records go there."""
    import msgspec

    modes.printed = True
    say_json(msgspec.json.encode(value), error=modes.records)


def lines(texts: Iterable[str]) -> Callable[[object], None]:
    """For `tell`: these lines."""

    def text(_: object) -> None:
        for each in texts:
            say(each)

    return text
