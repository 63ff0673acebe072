"""`crawlerd run`: the engine as a service, until a signal, a failure, or the end of time."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

from crawlerd.core.errors import FrontierError, SinkError
from crawlerd.engine.engine import Engine
from crawlerd.engine.wake import Wake
from crawlerd.frontier.sqlite.reader import FrontierReader
from crawlerd.service.http import Admin, health

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.config.load import Settings

log = logging.getLogger(__name__)

TROUBLE_SECONDS = 5.0  # between tries to start runs while the disk or a sink refuses


class Signals:
    """Counts SIGTERM and SIGINT: the first asks for a drain, the second for an end at once."""

    def __init__(self, wake: Wake) -> None:
        self.received = 0
        self._wake = wake

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Within this block the two signals are counted instead of killing."""
        before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        woken = signal.set_wakeup_fd(self._wake.fd, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self.received += 1
        self._wake.set()


def notify(message: str) -> None:
    """Tells systemd, if it started us (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + address[1:] if address[0] == "@" else address)
            channel.sendall(message.encode())


def watchdog_seconds() -> float | None:
    """How often systemd wants a sign of life from this process."""
    micros, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(micros) / 1e6 if micros.isdigit() and pid == str(os.getpid()) else None


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Raises what the engine raised when it failed."""
    wake = Wake()
    signals = Signals(wake)
    with signals.caught():
        engine = Engine(settings, changed=wake)
        engine.start()
        try:
            admin = Admin(engine, settings.daemon.listen)
        except BaseException:
            engine.stop(0)
            raise
        try:
            log.info("pid %d; http://%s/metrics; %d imports", os.getpid(), admin.address, len(settings.imports))
            engine.open_sinks()
            notify("READY=1")
            _serve(engine, wake, signals)
            notify("STOPPING=1")
            log.info("draining: waiting up to %g s for %d running tasks", *_drain_facts(engine))
            drained = stop(engine, signals)
            log.info("stopped%s", "" if drained else "; what was still running will be done again")
        finally:
            admin.close()
    if engine.failure is not None:
        raise engine.failure


def _drain_facts(engine: Engine) -> tuple[float, int]:
    return engine.settings.daemon.drain_seconds, engine.dispatcher.leased


def stop(engine: Engine, signals: Signals) -> bool:
    """Stops the engine; another signal cuts the drain short."""
    asked = signals.received
    deadline = time.monotonic() + engine.settings.daemon.drain_seconds
    engine.dispatcher.drain()
    while (
        engine.failure is None
        and signals.received == asked
        and time.monotonic() < deadline
        and not engine.dispatcher.drained.wait(0.05)
    ):
        pass
    return engine.stop(0)


def _serve(engine: Engine, wake: Wake, signals: Signals) -> None:
    watchdog = watchdog_seconds()
    due_at = 0.0
    while not signals.received and engine.failure is None:
        now = time.monotonic()
        for run_id in engine.ended():
            _log_end(engine, run_id)
            due_at = now
        if now >= due_at:
            try:
                due_at = now + engine.start_due()
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
        wake.wait(max(0.0, timeout))
        wake.clear()


def _log_end(engine: Engine, number: int) -> None:
    reader = FrontierReader.open(engine.settings.daemon.state_dir)
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
