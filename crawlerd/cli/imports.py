"""`crawlerd import`: runs imports to their end in the foreground, shows how far they are, and reports."""

from __future__ import annotations

import logging
import math
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec
from rich.live import Live
from rich.logging import RichHandler
from rich.table import Table

from crawlerd.core.errors import CrawlerdError, SinkError, StorageFailed
from crawlerd.core.task import PART
from crawlerd.engine.engine import Engine
from crawlerd.engine.wake import Wake
from crawlerd.frontier.sqlite.reader import FrontierReader, RunReport
from crawlerd.ratelimit.limiter import parse_limits
from crawlerd.service.daemon import Signals, stop

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from rich.console import Console

    from crawlerd.config.load import Settings
    from crawlerd.core.account import LimitSpec
    from crawlerd.engine.engine import Started

DRAW_SECONDS = 0.25
LINE_SECONDS = 30.0
RATE_SECONDS = 5.0  # a rate shown is the mean over this time
LOOK_SHARE = 20  # one part in so many of the time is for looking, with however many runs
COUNTS = ("records", "seen", "new", "changed", "unchanged", "tombstoned")  # of a stream's report
RESUMED_SHOWN = 10  # imports, each in a line of its own
TROUBLE_SECONDS = 10.0  # a disk or sink that refuses for so long ends a foreground import

log = logging.getLogger(__name__)


class Outcome(msgspec.Struct, frozen=True):
    """How an import in the foreground ended. exit_code: 0 complete, 3 ended but not complete, 1 failed, 130
    interrupted."""

    exit_code: int
    report: dict[str, Any]


class Meter:
    """Requests a second of each run, over the last few seconds."""

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
    """Requests a second that the account's own limits permit; None when it has none."""
    return min((item.amount / item.get_expiry() for item in parse_limits(limits.limits)), default=None)


def import_now(
    settings: Settings, names: Sequence[str], *, full: bool, allow_shrink: bool = False, console: Console
) -> Outcome:
    """Runs the imports until they have ended, are paused, or a signal comes. console: for what people read.

    A disk or sink that holds up all of them for TROUBLE_SECONDS is an error; one that holds up some is in the report.
    """
    wake = Wake()
    signals = Signals(wake)
    with signals.caught():
        engine = Engine(settings, changed=wake)
        engine.start()
        try:
            started: dict[str, Started] = {}
            not_started: dict[str, str] = {}
            for name, result in engine.start_imports(names, full=full, allow_shrink=allow_shrink):
                if isinstance(result, SinkError) and len(names) > 1:
                    not_started[name] = str(result)
                elif isinstance(result, CrawlerdError):
                    raise result
                else:
                    started[name] = result
                if signals.received:
                    break
            _tell_resumed([name for name, each in started.items() if each.resumed], console)
            _watch(engine, started, signals, wake, console)
        finally:
            if engine.dispatcher.leased and engine.failure is None:
                console.print("stopping: waiting for running requests; press Ctrl-C again to cut them off")
            stop(engine, signals)
        if engine.failure is not None:
            raise engine.failure
        runs = {run for each in started.values() for run in each.runs}
        if engine.store.trouble and runs <= engine.store.stuck.keys():
            raise StorageFailed(engine.store.trouble, full=True)
        cut_off = [name for name in names if name not in started and name not in not_started]
        return _outcome(engine, {name: each.runs for name, each in started.items()}, not_started, cut_off)


def _tell_resumed(names: Sequence[str], console: Console) -> None:
    for name in names if len(names) <= RESUMED_SHOWN else [f"{len(names):,} imports"]:
        console.print(f"{name}: resuming what was interrupted")


