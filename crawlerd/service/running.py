"""Runs the engine under signals: the first SIGTERM or SIGINT asks for a drain, the second ends it at once."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.engine.engine import Engine
from crawlerd.engine.safe_event import SafeEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crawlerd.config.differences import Changes, Known
    from crawlerd.config.load import Settings

LOOK_SECONDS = 0.05  # how often a drain checks for a signal


class Signals:
    """Counts SIGTERM and SIGINT: the first asks for a drain, the second for an end at once.

    hangups: counted SIGHUPs that have not been handled yet.
    """

    def __init__(self, changed: SafeEvent) -> None:
        self.received = 0
        self.hangups = 0
        self._changed = changed

    @contextlib.contextmanager
    def caught(self, *, hangup: bool = False) -> Iterator[None]:
        """Within this block, the two signals are counted and do not kill the process.

        hangup: the same for SIGHUP.
        """
        handlers = {signal.SIGTERM: self._note, signal.SIGINT: self._note}
        if hangup:
            handlers[signal.SIGHUP] = self._note_hangup
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        woken = signal.set_wakeup_fd(self._changed.fd, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, previous in before.items():
                signal.signal(number, previous)

    def _note(self, *_: object) -> None:
        self.received += 1
        self._changed.set()

    def _note_hangup(self, *_: object) -> None:
        self.hangups += 1
        self._changed.set()


class Running(NamedTuple):
    """A started engine, and the events that end it."""

    engine: Engine
    changed: SafeEvent  # set by a signal, the end of a run, a paused account, or a failure of the engine
    signals: Signals


@contextlib.contextmanager
def running_engine(
    settings: Settings,
    *,
    reading: Callable[[Known], Changes] | None = None,
    around_reload: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
    catching: bool = True,
) -> Iterator[Running]:
    """Starts the engine. Signals are counted until the end of the block. The caller must call `stop` before that; an
    exception that leaves the block stops the engine too.

    catching: False leaves signals to the caller, who then need not be on the main thread.
    reading, around_reload: see `Reloads`. With `reading`, SIGHUP is counted too.
    """
    changed = SafeEvent()
    signals = Signals(changed)
    with signals.caught(hangup=reading is not None) if catching else contextlib.nullcontext():
        engine = Engine(settings, changed, reading, around_reload)
        try:
            engine.start()
            yield Running(engine, changed, signals)
        except BaseException:
            stop(engine, signals)
            raise


def stop(engine: Engine, signals: Signals, say: Callable[[str], None] | None = None) -> bool:
    """Stops the engine; another signal cuts the drain short. Returns False if something was still running at the end,
    or if the engine had been stopped before.

    say: gets what a person at the terminal should know.
    """
    if engine.stopped:
        return False
    asked = signals.received  # read before anything is said: a reader may send the next signal at once
    if say is not None and engine.dispatcher.leased and engine.failure is None:
        say("stopping: waiting for running requests; press Ctrl-C again to cut them off")
    deadline = time.monotonic() + engine.settings.daemon.drain_seconds
    engine.dispatcher.drain()
    try:
        while (
            engine.failure is None
            and signals.received == asked
            and time.monotonic() < deadline
            and not engine.dispatcher.drained.wait(LOOK_SECONDS)
        ):
            pass
    except BaseException:  # KeyboardInterrupt, if signals are not counted
        engine.stop(0)
        raise
    return engine.stop(0)
