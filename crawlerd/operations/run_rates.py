"""Requests per second of runs: a value per second of each run's last ten minutes, limited in size, and in memory."""

from __future__ import annotations

import math
from array import array
from threading import Lock
from typing import TYPE_CHECKING

from crawlerd.operations.history import SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_RUNS = 200  # 2.4 kB each


class RunRates:
    """The rates of the runs under way, and of runs that have ended since, as long as there is room. Any thread may read
    them.

    A second in which nothing was measured is a gap. If very many runs are under way, some have no values.
    """

    def __init__(self) -> None:
        self._of: dict[int, array[float]] = {}  # those that began to be measured first come first
        self._second: int | None = None  # the last measured one
        self._lock = Lock()

    def add(self, now: float, rates: Mapping[int, float]) -> None:
        """Adds the rates of the runs under way. A second call within the same second is ignored.

        now: seconds of a clock that never goes back.
        """
        second = int(now)
        with self._lock:
            missed = 0 if self._second is None else second - self._second - 1
            if missed < 0:
                return
            self._second = second
            for run, rate in rates.items():
                if (values := self._of.get(run)) is None:
                    if not self._has_room(rates):
                        continue
                    values = self._of[run] = array("f")
                else:
                    values.extend([math.nan] * min(missed, SECONDS))
                values.append(rate)
                del values[:-SECONDS]

    def of(self, run: int) -> list[float | None]:
        """The values of a run, the oldest first; those of a run that has ended are from before its end."""
        with self._lock:
            values = self._of.get(run)
            return [] if values is None else [None if math.isnan(value) else value for value in values]

    def _has_room(self, rates: Mapping[int, float]) -> bool:
        """Whether one more run can be measured. If need be, one that has ended is forgotten."""
        if len(self._of) < MOST_RUNS:
            return True
        ended = next((run for run in self._of if run not in rates), None)
        if ended is not None:
            del self._of[ended]
        return ended is not None
