"""The status as lines for a terminal, none wider than the terminal: first what needs a look."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from crawlerd.cli.tables import age, fitted, short_count, short_time
from crawlerd.core.reasons import Reason
from crawlerd.core.redaction import shown
from crawlerd.operations.top_report import verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crawlerd.frontier.reports import RunReport
    from crawlerd.operations.import_facts import ImportLine
    from crawlerd.operations.status_report import RunLine, StatusReport
    from crawlerd.operations.troubles import Trouble

TROUBLE_LINES, LINES_OF_ONE = 12, 4
ROWS = 36  # of runs and imports together
SHOWN = 20
NOTES = 3  # lines about runs that were cancelled, or are ad hoc


def status_lines(report: StatusReport, now: float, width: int, *, alive: bool) -> Iterator[str]:
    """The lines, 59 at most.

    now: Unix seconds.
    alive: a crawlerd works on the frontier.
    """
    if alive:
        yield from textwrap.wrap(verdict(report, None, alive=True), width)[:1]
    yield from _troubles(report.troubles, now, width)
    waiting = f"{report.waiting:,} waiting, " if report.waiting else ""
    yield f"tasks: {report.ready:,} ready, {report.delayed:,} delayed, {waiting}{report.dead:,} dead"
    runs = report.running[:SHOWN]
    if runs:
        yield from _runs(runs, now, width, alive=alive)
        if report.running_count > len(runs):
            yield f"and {report.running_count - len(runs):,} more: crawlerd runs --state running"
    imports = report.imports[: min(SHOWN, ROWS - len(runs))]
    if imports:
        yield from _imports(imports, now, width)
        if report.import_count is None or report.import_count > len(imports):
            rest = f"{report.import_count - len(imports):,} more" if report.import_count else "more"
            yield f"and {rest}: crawlerd imports"
    yield from _notes([*(each.run for each in runs), *(each.last for each in imports if each.last)], width)
    counts = [f"{report.accounts[reason]:,} {reason}" for reason in Reason if report.accounts.get(reason)]
    yield from textwrap.wrap(f"accounts: {', '.join(counts) or 'none'}", width, subsequent_indent="  ")[:2]


def trouble_text(trouble: Trouble, now: float) -> str:
    """A trouble as one line of any length."""
    since = f", since {short_time(trouble.since, now)}" if trouble.since else ""
    until = f", until {short_time(trouble.until, now)}" if trouble.until and trouble.until > now else ""
    return shown(" ".join(f"{trouble.who}: {trouble.text}{since}{until}".split()))


def _troubles(troubles: Sequence[Trouble], now: float, width: int) -> Iterator[str]:
    left, title = TROUBLE_LINES, ""
    for count, each in enumerate(sorted(troubles, key=lambda trouble: not trouble.grave)):
        lines = _wrapped(trouble_text(each, now), width)
        if len(lines) > left:
            yield f"  and {len(troubles) - count:,} more: crawlerd accounts --needs-a-look, crawlerd imports"
            return
        if title != (title := "needs a look:" if each.grave else "to know:"):
            yield title
        yield from lines
        left -= len(lines)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent="  ",
        subsequent_indent="    ",
        max_lines=LINES_OF_ONE,
        placeholder=" …",
        break_on_hyphens=False,  # paths and addresses can be copied, unless they are longer than a line
    )


def _runs(runs: Sequence[RunLine], now: float, width: int, *, alive: bool) -> Iterator[str]:
    head = ("run", "import", "state", "started", "done", "open", "dead", "per s", "ends")
    rows = [
        (
            str(each.run.id),
            each.run.import_name,
            run_state(each, now) if alive else "interrupted",
            short_time(each.run.started_at, now),
            short_count(each.run.done),
            short_count(each.run.ready + each.run.delayed + each.run.waiting),
            short_count(each.run.dead) if each.run.dead else "",
            rate_text(each),
            short_time(each.ends_at, now) if each.ends_at else "",
        )
        for each in runs
    ]
    yield from fitted([head, *rows], width, elastic=(1, 2))


def run_state(line: RunLine, now: float) -> str:
    """What a run does, or what it waits for."""
    if line.waits is None:
        return "running"
    until = f" until {short_time(line.waits.until, now)}" if line.waits.until and line.waits.until > now else ""
    return f"{line.waits.reason}{until}"


def rate_text(line: RunLine) -> str:
    """Requests per second, and the share of the limit if there is one."""
    if line.rate is None:
        return ""
    return f"{line.rate:.3g}/{line.limit:.3g}" if line.limit else f"{line.rate:.3g}"


def _imports(imports: Sequence[ImportLine], now: float, width: int) -> Iterator[str]:
    yield from fitted([IMPORT_HEAD, *(import_row(each, now) for each in imports)], width, elastic=(0, 2))


IMPORT_HEAD = ("import", "last run", "state", "ended", "records", "data age", "next start")


def import_row(line: ImportLine, now: float) -> tuple[str, ...]:
    """The cells of an import, see IMPORT_HEAD."""
    run = line.last
    if line.configured is False:
        then = "not configured"
    elif line.refusal:
        then = "cannot start"
    elif line.next_at is not None:
        then = short_time(line.next_at, now) if line.next_at > now else "due"
    else:
        then = "on demand" if line.configured and line.every is None else ""
    return (
        line.name,
        str(run.id) if run else "",
        run.state if run else "has not run yet",
        short_time(run.ended_at, now) if run and run.ended_at else "",
        short_count(run.records) if run else "",
        age(now - line.fresh_at) if line.fresh_at else "",
        then,
    )


def _notes(runs: Sequence[RunReport], width: int) -> Iterator[str]:
    found = [f"run {run.id} was cancelled: {run.ended_reason}" for run in runs if run.ended_reason]
    found += [f"run {run.id} is an ad hoc run: {run.ad_hoc}" for run in runs if run.ad_hoc]
    yield from (textwrap.shorten(shown(line), width, placeholder=" …") for line in found[:NOTES])
