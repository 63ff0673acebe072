"""`crawlerd syncpoint`: how far imports have come, shown and changed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import confirm, tell
from crawlerd.cli.context import (
    by_daemon_or_here,
    config_path,
    daemon_of,
    existing_reader,
    read_settings,
    reader_of,
    running_pid,
    writer_of,
)
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.modes import modes
from crawlerd.cli.tables import local_time, print_columns
from crawlerd.cli.terminal import say
from crawlerd.core.durations import parse_duration
from crawlerd.core.errors import CrawlerdError
from crawlerd.core.redaction import shown
from crawlerd.core.sync_times import times_of

if TYPE_CHECKING:
    from crawlerd.operations.sync_points import SyncPoints, SyncPointsChanged, SyncPointsRequest

MOST_INPUT = 1 << 20  # most bytes of a file with sync points
SHOWN = 60  # most characters of a sync point in a table

syncpoint = typer.Typer(help="Show and change sync points: where an import's next run begins.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The import.", autocompletion=completion.imports)]
Streams = Annotated[
    list[str] | None,
    typer.Option("--stream", help="Only this stream; may be repeated.", autocompletion=completion.streams),
]


@syncpoint.command()
def show(context: typer.Context, name: Name, stream: Streams = None) -> None:
    """Show the sync points of an import. `syncpoint set` takes what --json prints."""
    with exit_codes():
        tell(_show(context, name, stream or []), _print)


def _print(found: SyncPoints) -> None:
    where = f" in sink {found.sink}" if found.sink else ""
    say(shown(f"import {found.import_name}{where}"))
    rows: list[tuple[str, ...]] = [("stream", "as far as", "sync point")]
    rows += [(each, _time(value), _short(value)) for each, value in found.points.items()]
    print_columns(rows)


@syncpoint.command(name="set")
def set_(
    context: typer.Context,
    name: Name,
    file: Annotated[
        str | None,
        typer.Argument(
            help='Output of `syncpoint show --json`, edited or not; "-" for stdin.',
            autocompletion=completion.files,
        ),
    ] = None,
    stream: Streams = None,
    value: Annotated[str | None, typer.Option(help="The sync point of the one --stream.")] = None,
    back: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How far to move times back, such as 2d.")
    ] = None,
) -> None:
    """Set sync points: from a file, for one stream, or back by a time. No run of the import may be under way.

    Streams that the file does not name keep their sync points; null clears one.
    """
    from crawlerd.operations.sync_points import SyncPointsRequest

    if sum(each is not None for each in (file, value, back)) != 1:
        fail("give one of: a FILE, --value with --stream, --back", ExitCode.USAGE)
    streams = stream or []
    with exit_codes():
        if back is not None:
            try:
                request = SyncPointsRequest(back=parse_duration(back), streams=streams)
            except ValueError as error:
                fail(f"--back: {error}", ExitCode.USAGE)
        elif value is not None:
            if len(streams) != 1:
                fail("--value is for one --stream", ExitCode.USAGE)
            request = SyncPointsRequest(points={streams[0]: _object(value)})
        else:
            request = SyncPointsRequest(points=_read(name, str(file), context), streams=streams)
        _tell(name, _change(context, name, request))


@syncpoint.command()
def clear(context: typer.Context, name: Name, stream: Streams = None) -> None:
    """Clear sync points: the next run reads these streams in full. No run of the import may be under way."""
    from crawlerd.operations.sync_points import SyncPointsRequest

    with exit_codes():
        _tell(name, _change(context, name, SyncPointsRequest(clear=True, streams=stream or [])))


@syncpoint.command()
def copy(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="The import to copy from.", autocompletion=completion.imports)
    ],
    name: Annotated[
        str,
        typer.Argument(
            metavar="TO",
            help="The import to copy to; it must have the same account.",
            autocompletion=completion.imports,
        ),
    ],
    stream: Streams = None,
) -> None:
    """Copy sync points to another import of the same account. No run of that import may be under way."""
    from crawlerd.operations.sync_points import SyncPointsRequest

    with exit_codes():
        _tell(name, _change(context, name, SyncPointsRequest(copy_from=source, streams=stream or [])))


def _show(context: typer.Context, name: str, streams: list[str]) -> SyncPoints:
    from crawlerd.operations.sync_points import SyncPoints, show
    from crawlerd.service.control import ask

    settings = read_settings(config_path(context), secrets=False)
    daemon = daemon_of(context)
    if running_pid(daemon.state_dir) is not None:
        asked = f"?{urlencode({'streams': ','.join(streams)})}" if streams else ""
        found = ask(daemon, "GET", f"{_place(name)}{asked}", SyncPoints)
        if found is not None:
            return found
    with reader_of(daemon.state_dir) as reader:
        return show(settings, reader, name, streams)


def _change(context: typer.Context, name: str, request: SyncPointsRequest) -> SyncPointsChanged:
    from crawlerd.operations.sync_points import SyncPointsChanged, plan

    settings = read_settings(config_path(context), secrets=False)
    daemon = daemon_of(context)

    def here(by: str, now: float) -> SyncPointsChanged:
        with existing_reader(daemon.state_dir), writer_of(daemon.state_dir) as frontier:
            return plan(settings, frontier, name, request, by, now).write(frontier)

    return by_daemon_or_here(daemon, "PUT", _place(name), SyncPointsChanged, request, here)


def _place(name: str) -> str:
    return f"imports/{quote(name, safe='')}/syncpoints"


def _read(name: str, file: str, context: typer.Context) -> dict[str, Any]:
    """The sync points of a file, as `syncpoint show --json` prints them."""
    import msgspec

    from crawlerd.operations.sync_points import SyncPoints

    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as stream:
            data = stream.read(MOST_INPUT + 1)
    except OSError as error:
        fail(f"{file}: {error.strerror}", ExitCode.USAGE)
    if len(data) > MOST_INPUT:
        fail(f"{file} is larger than 1 MiB: it is not the output of `syncpoint show --json`", ExitCode.USAGE)
    try:
        given = msgspec.json.decode(data, type=SyncPoints)
    except msgspec.DecodeError as error:
        fail(f"{file} is not the output of `crawlerd syncpoint show {name} --json`: {error}", ExitCode.USAGE)
    if given.import_name != name:
        fail(
            f"{file} has the sync points of import {given.import_name[:80]}; to copy them, "
            f"use `crawlerd syncpoint copy {given.import_name[:80]} {name}`",
            ExitCode.USAGE,
        )
    sink = _show(context, name, []).sink
    if given.sink != sink:
        fail(
            f"{file} has the sync points of sink {given.sink}, but import {name} now has sink {sink}, which may lack "
            "the records before them",
            ExitCode.USAGE,
        )
    return given.points


def _object(value: str) -> Any:
    """The JSON object in a text; any other text as it is."""
    import msgspec

    if not value.startswith("{"):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise CrawlerdError(f"--value is not a JSON object: {error}") from None


def _tell(name: str, changed: SyncPointsChanged) -> None:
    if modes.machine or modes.quiet:
        confirm(changed)
        return
    rows: list[tuple[str, ...]] = [("stream", "before", "now")]
    rows += [(each, _short(before), _short(changed.after[each])) for each, before in changed.before.items()]
    say(shown(f"import {name}: changed, for the next run"))
    print_columns(rows)
    if cleared := [each for each, value in changed.after.items() if value is None]:
        say(shown(f"without a sync point, and so read in full: {', '.join(cleared)}"))
    if changed.left_out:
        say(shown(f"left out, since import {name} does not read these streams: {', '.join(changed.left_out)}"))


def _short(value: Any) -> str:
    text = "none" if value is None else _text(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _text(value: Any) -> str:
    import msgspec

    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _time(value: Any) -> str:
    """The earliest time in a sync point; "" if it has none."""
    found = [] if value is None else times_of(_text(value))
    return local_time(min(found)) if found else ""
