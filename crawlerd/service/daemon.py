"""`crawlerd run`: the engine as a service, until a signal or a failure."""

from __future__ import annotations

import logging
import math
import os
import time
from typing import TYPE_CHECKING

from crawlerd.core.errors import CrawlerdError, FrontierError, SinkError
from crawlerd.core.log_events import Event, tell
from crawlerd.core.version import __version__
from crawlerd.service.listeners import Listeners
from crawlerd.service.notifying import Notifier
from crawlerd.service.rereading import reading
from crawlerd.service.running import running_engine, stop
from crawlerd.service.signs_of_life import SignsOfLife
from crawlerd.service.systemd import notify, reloading, stopping

if TYPE_CHECKING:
    from pathlib import Path

    from crawlerd.config.load import Settings
    from crawlerd.engine.engine import Engine
    from crawlerd.service.running import Running

log = logging.getLogger(__name__)

BEAT_SECONDS = 10.0  # the loop here runs at least this often, which health checks watch
CLOSE_SECONDS = 30.0  # how long closing may take when everything is drained
TROUBLE_SECONDS = 5.0  # between attempts to start runs while the disk or a sink refuses


def run(settings: Settings, path: Path) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Reads the configuration again at SIGHUP. Raises the error with which
    the engine or the loop here failed.

    path: the configuration file.
    """
    with running_engine(settings, reading=reading(path), around_reload=reloading) as running:
        engine = running.engine
        notifier = Notifier(engine)
        listeners = Listeners(engine, notifier)
        try:
            tell(
                Event.STARTED,
                "crawlerd %s, pid %d; %s; imports: %d",
                *(__version__, os.getpid(), listeners.described, len(settings.imports)),
                version=__version__,
                pid=os.getpid(),
                imports=len(settings.imports),
            )
            engine.open_sinks()
            notify("READY=1")
            notifier.start()
            with SignsOfLife(engine):
                _serve(running)
            _end(running)
        except BaseException as error:  # systemd would never restart a daemon of which only some threads are left
            if engine.failure is None:
                tell(
                    Event.FAILED,
                    "ending, because of %s: %s",
                    *(type(error).__name__, error),
                    cause=None if isinstance(error, CrawlerdError) else error,
                    error=str(error),
                )
                _end(running)
            raise
        finally:
            notifier.close()
            listeners.close()
    if engine.failure is not None:
        raise engine.failure


def _end(running: Running) -> None:
    engine = running.engine
    engine.agenda.progress_at = math.inf  # the main loop makes no more progress, which is not a fault now
    seconds, tasks = engine.settings.daemon.drain_seconds, engine.dispatcher.leased
    stopping(seconds + CLOSE_SECONDS)
    text = "draining: waiting up to %g s for %d running tasks"
    tell(Event.DRAINING, text, seconds, tasks, tasks=tasks, seconds=seconds)
    drained = stop(engine, running.signals)
    tell(Event.STOPPED, "stopped%s", "" if drained else "; tasks that were still running will be done again")


def _serve(running: Running) -> None:
    engine, changed, signals = running
    due_at = 0.0
    while not signals.received and engine.failure is None:
        now = engine.agenda.progress_at = time.monotonic()
        if signals.hangups:
            signals.hangups = 0
            engine.reloads.ask()
        if ended := engine.runs.ended():
            _log_ends(engine, ended)
            due_at = now
        if not (engine.pauses.resumed.empty() and engine.agenda.reloaded.empty()):
            due_at = now
        if now >= due_at:
            try:
                due_at = now + engine.agenda.start_due()
            except (FrontierError, SinkError) as error:
                if engine.failure is not None:
                    break
                log.error("cannot start due imports: %s; trying again", error)
                due_at = now + TROUBLE_SECONDS
        changed.wait(max(0.0, min(due_at - now, BEAT_SECONDS)))
        changed.clear()


def _log_ends(engine: Engine, numbers: list[int]) -> None:
    try:
        runs = engine.runs.facts(numbers)
    except CrawlerdError as error:  # failing to read figures for a log line must not stop the daemon
        log.info("runs %s have ended (their figures cannot be read: %s)", ", ".join(map(str, numbers)), error)
        return
    for run in runs:
        tell(
            Event.RUN_ENDED,
            "import %s: run %d %s: %d records, %d tasks, %d dead",
            *(run.import_name, run.id, run.state, run.records, run.done, run.dead),
            level=logging.INFO if run.state == "completed" else logging.WARNING,
            run=run.id,
            import_name=run.import_name,
            account=spec.account if (spec := engine.settings.imports.get(run.import_name)) else None,
            state=run.state,
            records=run.records,
            tasks=run.done,
            dead=run.dead,
            seconds=None if run.ended_at is None else round(run.ended_at - run.started_at, 3),
        )
