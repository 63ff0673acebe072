"""How far imports are, while they run: a table that is redrawn on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table

from crawlerd.cli.report import state_of
from crawlerd.cli.tables import duration
from crawlerd.ratelimit.limiter import parse_limits

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence
    from typing import Self

    from rich.console import Console

    from crawlerd.core.configuration import LimitSpec
    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.reports import RunReport

DRAW_SECONDS = 0.25
LINE_SECONDS = 30.0
RATE_SECONDS = 5.0  # a rate shown is the mean over this time


class Display:
    """Shows runs on a console, in a `with` block."""

    def __init__(self, engine: Engine, console: Console) -> None:
        self._engine, self._console = engine, console
        self._meter = Meter()
        self._next_line = time.monotonic() + LINE_SECONDS
        redraws = console.is_terminal and not console.is_dumb_terminal
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
        """Seconds after which to show the runs again."""
        return DRAW_SECONDS if self._live or self._engine.accounts.paused else RATE_SECONDS

    def show(self, reports: Sequence[RunReport], held: Container[int], now: float) -> None:
        """held: runs that wait for a paused account. now: of the monotonic clock."""
        rates = {run.id: self._meter.rate(run, self._engine.runs.free[run.id], now) for run in reports}
        if self._live:
            self._live.update(table(self._engine, reports, rates, held), refresh=True)
        elif now >= self._next_line:
            self._next_line = now + LINE_SECONDS
            self._console.print(line(reports, rates), highlight=False, soft_wrap=True)


class Meter:
    """Requests per second of each run, over the last few seconds."""

    def __init__(self) -> None:
        self._points: dict[int, list[tuple[float, int]]] = {}

    def rate(self, run: RunReport, free: int, now: float) -> float:
        """free: tasks of the run that made no request."""
        points = self._points.setdefault(run.id, [])
        points.append((now, run.done + run.dead + run.retried + run.throttled - free))
        while len(points) > 2 and points[1][0] <= now - RATE_SECONDS:
            points.pop(0)
        (before, first), (_, last) = points[0], points[-1]
        return max(0.0, (last - first) / (now - before)) if now > before else 0.0


def permitted(limits: LimitSpec) -> float | None:
    """Requests per second that the account's own limits permit; None when it has none."""
    return min((item.amount / item.get_expiry() for item in parse_limits(limits.limits)), default=None)


def table(engine: Engine, reports: Iterable[RunReport], rates: dict[int, float], held: Container[int]) -> Table:
    made = Table(box=None, pad_edge=False)
    for name in ("import", "state"):
        made.add_column(name)
    for name in ("done", "open", "records", "requests/s", "limit", "throttled", "dead", "ETA"):
        made.add_column(name, justify="right")
    for run in reports:
        limit = permitted(engine.settings.limits[run.account])
        left, rate = run.ready + run.delayed + run.waiting, rates[run.id]
        made.add_row(
            run.import_name,
            state_of(engine, run, held),
            f"{run.done:,}",
            f"{left:,}",
            f"{run.records:,}",
            f"{rate:.1f}" if run.state == "running" else "",
            f"{limit:g}" if limit else "none",
            f"{run.throttled:,}",
            f"{run.dead:,}",
            duration(left / rate) if left and rate else "",
        )
    return made


def line(reports: Sequence[RunReport], rates: dict[int, float]) -> str:
    running = sum(run.state == "running" for run in reports)
    left, rate = sum(run.ready + run.delayed + run.waiting for run in reports), sum(rates.values())
    eta = f", about {duration(left / rate)} left" if left and rate else ""
    return (
        f"{running} of {len(reports)} imports running: {sum(run.done for run in reports):,} tasks done, {left:,} open, "
        f"{sum(run.records for run in reports):,} records, {rate:.1f} requests/s, "
        f"{sum(run.throttled for run in reports):,} throttled, {sum(run.dead for run in reports):,} dead{eta}"
    )
