"""Tells systemd, while the daemon serves, that its core loops make progress, and how it is doing."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Self

from crawlerd.core.errors import CrawlerdError
from crawlerd.frontier import open_reader
from crawlerd.operations.status_report import status_report
from crawlerd.operations.status_sentence import status_sentence
from crawlerd.service.health import health
from crawlerd.service.systemd import is_listening, notify, watchdog_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.engine.engine import Engine

log = logging.getLogger(__name__)

STATUS_SECONDS = 10.0  # between updates of the status


class SignsOfLife:
    """Active from construction to `close`. Does nothing unless systemd has started the daemon.

    The watchdog and the status have threads of their own: the status is read from disk, and a disk that hangs must be
    judged by `health`, not by the watchdog.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        if watchdog := watchdog_seconds():
            self._begin("watchdog", self._ping, watchdog / 3)
        if is_listening():
            self._said = ""
            self._begin("status", self._say, STATUS_SECONDS)

    def close(self) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, name: str, act: Callable[[], None], seconds: float) -> None:
        def repeat() -> None:
            try:
                act()
                while not self._closing.wait(seconds):
                    act()
            except Exception:
                log.exception("systemd gets no more updates of the %s", name)

        thread = threading.Thread(target=repeat, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _ping(self) -> None:
        if health(self._engine) is None:
            notify("WATCHDOG=1")

    def _say(self) -> None:
        if (said := sentence(self._engine)) != self._said:
            self._said = said
            notify(f"STATUS={said}")


def sentence(engine: Engine) -> str:
    """The state of the daemon on one line. Reads the frontier."""
    insight, settings = engine.insight, engine.settings
    try:
        reader = open_reader(settings.daemon.state_dir)
        if reader is None:
            return "nothing has been imported yet"
        try:
            report = status_report(reader, insight, settings, time.time(), held_up=insight.trouble)
            return status_sentence(report, insight)
        finally:
            reader.close()
    except (CrawlerdError, TimeoutError) as error:
        return f"the state cannot be read: {' '.join(str(error).split())}"
