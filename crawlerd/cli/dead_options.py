"""The options that say which dead letters are meant, as all commands of `crawlerd dead` have them."""

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
    str | None, typer.Option("--import", help="Only those of one import.", autocompletion=completion.imports)
]
Account = Annotated[
    str | None,
    typer.Option("--account", help="Only those of an account and its parts.", autocompletion=completion.accounts),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind", help="Only tasks of one kind, such as stripe.charges.", autocompletion=completion.letter_kinds
    ),
]
Stream = Annotated[
    str | None, typer.Option("--stream", help="Only those of one stream.", autocompletion=completion.streams)
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group", help="Only those of one group of `crawlerd dead groups`.", autocompletion=completion.letter_groups
    ),
]
Error = Annotated[str | None, typer.Option("--error", help="Only those whose error has this text, in any case.")]
Since = Annotated[
    str, typer.Option("--since", metavar="TIME", help="Only those since then: a time, or how long ago, such as 2h.")
]
Until = Annotated[
    str, typer.Option("--until", metavar="TIME", help="Only those before then: a time, or how long ago, such as 2h.")
]
Run = Annotated[
    int | None,
    typer.Option("--run", help="Only those of one run.", min=1, max=GREATEST, autocompletion=completion.runs),
]


def takes_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that make a filter, in the place of its parameter `which`, which gets the filter. A
    command that acts on letters also takes their ids: one with --all, the parameter `everything`."""
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
    """Fails unless it is said which letters are meant, or that all are."""
    if which.narrow == everything:
        fail(f"specify the dead letters to {act} by id or by what they have in common, or use --all", ExitCode.USAGE)


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
    """What was asked for."""
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
    """Unix seconds."""
    if not text:
        return None
    with suppress(ValueError):
        return now - parse_duration(text)
    try:
        return parse_time(text, -math.inf)
    except ValueError as error:
        fail(f"{option}: {error}; or how long ago, such as 2h", ExitCode.USAGE)
