"""Reads the counters once a second for the charts, on one thread that ends with the page."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

from crawlerd.operations.pulse import Rates, counters
from crawlerd.service.machine_metrics import usage

if TYPE_CHECKING:
    from crawlerd.engine.engine import Engine
    from crawlerd.operations.history import History
    from crawlerd.operations.recent_rates import RecentRates

log = logging.getLogger(__name__)

SECOND = 1.0


class PageSampler:
    def __init__(self, engine: Engine, history: History, runs: RecentRates[int], accounts: RecentRates[str]) -> None:
        self._engine, self._history, self._rates = engine, history, Rates()
        self._runs, self._accounts = runs, accounts

    def start(self) -> None:
        me = weakref.ref(self)
        threading.Thread(target=_sample, args=(me,), name="page-sampler", daemon=True).start()

    def sample(self) -> None:
        now = time.monotonic()
        values = self._rates.of(now, counters(self._engine))
        self._history.add(now, {**values, "memory": self._memory(), "free": self._free()})
        self._runs.add(now, self._engine.insight.rates())
        self._accounts.add(now, self._engine.insight.account_rates())

    def _memory(self) -> float:
        resident = 0
        for pid in [os.getpid(), *self._engine.dispatcher.worker_pids.copy().values()]:
            with suppress(OSError, IndexError):  # the process is gone
                resident += usage(pid)[1]
        return resident

    def _free(self) -> float | None:
        """Free bytes of the fullest disk that is written to."""
        places = {self._engine.settings.daemon.state_dir}
        places.update(sink.database.parent for sink in self._engine.settings.sinks.copy().values())
        found = []
        for place in places:
            with suppress(OSError):
                disk = os.statvfs(place)
                found.append(disk.f_bavail * disk.f_frsize)
        return min(found, default=None)


def _sample(sampler: weakref.ref[PageSampler]) -> None:
    while (found := sampler()) is not None:
        try:
            found.sample()
        except Exception:
            log.exception("the page's charts have a gap")
        del found
        time.sleep(SECOND - time.monotonic() % SECOND)  # a clock: nothing else begins a second
