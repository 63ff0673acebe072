"""`crawlerd run`: the engine as a service, until a signal, a failure, or the end of time."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from crawlerd.core.errors import FrontierError, SinkError
from crawlerd.frontier import open_reader
from crawlerd.service.health import health
from crawlerd.service.listeners import Listeners
from crawlerd.service.signals import running_engine, stop
from crawlerd.service.systemd import notify, watchdog_seconds

if TYPE_CHECKING:
    from crawlerd.config.load import Settings
    from crawlerd.engine.engine import Engine
    from crawlerd.service.signals import Running

log = logging.getLogger(__name__)

TROUBLE_SECONDS = 5.0  # between tries to start runs while the disk or a sink refuses


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Raises what the engine raised when it failed."""
    with running_engine(settings) as running:
        engine = running.engine
        try:
            listeners = Listeners(engine, settings.daemon.listen)
        except BaseException:
            engine.stop(0)
            raise
        try:
            log.info("pid %d; http://%s/metrics; %d imports", os.getpid(), listeners.address, len(settings.imports))
            engine.open_sinks()
            notify("READY=1")
            _serve(running)
            notify("STOPPING=1")
            log.info(
                "draining: waiting up to %g s for %d running tasks",
                settings.daemon.drain_seconds,
                engine.dispatcher.leased,
            )
            drained = stop(engine, running.signals)
            log.info("stopped%s", "" if drained else "; what was still running will be done again")
        finally:
            listeners.close()
    if engine.failure is not None:
        raise engine.failure


def _serve(running: Running) -> None:
    engine, changed, signals = running
    watchdog = watchdog_seconds()
    due_at = 0.0
    while not signals.received and engine.failure is None:
        now = time.monotonic()
        for run_id in engine.runs.ended():
            _log_end(engine, run_id)
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


def _log_end(engine: Engine, number: int) -> None:
    reader = open_reader(engine.settings.daemon.state_dir)
    assert reader is not None  # noqa: S101 - the engine has it open
    try:
        run = reader.run(number)
    finally:
        reader.close()
    log.info(
        "import %s: run %d %s: %d records, %d tasks, %d dead",
        run.import_name,
        run.id,
        run.state,
        run.records,
        run.done,
        run.dead,
    )
