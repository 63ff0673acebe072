"""Imports in the foreground: started and watched until they end or are paused, or a signal comes."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, NamedTuple, Protocol

from crawlerd.core.errors import CrawlerdError, SinkError, StorageFailed, WorkersFailed
from crawlerd.engine.pausing import ImportPaused
from crawlerd.frontier import open_reader
from crawlerd.operations.import_report import Stopped, held_runs, report_of
from crawlerd.service.running import stop

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from crawlerd.core.configuration import ImportSpec
    from crawlerd.engine.engine import Engine
    from crawlerd.engine.starting import Started
    from crawlerd.frontier.reports import RunReport
    from crawlerd.operations.import_report import ImportReport
    from crawlerd.operations.run_history import RunRequest
    from crawlerd.service.running import Running

LOOK_SECONDS = 0.25  # longest wait between two checks for a run's end, a signal or trouble
LOOK_SHARE = 20  # reading the runs' progress takes at most one part in this many of the time
TROUBLE_SECONDS = 10.0  # if a disk or sink refuses for this long, the import ends


class Patience(NamedTuple):
    """How long a foreground import may last.

    outage: seconds for which an API may fail to answer.
    most: seconds in all.
    """

    outage: float = 300.0
    most: float = math.inf


class Watcher(Protocol):
    """Displays the progress of runs."""

    @property
    def pause(self) -> float:
        """Seconds until the runs should be shown again."""
        ...

    def show(self, reports: Sequence[RunReport], held: Container[int], now: float) -> None:
        """Shows the runs.

        held: the runs that wait for a paused account.
        now: seconds of the monotonic clock.
        """
        ...


class Unwatched:
    """A watcher that shows nothing. A paused account is noticed as quickly as with a display."""

    pause = 0.25

    def show(self, reports: Sequence[RunReport], held: Container[int], now: float) -> None:
        """Does nothing."""


def unwatched(_: Engine) -> AbstractContextManager[Watcher]:
    return nullcontext(Unwatched())


def run_to_end(
    running: Running,
    names: Sequence[str],
    request: RunRequest,
    specs: Mapping[str, ImportSpec] | None = None,
    *,
    patience: Patience,
    tell_started: Callable[[Mapping[str, Started]], None] = lambda started: None,
    watching: Callable[[Engine], AbstractContextManager[Watcher]] = unwatched,
    say: Callable[[str], None] | None = None,
) -> ImportReport:
    """Runs the imports until they end or are paused, or a signal comes; then stops the engine.

    A disk or sink that holds up all imports for TROUBLE_SECONDS raises an error; one that holds up some is in the
    report.

    specs: the imports as they are for this run, if the run changes them.
    tell_started: gets the started runs, by import.
    watching: displays the runs.
    say: gets what a person at the terminal should know.
    """
    engine, signals = running.engine, running.signals
    try:
        started: dict[str, Started] = {}
        not_started: dict[str, str] = {}
        for name, result in engine.runs.start_imports(
            names, full=request.whole, allow_shrink=request.allow_shrink, specs=specs
        ):
            if isinstance(result, SinkError | ImportPaused) and len(names) > 1:
                not_started[name] = str(result)
            elif isinstance(result, CrawlerdError):
                raise result
            else:
                started[name] = result
            if signals.received:
                break
        tell_started(started)
        stopped = _watch(running, started, patience, watching)
    finally:
        stop(engine, signals, say)
    if engine.failure is not None:
        raise engine.failure
    if engine.store.trouble and _runs(started) <= engine.store.stuck.keys():
        raise StorageFailed(engine.store.trouble, full=True)
    cut_off = [name for name in names if name not in started and name not in not_started]
    return report_of(engine, {name: each.runs for name, each in started.items()}, not_started, cut_off, stopped)


def _watch(
    running: Running,
    started: dict[str, Started],
    patience: Patience,
    watching: Callable[[Engine], AbstractContextManager[Watcher]],
) -> Stopped | None:
    """Waits until nothing is left to wait for. Returns None then, or the reason why it stopped earlier.

    started: the started runs, by import. If the run of an import is abandoned, the import starts again and is replaced
        here.
    """
    engine, changed, signals = running
    reader = open_reader(engine.settings.daemon.state_dir)
    assert reader is not None  # noqa: S101 - the engine has it open
    left, held, waiting, trouble_since = _runs(started), dict[int, str](), dict[int, str](), None
    looked_at, look_seconds = -math.inf, 0.0
    until = time.monotonic() + patience.most
    try:
        with watching(engine) as watcher:
            while True:
                left -= set(engine.runs.ended())
                for name in [name for name, each in started.items() if engine.runs.abandoned(each.runs)]:
                    started[name] = engine.runs.start_import(name)
                    left |= {*started[name].runs}
                now = time.monotonic()
                late = now >= until
                over = signals.received or engine.failure is not None or not left or late
                if over or now >= looked_at + max(watcher.pause, LOOK_SHARE * look_seconds):
                    reports = reader.runs(_runs(started))
                    held = held_runs(engine, reader, reports)
                    watcher.show(reports, held, now)
                    down = engine.outages.without_answer(now - patience.outage)
                    waiting = held_runs(engine, reader, reports, down) if down else held
                    looked_at, look_seconds = now, time.monotonic() - now
                if late and left:
                    return Stopped.TIME
                if over or not left - held.keys():
                    return None
                if not left - waiting.keys():
                    return Stopped.OUTAGE
                workless = engine.dispatcher.without_workers()
                if workless and workless[1] > TROUBLE_SECONDS:
                    raise WorkersFailed(f"{workless[0]}; nothing is lost: fix that, then import again")
                stuck = left - held.keys() <= engine.store.stuck.keys()
                trouble_since = (trouble_since or now) if stuck else None
                if trouble_since and now - trouble_since > TROUBLE_SECONDS:
                    return None
                changed.wait(LOOK_SECONDS)
                changed.clear()
    finally:
        reader.close()


def _runs(started: Mapping[str, Started]) -> set[int]:
    return {run for each in started.values() for run in each.runs}
