"""Unix time that does not jump: read once, then moved on by the monotonic clock."""

from __future__ import annotations

import time


class Clock:
    """A wall clock set back or forward while the daemon runs must neither stall a task nor start a burst."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Unix seconds."""
        return time.monotonic() + self._offset

    def monotonic(self, unix: float) -> float:
        """The monotonic time at which `now` is, was or will be `unix`."""
        return unix - self._offset