def _watch(engine: Engine, started: dict[str, Started], signals: Signals, wake: Wake, console: Console) -> None:
    """started: by import; one whose run was abandoned meanwhile is started again, and replaced there."""
    reader = FrontierReader.open(engine.settings.daemon.state_dir)
    assert reader is not None  # noqa: S101 - the engine has it open
    runs = {run for each in started.values() for run in each.runs}
    meter, left, held, trouble_since = Meter(), set(runs), dict[int, str](), None
    looked_at, look_seconds = -math.inf, 0.0
    next_line = time.monotonic() + LINE_SECONDS
    redraws = console.is_terminal and not console.is_dumb_terminal
    live = Live(console=console, auto_refresh=False, transient=False) if redraws else None
    if live:
        live.start()
    try:
        while True:
            left -= set(engine.ended())
            for name in [name for name, each in started.items() if engine.abandoned(each.runs)]:
                started[name] = engine.start_import(name)
                runs = {run for each in started.values() for run in each.runs}
                left |= {*started[name].runs}
            now = time.monotonic()
            over = signals.received or engine.failure is not None or not left
            often = live is not None or engine.accounts.paused
            pause = max(DRAW_SECONDS if often else RATE_SECONDS, LOOK_SHARE * look_seconds)
            if over or now >= looked_at + pause:
                reports = reader.runs(runs)
                rates = {run.id: meter.rate(run, engine.dispatcher.free[run.id], now) for run in reports}
                held = _held(engine, reader, reports)
                if live:
                    live.update(_table(engine, reports, rates, held), refresh=True)
                elif now >= next_line:
                    next_line = now + LINE_SECONDS
                    console.print(_line(reports, rates), highlight=False, soft_wrap=True)
                looked_at, look_seconds = now, time.monotonic() - now
            if over or not left - held.keys():
                return
            stuck = left - held.keys() <= engine.store.stuck.keys()
            trouble_since = (trouble_since or now) if stuck else None
            if trouble_since and now - trouble_since > TROUBLE_SECONDS:
                return
            wake.wait(DRAW_SECONDS)
            wake.clear()
    finally:
        if live:
            live.stop()
        reader.close()


def _held(engine: Engine, reader: FrontierReader, runs: Iterable[RunReport]) -> dict[int, str]:
    """The runs of which nothing can be done, each with a paused account that it waits for."""
    held = {}
    for run in runs if engine.accounts.paused else ():
        accounts = reader.accounts(run.id) if run.state == "running" else []
        paused = [name for name in accounts if name.partition(PART)[0] in engine.accounts.paused]
        if paused and not reader.goes_on(run.id, set(accounts).difference(paused)):
            held[run.id] = paused[0].partition(PART)[0]
    return held


def _state(engine: Engine, run: RunReport, held: Container[int]) -> str:
    if run.state == "running" and run.id in held:
        return "paused"
    if run.state == "running" and run.id in engine.store.stuck:
        return "held up"
    return run.state


