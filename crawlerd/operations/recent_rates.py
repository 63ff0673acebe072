"""Requests per second of runs and accounts: a value per second of the last ten minutes of each, limited in size, and in
memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Hashable
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from crawlerd.operations.history import SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = 200  # runs or accounts; 2.4 kB each

K = TypeVar("K", bound=Hashable)


class RecentRates(Generic[K]):
    """The rates of runs by number, or of accounts by name. Any thread may read them.

    A second in which nothing was measured is a gap. If very many are active, some have no values.
    """

    def __init__(self, *, end: bool) -> None:
        """end: those that are left out of a measurement have ended, as runs do; otherwise they rest."""
        self._end = end
        self._of: dict[K, array[float]] = {}  # those that began to be measured first come first
        self._second: int | None = None  # the last measured one
        self._lock = Lock()

    def add(self, now: float, rates: Mapping[K, float]) -> None:
        """Adds the rates of those that are active. A second call within the same second is ignored.

        now: seconds of a clock that never goes back.
        """
        second = int(now)
        with self._lock:
            missed = 0 if self._second is None else second - self._second - 1
            if missed < 0:
                return
            self._second = second
            gap = [math.nan] * min(missed, SECONDS)
            for key in [*rates, *self._resting(rates)]:
                if (values := self._of.get(key)) is not None:
                    values.extend(gap)
                elif self._has_room(rates):
                    values = self._of[key] = array("f")
                else:
                    continue
                values.append(rates.get(key, 0.0))
                del values[:-SECONDS]

    def of(self, key: K) -> list[float | None]:
        """The values of one, the oldest first; those of a run that has ended are from before its end."""
        with self._lock:
            values = self._of.get(key)
            return [] if values is None else [None if math.isnan(value) else value for value in values]

    def _resting(self, rates: Mapping[K, float]) -> list[K]:
        return [] if self._end else [key for key in self._of if key not in rates]

    def _has_room(self, rates: Mapping[K, float]) -> bool:
        """Whether one more can be measured. If need be, one that is not active is forgotten."""
        if len(self._of) < MOST:
            return True
        other = next((key for key in self._of if key not in rates), None)
        if other is not None:
            del self._of[other]
        return other is not None
