"""The buckets of a metric's histogram: counts how many numbers were not greater than each bound. Pure."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
WRITE_BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # seconds


class BoundedCounts:
    """Counts numbers. One thread adds, without a lock; others may read.

    sum: the sum of all numbers.
    """

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """bounds: in ascending order; numbers above the last one are counted as infinite."""
        self.bounds = bounds
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def add(self, number: float) -> None:
        self._counts[bisect_left(self.bounds, number)] += 1
        self.sum += number

    def cumulative(self) -> list[int]:
        """For each bound, how many numbers were not greater; the last value counts all numbers."""
        return list(accumulate(self._counts))