def _table(engine: Engine, reports: Iterable[RunReport], rates: dict[int, float], held: Container[int]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("import", "state"):
        table.add_column(name)
    for name in ("done", "open", "records", "requests/s", "limit", "throttled", "dead", "ETA"):
        table.add_column(name, justify="right")
    for run in reports:
        limit = permitted(engine.settings.limits[run.account])
        left, rate = run.ready + run.delayed + run.waiting, rates[run.id]
        table.add_row(
            run.import_name,
            _state(engine, run, held),
            f"{run.done:,}",
            f"{left:,}",
            f"{run.records:,}",
            f"{rate:.1f}" if run.state == "running" else "",
            f"{limit:g}" if limit else "none",
            f"{run.throttled:,}",
            f"{run.dead:,}",
            _duration(left / rate) if left and rate else "",
        )
    return table


def _line(reports: Sequence[RunReport], rates: dict[int, float]) -> str:
    running = sum(run.state == "running" for run in reports)
    left, rate = sum(run.ready + run.delayed + run.waiting for run in reports), sum(rates.values())
    eta = f", about {_duration(left / rate)} left" if left and rate else ""
    return (
        f"{running} of {len(reports)} imports running: {sum(run.done for run in reports):,} tasks done, {left:,} open, "
        f"{sum(run.records for run in reports):,} records, {rate:.1f} requests/s, "
        f"{sum(run.throttled for run in reports):,} throttled, {sum(run.dead for run in reports):,} dead{eta}"
    )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _outcome(
    engine: Engine, started: dict[str, list[int]], not_started: dict[str, str], cut_off: Sequence[str]
) -> Outcome:
    """cut_off: what a signal kept from starting."""
    reader = FrontierReader.open(engine.settings.daemon.state_dir)
    assert reader is not None  # noqa: S101 - it was open a moment ago
    try:
        reports = {
            name: [(run, reader.streams(run.id, _streams(engine, name))) for run in reader.runs(runs)]
            for name, runs in started.items()
        }
        held = _held(engine, reader, [run for each in reports.values() for run, _ in each])
    finally:
        reader.close()
    states = {_state(engine, run, held) for each in reports.values() for run, _ in each}
    if not_started or states & {"paused", "held up", "failed"}:
        state, code = "failed", 1
    elif cut_off or "running" in states:
        state, code = "interrupted", 130
    elif "completed with dead letters" in states:
        state, code = "completed with dead letters", 3
    elif not all(run.complete for each in reports.values() for run, _ in each):
        state, code = "not complete", 3
    else:
        state, code = "completed", 0
    imports = {
        name: [
            {
                **msgspec.to_builtins(run),
                "state": _state(engine, run, held),
                "paused_account": held.get(run.id),
                "paused": engine.accounts.paused.get(held.get(run.id, "")),
                "held_up": engine.store.stuck.get(run.id),
                "streams": msgspec.to_builtins(streams),
            }
            for run, streams in each
        ]
        for name, each in reports.items()
    }
    return Outcome(
        code, {"state": state, "imports": imports, "not_started": not_started | dict.fromkeys(cut_off, "interrupted")}
    )


def _streams(engine: Engine, name: str) -> Sequence[str]:
    """What the report of an import has, though nothing came of it; without a sink there is nothing to count."""
    spec = engine.settings.imports[name]
    return spec.streams if spec.sink is not None else ()


def print_report(report: dict[str, Any], console: Console, *, streams: bool = True) -> None:
    """The report for people, by stream if wanted."""
    for name, runs in report["imports"].items():
        for run in runs:
            seconds = (run["ended_at"] or time.time()) - run["started_at"]
            console.print(
                f"{name}: run {run['id']} {run['state']} after {_duration(seconds)}: {run['records']:,} records, "
                f"{run['done']:,} tasks, {run['retried']:,} retried, {run['throttled']:,} throttled, "
                f"{run['dead']:,} dead, {'complete' if run['complete'] else 'not complete'}",
                highlight=False,
                soft_wrap=True,
            )
            if run["full"] or run["full_reason"]:
                reason = f": {run['full_reason']}" if run["full_reason"] else ""
                console.print(f"  {'full' if run['full'] else 'full in part'}{reason}", highlight=False, soft_wrap=True)
            for doubt in run["doubts"]:
                console.print(f"  {doubt_text(doubt)}", highlight=False, soft_wrap=True)
            if run["paused"]:
                console.print(
                    f"  account {run['paused_account']} is paused: {run['paused']}", highlight=False, soft_wrap=True
                )
            if run["held_up"]:
                console.print(f"  held up by {run['held_up']}", highlight=False, soft_wrap=True)
            for stream, facts in run["streams"].items() if streams else ():
                notes = [f"{facts[key]:,} {key}" for key in ("skipped", "dead") if facts[key]]
                notes += ["denied"] if facts["denied"] else []
                tail = f" ({', '.join(notes)}: {facts['reason']})" if notes else ""
                tail += f"; {facts['note']}" if facts["note"] else ""
                if facts["reason"] and not notes and not facts["note"]:
                    tail = f" ({facts['reason']})"
                done = ", ".join(f"{facts[key]:,} {key}" for key in COUNTS)
                repeats = facts["records"] - facts["seen"] - facts["tombstoned"]
                if repeats > facts["seen"]:
                    tail += f"; {repeats:,} came under a key that had come before: is it unique?"
                console.print(f"  {stream}: {done}{tail}", highlight=False, soft_wrap=True)
    for name, reason in report["not_started"].items():
        console.print(f"{name}: not started: {reason}", highlight=False, soft_wrap=True)
    if report["state"] == "interrupted":
        console.print("interrupted; nothing is lost: the same command resumes it", soft_wrap=True)
    elif report["state"] == "completed with dead letters":
        console.print(
            "some tasks are dead letters: see `crawlerd dead list`, then `crawlerd dead retry`", soft_wrap=True
        )
    elif report["state"] == "not complete":
        console.print("not complete: what was skipped or is doubted stands above", soft_wrap=True)


def doubt_text(doubt: Mapping[str, Any]) -> str:
    """What people are told of a doubt."""
    return (
        f"{doubt['stream']} of {doubt['account']}: in doubt: {doubt['seen']:,} seen, where the last full run had seen "
        f"{doubt['before']:,}; a sweep tombstones none of it and its sync point stays, until a full run sees about as "
        "little again, or `crawlerd import --allow-shrink` says that it is so"
    )


def log_to(console: Console, level: str) -> None:
    """Sends log lines through the console, so that they stand above a live display."""
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_time=False, rich_tracebacks=False)
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
