"""How fast tasks are done: a rate in which the last minutes weigh most, and time in which nothing runs hardly does."""

from __future__ import annotations

from math import exp
from typing import NamedTuple

MEMORY = 600.0  # seconds after which what was done weighs a third
LONGEST_GAP = 60.0  # seconds between two commits that count: what is longer was an outage, a pause or a stop


class Pace(NamedTuple):
    """
    done: tasks, those of late weighing most.
    seconds: in which they were done, weighed as they are.
    last_at: Unix seconds.
    """

    done: float
    seconds: float
    last_at: float

    def after(self, done: int, now: float) -> Pace:
        """The pace once `done` more are done, at the time `now`."""
        gap = min(max(now - self.last_at, 0.0), LONGEST_GAP)
        kept = exp(-gap / MEMORY)
        return Pace(self.done * kept + done, self.seconds * kept + gap, now)

    @property
    def rate(self) -> float | None:
        """Tasks a second; None when that is not known yet."""
        return self.done / self.seconds if self.seconds > 0 and self.done > 0 else None
