"""How fast tasks are done: a rate in which the last minutes count most, and time without any work counts little."""

from __future__ import annotations

from math import exp
from typing import NamedTuple

MEMORY = 600.0  # after this many seconds, finished tasks count a third
LONGEST_GAP = 60.0  # most seconds that count between two commits; a longer gap was an outage, a pause or a stop


class Pace(NamedTuple):
    """The pace of finished tasks.

    done: a weighted count of finished tasks; recent ones count most.
    seconds: the time in which they were done, with the same weights.
    last_at: when the last tasks were finished; Unix seconds.
    """

    done: float
    seconds: float
    last_at: float

    def after(self, done: int, now: float) -> Pace:
        """The pace after `done` more tasks were finished at the time `now`."""
        gap = min(max(now - self.last_at, 0.0), LONGEST_GAP)
        kept = exp(-gap / MEMORY)
        return Pace(self.done * kept + done, self.seconds * kept + gap, now)

    @property
    def rate(self) -> float | None:
        """Tasks per second; None when unknown yet."""
        return self.done / self.seconds if self.seconds > 0 and self.done > 0 else None
