"""`crawlerd run`: the engine as a service, until a signal, a failure, or the end of time."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from crawlerd.core.errors import CrawlerdError, FrontierError, SinkError
from crawlerd.service.health import health
from crawlerd.service.listeners import Listeners
from crawlerd.service.running import running_engine, stop
from crawlerd.service.systemd import notify, watchdog_seconds

if TYPE_CHECKING:
    from crawlerd.config.load import Settings
    from crawlerd.engine.engine import Engine
    from crawlerd.service.running import Running

log = logging.getLogger(__name__)

TROUBLE_SECONDS = 5.0  # between tries to start runs while the disk or a sink refuses


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Raises what the engine, or the loop here, raised when it failed."""
    with running_engine(settings, hangup=True) as running:
        engine = running.engine
        listeners = Listeners(engine)
        try:
            log.info("pid %d; %s; %d imports", os.getpid(), listeners.described, len(settings.imports))
            engine.open_sinks()
            notify("READY=1")
            _serve(running)
            _end(running)
        except BaseException as error:  # a half of a daemon that goes on would never be started again
            if engine.failure is None:
                log.critical(
                    "ending, because of %s: %s",
                    type(error).__name__,
                    error,
                    exc_info=not isinstance(error, CrawlerdError),
                )
                _end(running)
            raise
        finally:
            listeners.close()
    if engine.failure is not None:
        raise engine.failure


def _end(running: Running) -> None:
    engine = running.engine
    notify("STOPPING=1")
    log.info(
        "draining: waiting up to %g s for %d running tasks",
        engine.settings.daemon.drain_seconds,
        engine.dispatcher.leased,
    )
    drained = stop(engine, running.signals)
    log.info("stopped%s", "" if drained else "; what was still running will be done again")


def _serve(running: Running) -> None:
    engine, changed, signals = running
    watchdog = watchdog_seconds()
    due_at = 0.0
    while not signals.received and engine.failure is None:
        now = time.monotonic()
        if signals.hangups:
            signals.hangups = 0
            log.warning("SIGHUP is ignored: the configuration is read at a start only; restart to use a new one")
        if ended := engine.runs.ended():
            _log_ends(engine, ended)
            due_at = now
        if not engine.pauses.resumed.empty():
            due_at = now
        if now >= due_at:
            try:
                due_at = now + engine.runs.start_due()
            except (FrontierError, SinkError) as error:
                if engine.failure is not None:
                    break
                log.error("cannot start what is due: %s; trying again", error)
                due_at = now + TROUBLE_SECONDS
        timeout = due_at - now
        if watchdog:
            if health(engine) is None:
                notify("WATCHDOG=1")
            timeout = min(timeout, watchdog / 3)
        changed.wait(max(0.0, timeout))
        changed.clear()


def _log_ends(engine: Engine, numbers: list[int]) -> None:
    try:
        runs = engine.runs.facts(numbers)
    except CrawlerdError as error:  # a log line is worth no more
        log.info("runs %s have ended (what they did cannot be read: %s)", ", ".join(map(str, numbers)), error)
        return
    for run in runs:
        log.info(
            "import %s: run %d %s: %d records, %d tasks, %d dead",
            run.import_name,
            run.id,
            run.state,
            run.records,
            run.done,
            run.dead,
        )
