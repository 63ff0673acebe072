"""Unix time that does not jump: the wall clock is read once, and a clock that cannot be set counts from there."""

from __future__ import annotations

import time


class Clock:
    """A change of the wall clock while the daemon runs must neither stall tasks nor start a burst of them. But quotas
    and retries must count the time that the machine was suspended. The monotonic clock does not count it, so this uses
    CLOCK_BOOTTIME, see clock_gettime(2)."""

    def __init__(self) -> None:
        self._offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> float:
        """The present time in Unix seconds."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self._offset

    def monotonic(self, unix: float) -> float:
        """Converts Unix seconds to monotonic seconds, provided that the machine is not suspended in between."""
        return time.monotonic() + unix - self.now()
