"""Durations in bins of a fixed logarithmic scale, and the lengths of chains of tasks in levels."""

from __future__ import annotations

from math import ceil, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST = 0.001  # seconds: the end of bin 0
RATIO = 1.2  # of the ends of two bins
MOST = 80  # the last bin, which begins at half an hour
EXACT = 8  # lengths below that have a level each; above, each power of two has one
_RATIO = log(RATIO)


def bin_of(seconds: float) -> int:
    """The bin of a duration: number n ends at LEAST * RATIO**n."""
    return 0 if seconds <= LEAST else min(MOST, ceil(log(seconds / LEAST) / _RATIO))


def quantile(bins: Mapping[int, int], share: float) -> float | None:
    """The duration that this share of the counted ones does not exceed, off by at most a tenth; in seconds. None when
    nothing was counted. bins: how many durations each has."""
    rank = share * sum(bins.values())
    for number, count in sorted(bins.items()):
        rank -= count
        if count and rank <= 1e-9:
            return float(LEAST * RATIO ** (number - 0.5))
    return None


def level_of(chain: int) -> int:
    """The level of a task before which this number of its kind have asked for the next one."""
    return chain if chain < EXACT else chain.bit_length() + 4
