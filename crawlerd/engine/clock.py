"""Unix time that does not jump: read once, then moved on by a clock that nobody sets."""

from __future__ import annotations

import time


class Clock:
    """A wall clock set back or forward while the daemon runs must neither stall a task nor start a burst. Time that the
    machine slept has passed, for quotas and retries as well, so this is not the monotonic clock, which stands still
    meanwhile (clock_gettime(2), CLOCK_BOOTTIME)."""

    def __init__(self) -> None:
        self._offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> float:
        """Unix seconds."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self._offset

    def monotonic(self, unix: float) -> float:
        """The monotonic time at which `now` is, was or will be `unix`, if the machine does not sleep."""
        return time.monotonic() + unix - self.now()
