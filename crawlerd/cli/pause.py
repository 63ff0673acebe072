"""`crawlerd pause` and `crawlerd resume`: stop an import, account, bucket or source, and let it continue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, get_args
from urllib.parse import quote

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import confirm
from crawlerd.cli.context import by_daemon_or_here, config_path, daemon_of, read_settings, reader_of, writer_of
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.tables import local_time
from crawlerd.core.durations import parse_duration
from crawlerd.core.errors import ConfigurationError
from crawlerd.core.pauses import Pausable, parse_time
from crawlerd.core.redaction import shown
from crawlerd.operations.pause_requests import configured_names

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from crawlerd.core.configuration import LimitSpec
    from crawlerd.core.pauses import PauseNote
    from crawlerd.operations.pause_requests import PauseRequest

KINDS = tuple(get_args(Pausable))
Kind = Annotated[
    str,
    typer.Argument(metavar="KIND", help=f"What to name: {', '.join(KINDS)}.", autocompletion=completion.pausable_kinds),
]
Named = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...", help="Names; a bucket is ACCOUNT/BUCKET.", autocompletion=completion.pausable_names
    ),
]


def pause(
    context: typer.Context,
    kind: Kind,
    names: Named,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
    until: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="When the pause ends, such as 2027-01-31T06:00 (UTC unless a zone is given)."
        ),
    ] = "",
    lasting: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="How long the pause lasts, such as 2h.")
    ] = "",
) -> None:
    """Start no more tasks of an import, an account, a bucket or all accounts of a source, until it is resumed.

    Requests that are under way finish. The pause stays in force after a restart.
    """
    from crawlerd.operations.pause_requests import PauseRequest

    with exit_codes():
        request = PauseRequest(kind=_kind(kind), names=names, reason=reason, until=end_of(until, lasting))
        noted = _pause(context, request)
        confirm(noted, *map(_sentence, noted))


def _sentence(note: PauseNote) -> str:
    end = f"until {local_time(note.until)}, or" if note.until else "until"
    return shown(f"{note.kind} {note.name} is paused {end} `crawlerd resume {note.kind} {note.name}`")


def resume(context: typer.Context, kind: Kind, names: Named) -> None:
    """Let what was paused continue. This does not help an account whose credentials are refused: replace its key."""
    from crawlerd.cli.results import Resumed
    from crawlerd.operations.pause_requests import members

    with exit_codes():
        what = _kind(kind)
        wanted = [each for name in names for each in members(what, name, Configured(context))]
        done: list[Resumed] = []
        for name in dict.fromkeys(wanted):
            _lift(context, what, name)
            done.append(Resumed(kind=what, name=name))
        confirm(done, *(shown(f"{each.kind} {each.name} is resumed") for each in done))


def _lift(context: typer.Context, what: Pausable, name: str) -> None:
    from crawlerd.operations.pause_requests import not_paused

    daemon = daemon_of(context)

    def here(by: str, now: float) -> list[object]:
        with writer_of(daemon.state_dir) as frontier:
            if frontier.lift(what, name, by, now) is None:
                raise not_paused(what, name)
        return []

    by_daemon_or_here(daemon, "DELETE", f"pauses/{what}/{quote(name, safe='')}", list[object], None, here)


def _pause(context: typer.Context, request: PauseRequest) -> list[PauseNote]:
    from crawlerd.core.pauses import PauseNote
    from crawlerd.operations.pause_requests import notes

    daemon = daemon_of(context)

    def here(by: str, now: float) -> list[PauseNote]:
        with reader_of(daemon.state_dir) as reader:
            noted = notes(request, Configured(context), reader, by, now)
        with writer_of(daemon.state_dir) as frontier:
            frontier.pause(*noted)
        return noted

    return by_daemon_or_here(daemon, "POST", "pauses", list[PauseNote], request, here)


def _kind(word: str) -> Pausable:
    if word not in KINDS:
        fail(f"{word} cannot be paused; write one of {', '.join(KINDS)}, then its name", ExitCode.USAGE)
    return word  # type: ignore[return-value] # see above


def end_of(until: str, lasting: str) -> float | None:
    """The end that --until or --for gives, in Unix seconds; None if neither is given."""
    if until and lasting:
        fail("give --until or --for, not both", ExitCode.USAGE)
    try:
        if lasting:
            return time.time() + parse_duration(lasting)
        return parse_time(until, time.time()) if until else None
    except ValueError as error:
        fail(f"{'--for' if lasting else '--until'}: {error}", ExitCode.USAGE)


class Configured:
    """Names in the configuration, by kind; none if the configuration cannot be read."""

    def __init__(self, context: typer.Context) -> None:
        self._context = context

    def configured(self, kind: Pausable) -> Collection[str]:
        try:
            settings = read_settings(config_path(self._context), secrets=False)
        except ConfigurationError:
            return ()
        return configured_names(settings, kind)

    def limits(self, account: str) -> LimitSpec | None:
        try:
            return read_settings(config_path(self._context), secrets=False).limits.get(account)
        except ConfigurationError:
            return None

    def described(self) -> Mapping[str, str]:
        from crawlerd.operations.pause_requests import described_sources

        try:
            return described_sources(read_settings(config_path(self._context), secrets=False))
        except ConfigurationError:
            return {}
