"""`crawlerd schedule`: when imports start next, and which starts were skipped."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import tell_list
from crawlerd.cli.context import config_path, daemon_of, read_settings, reader_of, running_pid
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.tables import print_columns
from crawlerd.cli.terminal import say
from crawlerd.core.redaction import shown
from crawlerd.core.schedule_rules import COUNTED

if TYPE_CHECKING:
    from crawlerd.operations.schedules import ScheduleReport
    from crawlerd.service.control import Asked

STARTS = 5  # default number of starts shown for one import


def schedule(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="An import; all if left out.", autocompletion=completion.imports)
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--next",
            min=1,
            max=1000,
            help="How many starts to show of each import; by default 5 for one import, 1 for all.",
        ),
    ] = None,
) -> None:
    """Show when imports start next, in their time zone, and which starts were missed or skipped, and why."""
    with exit_codes():
        most = count or (1 if name is None else STARTS)
        found, running = _ask(context, name, most)

        def text(found: list[ScheduleReport]) -> None:
            if name is None:
                _print_all(found)
            else:
                _print(found[0])
            if not running and any(each.schedule for each in found):
                say("")
                say("no daemon is running: nothing starts until `crawlerd run` does")

        tell_list(found, found, text)


def _ask(context: typer.Context, name: str | None, count: int) -> tuple[list[ScheduleReport], bool]:
    """The schedules to show, and whether a daemon runs."""
    from crawlerd.operations.schedules import schedules

    daemon = daemon_of(context)
    if running_pid(daemon.state_dir) is not None and (found := _of_daemon(daemon, name, count)) is not None:
        return found, True
    # a running daemon may still use an earlier version of it
    settings = read_settings(config_path(context), secrets=False)
    names = None if name is None else [name]
    with reader_of(daemon.state_dir) as reader:
        return schedules(settings.imports, reader, time.time(), names=names, count=count), False


def _of_daemon(daemon: Asked, name: str | None, count: int) -> list[ScheduleReport] | None:
    """The schedules that a daemon has in force; None if no daemon answers."""
    from crawlerd.operations.list_pages import Schedules
    from crawlerd.operations.schedules import in_order
    from crawlerd.service.control import ask
    from crawlerd.service.parameters import MOST

    found: list[ScheduleReport] = []
    asked: dict[str, object] = {"next": count, "limit": MOST} | ({} if name is None else {"import": name})
    while (page := ask(daemon, "GET", f"schedule?{urlencode(asked)}", Schedules)) is not None:
        found += page.schedules
        if page.next is None:
            return in_order(found)
        asked["after"] = page.next
    return None


def _print_all(found: list[ScheduleReport]) -> None:
    planned = [each for each in found if each.schedule]
    rows: list[tuple[str, ...]] = [("import", "schedule", "next start", "in", "last start", "")]
    now = time.time()
    for each in planned:
        for place, at in enumerate(each.next or [None]):
            first = place == 0
            rows.append(
                (
                    each.import_name if first else "",
                    each.words if first else "",
                    _local(at, each.time_zone),
                    _until(at, now),
                    _last(each) if first else "",
                    "; ".join(_notes(each)) if first else "",
                )
            )
    if planned:
        print_columns(rows)
    if others := len(found) - len(planned):
        say("")
        say(f"{others:,} import{'s start' if others > 1 else ' starts'} on demand only")


def _print(each: ScheduleReport) -> None:
    zone = f", in {each.time_zone}" if each.time_zone else ""
    say(shown(f"import {each.import_name}: {each.words}{zone}"))
    if each.last_run is not None:
        say(f"last start: {_last(each)}")
    now = time.time()
    for place, at in enumerate(each.next):
        say(f"{'next start: ' if place == 0 else '            '}{_local(at, each.time_zone)}, {_in(at, now)}")
    for text in _notes(each):
        say(shown(text))


def _last(each: ScheduleReport) -> str:
    if each.last_start is None:
        return "never"
    return f"{_local(each.last_start, each.time_zone)}, run {each.last_run}, {each.last_state}"


def _notes(each: ScheduleReport) -> list[str]:
    """What prevents starts, and which were missed and skipped."""
    texts = [each.held] if each.held else []
    if each.missed:
        more = "at least " if each.missed >= COUNTED else ""
        texts.append(f"{more}{each.missed:,} missed")
    if each.skipped and each.skipped_at is not None:
        last = f"the last one at {_local(each.skipped_at, each.time_zone)}: {each.skipped_why}"
        texts.append(f"{each.skipped:,} skipped, {last}")
    return texts


def _local(at: float | None, zone: str | None) -> str:
    if at is None:
        return "never"
    local = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone) if zone else None)
    return local.strftime("%a %Y-%m-%d %H:%M:%S %Z")


def _until(at: float | None, now: float) -> str:
    if at is None:
        return ""
    return _in(at, now).removeprefix("in ")


def _in(at: float, now: float) -> str:
    minutes = round((at - now) / 60)
    if at - now < 60:
        return "now" if at - now < 1 else f"in {at - now:.0f} s"
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"in {days} d {hours} h"
    return f"in {hours} h {minutes} min" if hours else f"in {minutes} min"
