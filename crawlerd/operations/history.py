"""Recent measurements: a value per second for ten minutes, and one per minute for a day. Limited in size, and in
memory."""

from __future__ import annotations

from collections import deque
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS, MINUTES = 600, 1_440
MOST_SERIES = 12


class History:
    """Values of several series. Any thread may read them.

    A second in which nothing was measured is a gap.
    """

    def __init__(self, series: tuple[str, ...]) -> None:
        if len(series) > MOST_SERIES:
            raise ValueError(f"{len(series)} series, but at most {MOST_SERIES} are allowed")
        self._seconds: dict[str, deque[float | None]] = {name: deque(maxlen=SECONDS) for name in series}
        self._minutes: dict[str, deque[float | None]] = {name: deque(maxlen=MINUTES) for name in series}
        self._sums: dict[str, tuple[float, int]] = {}  # of the current minute: the sum and the number of values
        self._second: int | None = None  # the last measured one
        self._lock = Lock()

    def add(self, now: float, values: Mapping[str, float | None]) -> None:
        """Adds values. A second call within the same second is ignored.

        now: seconds of a clock that never goes back.
        """
        second = int(now)
        with self._lock:
            if self._second is not None:
                if second <= self._second:
                    return
                for _ in range(min(second - self._second - 1, SECONDS)):
                    self._append({})
                for _ in range(min(second // 60 - self._second // 60, MINUTES)):
                    self._end_minute()
            self._second = second
            self._append(values)
            for name, value in values.items():
                if value is not None:
                    total, count = self._sums.get(name, (0.0, 0))
                    self._sums[name] = (total + value, count + 1)

    def seconds(self, name: str, most: int = SECONDS) -> list[float | None]:
        """The values per second, the oldest first."""
        return self._last(self._seconds[name], most)

    def minutes(self, name: str, most: int = MINUTES) -> list[float | None]:
        """The means per minute, the oldest first, without the current minute."""
        return self._last(self._minutes[name], most)

    def _last(self, values: deque[float | None], most: int) -> list[float | None]:
        with self._lock:
            return list(islice(values, max(0, len(values) - most), None))

    def _append(self, values: Mapping[str, float | None]) -> None:
        for name, kept in self._seconds.items():
            kept.append(values.get(name))

    def _end_minute(self) -> None:
        for name, kept in self._minutes.items():
            total, count = self._sums.get(name, (0.0, 0))
            kept.append(total / count if count else None)
        self._sums.clear()
