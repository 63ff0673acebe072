"""The options that select dead letters, shared by all commands of `crawlerd dead`."""

from __future__ import annotations

import inspect
import math
import time
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from crawlerd.cli import completion
from crawlerd.cli.exits import ExitCode, fail
from crawlerd.core.durations import parse_duration
from crawlerd.core.pauses import parse_time
from crawlerd.core.row_numbers import GREATEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.frontier.letter_filter import LetterFilter


Ids = Annotated[
    list[int] | None, typer.Argument(metavar="[ID]...", min=1, max=GREATEST, autocompletion=completion.letters)
]
Import = Annotated[
    str | None, typer.Option("--import", help="Only letters of one import.", autocompletion=completion.imports)
]
Account = Annotated[
    str | None,
    typer.Option("--account", help="Only letters of an account and its parts.", autocompletion=completion.accounts),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        help="Only letters of one kind of task, such as stripe.charges.",
        autocompletion=completion.letter_kinds,
    ),
]
Stream = Annotated[
    str | None, typer.Option("--stream", help="Only letters of one stream.", autocompletion=completion.streams)
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group", help="Only letters of one group of `crawlerd dead groups`.", autocompletion=completion.letter_groups
    ),
]
Error = Annotated[
    str | None, typer.Option("--error", help="Only letters whose error contains this text; case is ignored.")
]
Since = Annotated[
    str,
    typer.Option("--since", metavar="TIME", help="Only letters since this time: a date, or how long ago, such as 2h."),
]
Until = Annotated[
    str,
    typer.Option("--until", metavar="TIME", help="Only letters before this time: a date, or how long ago, such as 2h."),
]
Run = Annotated[
    int | None,
    typer.Option("--run", help="Only letters of one run.", min=1, max=GREATEST, autocompletion=completion.runs),
]


def takes_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of a filter; its parameter `which` gets the filter. A command that has the parameter
    `everything` (--all) also takes the ids of letters."""
    own = inspect.signature(command).parameters
    hints = get_type_hints(command, include_extras=True, localns={"LetterFilter": object})
    parameters: list[inspect.Parameter] = []
    for name, parameter in own.items():
        if name != "which":
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        shared = inspect.signature(_filter, eval_str=True, locals={"LetterFilter": object}).parameters
        parameters += [each for each in shared.values() if each.name != "ids" or "everything" in own]

    @wraps(command)
    def taking(**given: Any) -> None:
        others = {name: given.pop(name) for name in own if name != "which"}
        command(which=_filter(**given), **others)

    taking.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # `inspect` asks for it
    taking.__annotations__ = {each.name: each.annotation for each in parameters}
    return taking


def must_be_narrow(which: LetterFilter, act: str, *, everything: bool) -> None:
    """Ends the command unless its options select letters, or --all selects every one, but not both."""
    if which.narrow == everything:
        fail(f"specify the dead letters to {act}, by id or by options such as --import, or use --all", ExitCode.USAGE)


def _filter(
    ids: Ids = None,
    import_name: Import = None,
    account: Account = None,
    kind: Kind = None,
    stream: Stream = None,
    group: Group = None,
    error: Error = None,
    since: Since = "",
    until: Until = "",
    run: Run = None,
) -> LetterFilter:
    """The filter that the options make."""
    from crawlerd.frontier.letter_filter import LetterFilter

    now = time.time()
    return LetterFilter(
        ids=sorted(set(ids or ())),
        import_name=import_name,
        account=account,
        kind=kind,
        stream=stream,
        group=group,
        error=error,
        since=_time("--since", since, now),
        until=_time("--until", until, now),
        run=run,
    )


def _time(option: str, text: str, now: float) -> float | None:
    """A time option as Unix seconds."""
    if not text:
        return None
    with suppress(ValueError):
        return now - parse_duration(text)
    try:
        return parse_time(text, -math.inf)
    except ValueError as error:
        fail(f"{option}: {error}; or how long ago, such as 2h", ExitCode.USAGE)
