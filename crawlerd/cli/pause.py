"""`crawlerd pause` and `crawlerd resume`: a person stops an import, account, bucket or source, and lets it go on."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, get_args
from urllib.parse import quote

import typer

from crawlerd.cli.context import config_path, read_settings, reader_of, socket_path, state_directory, writer_of
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.tables import local_time
from crawlerd.cli.terminal import say, say_json
from crawlerd.core.durations import parse_duration
from crawlerd.core.errors import ConfigurationError
from crawlerd.core.pauses import Pausable, parse_time
from crawlerd.core.redaction import shown
from crawlerd.operations.pause_requests import configured_names

if TYPE_CHECKING:
    from collections.abc import Collection

    from crawlerd.core.pauses import PauseNote
    from crawlerd.operations.pause_requests import PauseRequest

KINDS = tuple(get_args(Pausable))
Kind = Annotated[str, typer.Argument(metavar="KIND", help=f"What it is: {', '.join(KINDS)}.")]
Named = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names; of a bucket, ACCOUNT/BUCKET.")]


def pause(
    context: typer.Context,
    kind: Kind,
    names: Named,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it later.")],
    until: Annotated[
        str, typer.Option(metavar="TIME", help="When it ends by itself, such as 2027-01-31T06:00 (UTC without a zone).")
    ] = "",
    lasting: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long it lasts, such as 2h.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """Let nothing more start of an import, an account, a bucket or all accounts of a source, until it is resumed.

    Requests that are under way come to their end. The pause outlives a restart.
    """
    import msgspec

    from crawlerd.operations.pause_requests import PauseRequest

    with exit_codes():
        request = PauseRequest(kind=_kind(kind), names=names, reason=reason, until=_until(until, lasting))
        noted = _pause(context, request)
        if as_json:
            say_json(msgspec.json.encode(noted))
            return
        for note in noted:
            end = f"until {local_time(note.until)}, or" if note.until else "until"
            end += f" `crawlerd resume {note.kind} {note.name}`"
            say(shown(f"{note.kind} {note.name} is paused {end}"))


def resume(context: typer.Context, kind: Kind, names: Named) -> None:
    """Let what was paused go on. It does not help an account whose credentials are refused: that needs its key."""
    from crawlerd.frontier.lock import lock_holder
    from crawlerd.operations.pause_requests import not_paused
    from crawlerd.service.control import Asked, must_ask, user_name

    with exit_codes():
        folder, what = state_directory(context), _kind(kind)
        for name in dict.fromkeys(names):
            if lock_holder(folder) is not None:
                place = f"pauses/{what}/{quote(name, safe='')}"
                must_ask(Asked(folder, socket_path(context)), "DELETE", place, list[object])
            else:
                with writer_of(folder) as frontier:
                    if frontier.lift(what, name, user_name(os.getuid()), time.time()) is None:
                        raise not_paused(what, name)
            say(shown(f"{what} {name} goes on"))


def _pause(context: typer.Context, request: PauseRequest) -> list[PauseNote]:
    from crawlerd.core.pauses import PauseNote
    from crawlerd.frontier.lock import lock_holder
    from crawlerd.operations.pause_requests import notes
    from crawlerd.service.control import Asked, must_ask, user_name

    folder = state_directory(context)
    if lock_holder(folder) is not None:
        return must_ask(Asked(folder, socket_path(context)), "POST", "pauses", list[PauseNote], request)
    with reader_of(folder) as reader:
        noted = notes(request, _Configured(context), reader, user_name(os.getuid()), time.time())
    with writer_of(folder) as frontier:
        for note in noted:
            frontier.pause(note)
    return noted


def _kind(word: str) -> Pausable:
    if word not in KINDS:
        fail(f"{word} cannot be paused; write one of {', '.join(KINDS)}, then its name", ExitCode.USAGE)
    return word  # type: ignore[return-value] # see above


def _until(until: str, lasting: str) -> float | None:
    if until and lasting:
        fail("--until says when it ends, --for after how long; not both", ExitCode.USAGE)
    try:
        if lasting:
            return time.time() + parse_duration(lasting)
        return parse_time(until, time.time()) if until else None
    except ValueError as error:
        fail(f"{'--for' if lasting else '--until'}: {error}", ExitCode.USAGE)


class _Configured:
    """Names of what the configuration has; of none that cannot be read."""

    def __init__(self, context: typer.Context) -> None:
        self._context = context

    def configured(self, kind: Pausable) -> Collection[str]:
        try:
            settings = read_settings(config_path(self._context), secrets=False)
        except ConfigurationError:
            return ()
        return configured_names(settings, kind)
