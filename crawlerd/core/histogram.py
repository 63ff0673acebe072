"""Counts durations in bins of a logarithmic scale, and the lengths of chains of tasks in levels."""

from __future__ import annotations

from math import ceil, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST = 0.001  # seconds: the end of bin 0
RATIO = 1.2  # of the ends of two neighboring bins
MOST = 80  # the last bin, which begins at half an hour
EXACT = 8  # each length below this has its own level; above, each power of two has one
_RATIO = log(RATIO)


def bin_of(seconds: float) -> int:
    """The bin of a duration: bin n ends at LEAST * RATIO**n seconds."""
    return 0 if seconds <= LEAST else min(MOST, ceil(log(seconds / LEAST) / _RATIO))


def quantile(bins: Mapping[int, int], share: float) -> float | None:
    """The duration in seconds that a share of the counted durations does not exceed, with an error of a tenth at most.
    None when there are none.

    bins: the number of durations in each bin.
    share: such as 0.5 for the median.
    """
    rank = share * sum(bins.values())
    for number, count in sorted(bins.items()):
        rank -= count
        if count and rank <= 1e-9:
            return float(LEAST * RATIO ** (number - 0.5))
    return None


def level_of(chain: int) -> int:
    """The level of a task that has this number of tasks of its kind before it in its chain."""
    return chain if chain < EXACT else chain.bit_length() + 4
