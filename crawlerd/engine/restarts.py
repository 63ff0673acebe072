"""When missing workers are started, how often while they cannot start, and who is told of that."""

from __future__ import annotations

import logging

from crawlerd.core.log_events import Event, tell

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0  # between starts of worker processes; doubles while they cannot start …
LONGEST_SECONDS = 30.0  # … up to this
SLOW_SECONDS = 15.0  # without any worker after which that is told, though none has failed to start


class Restarts:
    """Times are monotonic seconds. Changed by one thread; others may read it.

    next_at: when missing workers are to be started next.
    down_since: since when no worker is up; None while one is.
    why: how the last start has failed, as text; None when one has succeeded since.
    """

    def __init__(self) -> None:
        self._rounds = 0  # of starts, since one has succeeded
        self._told = False
        self._told_of_all = False
        self.next_at = 0.0
        self.down_since: float | None = None
        self.why: str | None = None

    def begin(self, now: float) -> None:
        """Missing workers are started now."""
        self.next_at = now + min(LONGEST_SECONDS, RESTART_SECONDS * 2.0 ** min(self._rounds, 16))
        self._rounds += 1

    def failed(self, why: str, working: int) -> None:
        """A worker could not be started, or has ended before it was of use. working: how many are up."""
        self.why = why
        if not working and not self._told_of_all:
            self._told = self._told_of_all = True
            text = "no worker process can start (%s): nothing is done until one can; trying again"
            tell(Event.WORKERS_FAIL, text, why, working=0, reason=why)
        elif not self._told:
            self._told = True
            text = "a worker process cannot start (%s): %d others go on; trying again"
            tell(Event.WORKERS_FAIL, text, why, working, level=logging.WARNING, working=working, reason=why)
        else:
            log.debug("a worker process cannot start: %s", why)

    def succeeded(self) -> None:
        """A worker is up."""
        self._rounds, self.why = 0, None
        if self._told:
            self._told = self._told_of_all = False
            tell(Event.WORKERS_START, "worker processes start again")

    def look(self, now: float, working: int) -> None:
        """Call a few times a second. working: how many workers are up."""
        if working:
            self.down_since = None
        elif self.down_since is None:
            self.down_since = now

    def down(self, now: float) -> tuple[str, float] | None:
        """Why nothing is done for want of workers, and for how many seconds; None while some work."""
        since, why = self.down_since, self.why
        if since is None or (why is None and now - since < SLOW_SECONDS):
            return None
        return (f"no worker process can start: {why}" if why else "no worker process has come up yet"), now - since
