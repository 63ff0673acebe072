"""Decides when missing workers are started, waits longer while they cannot start, and logs it."""

from __future__ import annotations

import logging

from crawlerd.core.log_events import Event, tell

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0  # between two starts of worker processes; doubles while they cannot start …
LONGEST_SECONDS = 30.0  # … up to this
SLOW_SECONDS = 15.0  # time without a worker after which it is reported, even if no start has failed


class Restarts:
    """Decides when missing workers are started. Times are monotonic seconds. One thread changes it; others may read it.

    next_at: when to start missing workers next.
    down_since: since when no worker is running; None while one is.
    why: why the last start has failed; None when one has succeeded since.
    """

    def __init__(self) -> None:
        self._rounds = 0  # of starts, since the last success
        self._told = False
        self._told_of_all = False
        self.next_at = 0.0
        self.down_since: float | None = None
        self.why: str | None = None

    def begin(self, now: float) -> None:
        """Call when missing workers are started now."""
        self.next_at = now + min(LONGEST_SECONDS, RESTART_SECONDS * 2.0 ** min(self._rounds, 16))
        self._rounds += 1

    def failed(self, why: str, working: int) -> None:
        """A worker could not be started, or has ended before it was ready. working: how many are running."""
        self.why = why
        if not working and not self._told_of_all:
            self._told = self._told_of_all = True
            text = "no worker process can start (%s): no task runs until one can; trying again"
            tell(Event.WORKERS_FAIL, text, why, working=0, reason=why)
        elif not self._told:
            self._told = True
            text = "a worker process cannot start (%s): %d others are running; trying again"
            tell(Event.WORKERS_FAIL, text, why, working, level=logging.WARNING, working=working, reason=why)
        else:
            log.debug("a worker process cannot start: %s", why)

    def succeeded(self) -> None:
        """A worker is running."""
        self._rounds, self.why = 0, None
        if self._told:
            self._told = self._told_of_all = False
            tell(Event.WORKERS_START, "worker processes start again")

    def look(self, now: float, working: int) -> None:
        """Call a few times a second. working: how many workers are running."""
        if working:
            self.down_since = None
        elif self.down_since is None:
            self.down_since = now

    def down(self, now: float) -> tuple[str, float] | None:
        """Why no worker is running, and for how many seconds; None while one is."""
        since, why = self.down_since, self.why
        if since is None or (why is None and now - since < SLOW_SECONDS):
            return None
        return (f"no worker process can start: {why}" if why else "no worker process is running yet"), now - since
