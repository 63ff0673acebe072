"""The engine under signals: SIGTERM and SIGINT ask for a drain, then for an end at once."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.engine.engine import Engine
from crawlerd.engine.renewals import renewing
from crawlerd.engine.safe_event import SafeEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.config.load import Settings

LOOK_SECONDS = 0.05  # how often a drain checks whether a signal has come


class Signals:
    """Counts SIGTERM and SIGINT: the first asks for a drain, the second for an end at once."""

    def __init__(self, changed: SafeEvent) -> None:
        self.received = 0
        self._changed = changed

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Within this block the two signals are counted instead of killing."""
        before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        woken = signal.set_wakeup_fd(self._changed.fd, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self.received += 1
        self._changed.set()


class Running(NamedTuple):
    """An engine that was started, and what ends it."""

    engine: Engine
    changed: SafeEvent  # set by a signal, the end of a run, a paused account, and a failure of the engine
    signals: Signals


@contextlib.contextmanager
def running_engine(settings: Settings) -> Iterator[Running]:
    """Starts the engine. Signals are counted until the end of the block, in which the caller must `stop` the engine."""
    changed = SafeEvent()
    signals = Signals(changed)
    with signals.caught():
        engine = Engine(settings, changed=changed)
        engine.start()
        with renewing(settings):
            yield Running(engine, changed, signals)


def stop(engine: Engine, signals: Signals) -> bool:
    """Stops the engine; another signal cuts the drain short. False when something was still running at the end."""
    asked = signals.received
    deadline = time.monotonic() + engine.settings.daemon.drain_seconds
    engine.dispatcher.drain()
    while (
        engine.failure is None
        and signals.received == asked
        and time.monotonic() < deadline
        and not engine.dispatcher.drained.wait(LOOK_SECONDS)
    ):
        pass
    return engine.stop(0)
