"""The screen of `crawlerd top`: lines that fit any size. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.text import Text

from crawlerd.cli.dead import failure_text
from crawlerd.cli.status_lines import rate_text, run_state
from crawlerd.cli.tables import duration, fitted, short_count, short_time
from crawlerd.core.reasons import Reason
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.operations.top_report import BusyAccount, TopReport

SECTIONS = ("accounts", "runs", "errors")
SHARES = (4, 3, 2)  # how the remaining lines are shared among the sections
BAR = 10  # width of a bar in cells
GRAVE = {Reason.REFUSED, Reason.OUTAGE, Reason.QUOTA, Reason.SINK, Reason.STORE}
KEYS = "q quit   Tab next list   arrows, PgUp, PgDn, Home, End scroll   space hold"


@dataclass(frozen=True)
class View:
    """What part of the report is on the screen.

    section: the list that the keys scroll.
    offsets: rows that are scrolled out of view, by section.
    held: the screen is frozen.
    """

    section: int = 0
    offsets: tuple[int, int, int] = (0, 0, 0)
    held: bool = False


def moved(view: View, key: str, counts: Sequence[int], page: int) -> View:
    """The view after a key.

    counts: rows of each section.
    page: rows of a page.
    """
    if key == "tab":
        return replace(view, section=(view.section + 1) % len(SECTIONS))
    if key == "space":
        return replace(view, held=not view.held)
    steps = {"up": -1, "down": 1, "page up": -page, "page down": page, "home": -(1 << 30), "end": 1 << 30}
    if key not in steps:
        return view
    most = max(0, counts[view.section] - 1)
    offsets = list(view.offsets)
    offsets[view.section] = min(most, max(0, offsets[view.section] + steps[key]))
    return replace(view, offsets=(offsets[0], offsets[1], offsets[2]))


def frame(
    report: TopReport, view: View, width: int, height: int, *, trouble: str = "", blocks: str = "█░"
) -> list[Text]:
    """At most `height` lines, each at most `width` columns wide.

    trouble: why the report is out of date; "" if it is not.
    blocks: the full and the empty cell of a bar.
    """
    now, status = report.at, report.status
    head = [
        _line(f"crawlerd  {short_time(now, now)}{'  held: space goes on' * view.held}", "bold"),
        _line(report.verdict, "bold red" if "; " in report.verdict or not report.alive else "bold green"),
        _line(_counts(report), ""),
    ]
    if trouble:
        head.insert(1, _line(trouble, "bold red"))
    head += [_line(f"  {each.who}: {each.text}", "red") for each in status.troubles if each.grave][:1]
    tables = (
        ([ACCOUNT_HEAD, *(_account(each, blocks) for each in report.accounts)], (0, 5)),
        ([RUN_HEAD, *_runs(report)], (1, 2)),
        ([ERROR_HEAD, *_errors(report)], (4,)),
    )
    lines = head
    for place, room in enumerate(_rooms(height - len(head) - 1, counts(report))):
        rows, elastic = tables[place]
        lines = lines + _section(place, rows, elastic, view, width, room)
    lines = [*lines[: max(0, height - 1)], _line(KEYS, "dim")][: max(0, height)]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def counts(report: TopReport) -> tuple[int, int, int]:
    """The number of rows of each section."""
    return len(report.accounts), len(report.status.running), len(report.errors)


def _rooms(room: int, rows: Sequence[int]) -> list[int]:
    """The lines that each section gets, by its share. Lines that a section does not need go to the others.

    rows: the rows of each section.
    """
    need = [count + 2 if count else 1 for count in rows]  # with its title and head
    given = [0] * len(need)
    while sum(given) < room and (open_ := [place for place, most in enumerate(need) if given[place] < most]):
        given[min(open_, key=lambda place: given[place] / SHARES[place])] += 1
    return given


def _section(
    place: int, rows: list[tuple[str, ...]], elastic: tuple[int, ...], view: View, width: int, room: int
) -> list[Text]:
    count, offset = len(rows) - 1, min(view.offsets[place], max(0, len(rows) - 2))
    fits = max(0, room - 2)
    first, last = (offset + 1 if count else 0), min(count, offset + fits)
    of = f"{first:,}-{last:,} of {count:,}" if count > fits or offset else f"{count:,}"
    style = "bold reverse" if place == view.section else "bold"
    title = _line(f" {SECTIONS[place]}: {of} ", style)
    if not count or room < 3:
        return [title][:room]
    table = fitted([rows[0], *rows[1 + offset : 1 + offset + fits]], width, elastic)[1:]
    return [title, _line(table[0], "dim"), *(_colored(line) for line in table[1:])][:room]


def _line(text: str, style: str) -> Text:
    return Text(shown(text), style, no_wrap=True, end="")


def _colored(line: str) -> Text:
    """A line with some reasons in red: those for which people must act. The color adds nothing that the words do not
    say."""
    text = Text(line, no_wrap=True, end="")
    text.highlight_words([f"  {reason} " for reason in GRAVE], "red")
    text.highlight_words([f"  {Reason.THROTTLED} ", f"  {Reason.PAUSED} "], "yellow")
    return text


def _counts(report: TopReport) -> str:
    status = report.status
    speed = "" if report.rate is None else f", {report.rate:,.1f} requests/s"
    return (
        f"tasks: {status.ready:,} ready, {status.delayed:,} delayed, {status.waiting:,} waiting, {status.dead:,} dead; "
        f"{status.running_count:,} runs{speed}"
    )


ACCOUNT_HEAD = ("account", "ready", "of limit", "per s", "limit", "waits for")


def _account(each: BusyAccount, blocks: str) -> tuple[str, ...]:
    return (
        each.name,
        short_count(each.ready),
        bar(each.rate, each.limit, blocks),
        "" if each.rate is None else f"{each.rate:.3g}",
        "" if each.limit is None else f"{each.limit:.3g}",
        f"{each.waits.reason}  {each.waits.text}",
    )


def bar(rate: float | None, limit: float | None, blocks: str = "█░") -> str:
    """A bar for the used share of the limit; "" if there is no limit, or it is unknown."""
    if rate is None or not limit:
        return ""
    full = min(BAR, round(BAR * rate / limit))
    return blocks[0] * full + blocks[1] * (BAR - full)


RUN_HEAD = ("run", "import", "state", "done", "open", "dead", "per s", "ends", "in")


def _runs(report: TopReport) -> list[tuple[str, ...]]:
    return [
        (
            str(each.run.id),
            each.run.import_name,
            run_state(each, report.at) if report.alive else "interrupted",
            short_count(each.run.done),
            short_count(each.run.ready + each.run.delayed + each.run.waiting),
            short_count(each.run.dead) if each.run.dead else "",
            rate_text(each),
            short_time(each.ends_at, report.at) if each.ends_at else "",
            duration(max(0.0, each.ends_at - report.at)) if each.ends_at else "",
        )
        for each in report.status.running
    ]


ERROR_HEAD = ("last", "letters", "kind", "example", "failure")


def _errors(report: TopReport) -> list[tuple[str, ...]]:
    return [
        (
            short_time(each.last_at, report.at),
            short_count(each.letters),
            each.kind,
            str(each.example),
            failure_text(each),
        )
        for each in report.errors
    ]
