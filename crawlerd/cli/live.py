"""How running imports are shown: a table that is redrawn on a terminal; elsewhere, a line now and then."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table
from rich.text import Text

from crawlerd.cli.modes import modes
from crawlerd.cli.tables import duration
from crawlerd.operations.import_report import state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence
    from typing import Self

    from rich.console import Console

    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.reports import RunReport

DRAW_SECONDS = 0.25
LINE_SECONDS = 30.0
RATE_SECONDS = 5.0  # a displayed rate is the mean over this time
HEAD = ("import", "state", "done", "open", "records", "per s", "limit", "throttled", "dead", "ETA")
LEAST = 8  # characters that a name keeps at least
MARGIN = 4  # lines other than those of runs: the head, the totals, the count of runs not shown, and the cursor's line
# States in the order in which people want to see them.
FIRST = ({"paused", "held up", "failed"}, {"completed with dead letters"}, {"running"}, {"cancelled"}, {"completed"})


class Display:
    """Shows runs on a console, in a `with` block."""

    def __init__(self, engine: Engine, console: Console) -> None:
        self._engine, self._console = engine, console
        self._meter = Meter()
        self._next_line = time.monotonic() + LINE_SECONDS
        redraws = console.is_terminal and not console.is_dumb_terminal and modes.shows_progress
        self._live = Live(console=console, auto_refresh=False, transient=False) if redraws else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    @property
    def pause(self) -> float:
        """Seconds until the runs should be shown again."""
        return DRAW_SECONDS if self._live or self._engine.accounts.paused else RATE_SECONDS

    def show(self, reports: Sequence[RunReport], held: Container[int], now: float) -> None:
        """Shows the runs.

        held: the runs that wait for a paused account.
        now: seconds of the monotonic clock.
        """
        rates = {run.id: self._meter.rate(run, self._engine.runs.free[run.id], now) for run in reports}
        if self._live:
            height = self._console.height
            # otherwise the table would be left on the screen, and the summary says the same
            self._live.transient = len(reports) > height - MARGIN
            states = {run.id: state_of(self._engine, run, held) for run in reports}
            made = table(reports, states, rates, self._engine.insight.permitted, self._console.width, height)
            self._live.update(made, refresh=True)
        elif now >= self._next_line and modes.shows_progress:
            self._next_line = now + LINE_SECONDS
            self._console.print(line(reports, rates), highlight=False, soft_wrap=True)


class Meter:
    """Requests per second of each run, over the last few seconds."""

    def __init__(self) -> None:
        self._points: dict[int, list[tuple[float, int]]] = {}

    def rate(self, run: RunReport, free: int, now: float) -> float:
        """Requests per second of a run.

        free: tasks of the run that made no request.
        """
        points = self._points.setdefault(run.id, [])
        points.append((now, run.done + run.dead + run.retried + run.throttled - free))
        while len(points) > 2 and points[1][0] <= now - RATE_SECONDS:
            points.pop(0)
        (before, first), (_, last) = points[0], points[-1]
        return max(0.0, (last - first) / (now - before)) if now > before else 0.0


def table(
    reports: Sequence[RunReport],
    states: Mapping[int, str],
    rates: Mapping[int, float],
    permitted: Callable[[str], float | None],
    width: int,
    height: int,
) -> Table:
    """The table of runs. If not all of them fit, it has those that need attention most; the last row has the totals.

    states: the state of each run as people see it, by run.
    permitted: requests per second that an account's limits permit.
    width, height: columns and lines that the table may use.
    """
    room = max(1, height - MARGIN)
    shown = reports if len(reports) <= room else worth_a_look(reports, states, rates)[:room]
    rows = [_row(run, states[run.id], rates[run.id], permitted(run.account)) for run in shown]
    if len(reports) > 1:
        rows.append(_totals(reports, rates))
    gap, widths = _narrowed(rows, width)
    made = Table(box=None, padding=(0, gap, 0, 0))
    for name, cells in zip(HEAD, widths, strict=True):
        made.add_column(name, justify="left" if name in HEAD[:2] else "right", no_wrap=True, width=cells)
    for place, row in enumerate(rows):
        made.add_row(*row, style="bold" if place == len(shown) else None)
    if rest := Counter(states.values()) - Counter(states[run.id] for run in shown):
        others = ", ".join(f"{count:,} {state}" for state, count in rest.most_common())
        made.caption = Text(f"and {rest.total():,} more: {others}", no_wrap=True, overflow="ellipsis")
        made.caption_justify = "left"
    return made


def _row(run: RunReport, state: str, rate: float, limit: float | None) -> tuple[str, ...]:
    left = left_of(run)
    return (
        run.import_name,
        state,
        f"{run.done:,}",
        f"{left:,}",
        f"{run.records:,}",
        f"{rate:.1f}" if run.state == "running" else "",
        f"{limit:g}" if limit else "none",
        f"{run.throttled:,}",
        f"{run.dead:,}",
        duration(left / rate) if left and rate else "",
    )


def _narrowed(rows: Sequence[tuple[str, ...]], width: int) -> tuple[int, list[int]]:
    """The space after each column, and the widths of the columns. To make room, names and states are cut before
    numbers."""
    widths: list[int] = []
    for gap in (2, 1):
        widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
        for place in (0, 1):
            over = sum(widths) + gap * len(widths) - width
            widths[place] = min(widths[place], max(LEAST, widths[place] - max(0, over)))
        if sum(widths) + gap * len(widths) <= width:
            return gap, widths
    return 1, widths


def worth_a_look(
    reports: Sequence[RunReport], states: Mapping[int, str], rates: Mapping[int, float]
) -> list[RunReport]:
    """The runs, in order of attention: first those where somebody must act, then those with dead letters, then the
    fastest. Runs that ended well come last."""

    def place(run: RunReport) -> tuple[int, float, float]:
        state = states[run.id]
        order = next((place for place, states_ in enumerate(FIRST) if state in states_), len(FIRST))
        if run.dead and order > 1:
            order = 1
        return order, -rates.get(run.id, 0.0), -left_of(run)

    return sorted(reports, key=place)


def left_of(run: RunReport) -> int:
    """Tasks that are not done yet."""
    return run.ready + run.delayed + run.waiting


def _totals(reports: Sequence[RunReport], rates: Mapping[int, float]) -> tuple[str, ...]:
    left, rate = sum(map(left_of, reports)), sum(rates.values())
    running = sum(run.state == "running" for run in reports)
    return (
        f"all {len(reports):,}",
        f"{running:,} running" if running else "ended",
        f"{sum(run.done for run in reports):,}",
        f"{left:,}",
        f"{sum(run.records for run in reports):,}",
        f"{rate:.1f}" if running else "",
        "",
        f"{sum(run.throttled for run in reports):,}",
        f"{sum(run.dead for run in reports):,}",
        duration(left / rate) if left and rate else "",
    )


def line(reports: Sequence[RunReport], rates: dict[int, float]) -> str:
    running = sum(run.state == "running" for run in reports)
    left, rate = sum(map(left_of, reports)), sum(rates.values())
    eta = f", about {duration(left / rate)} left" if left and rate else ""
    return (
        f"{running} of {len(reports)} imports running: {sum(run.done for run in reports):,} tasks done, {left:,} open, "
        f"{sum(run.records for run in reports):,} records, {rate:.1f} requests/s, "
        f"{sum(run.throttled for run in reports):,} throttled, {sum(run.dead for run in reports):,} dead{eta}"
    )
