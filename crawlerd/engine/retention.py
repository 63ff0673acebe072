"""Deletes old records from sinks, as the settings of each sink say, in slices, between the commits of runs."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from crawlerd.core.errors import SinkError, SyncFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.engine.clock import Clock
    from crawlerd.sink import Sink

log = logging.getLogger(__name__)

LOOK_SECONDS = 600.0  # between two looks for old records
SOON_SECONDS = 0.1  # between two slices
SLICE = 1_000  # rows, or files


class Retention:
    """Deletes old records from sinks. Used on the store's thread."""

    def __init__(self, sinks: Mapping[str, Sink], clock: Clock) -> None:
        """sinks: the open sinks, by name."""
        self._sinks, self._clock = sinks, clock
        self._next: dict[str, float] = {}  # when to look at each sink next; monotonic seconds
        self._told: dict[str, str] = {}

    def look(self) -> None:
        """Deletes a slice of the old records of each sink that is due. Call it often. Raises only SyncFailed."""
        now = time.monotonic()
        for name, sink in self._sinks.items():
            if self._next.get(name, now) > now:
                continue
            try:
                more = sink.expire(self._clock.now(), SLICE)
            except SyncFailed:
                raise
            except SinkError as error:
                if self._told.get(name) != str(error):
                    log.error("sinks.%s: old records cannot be deleted: %s; trying again", name, error)
                self._told[name], more = str(error), False
            else:
                self._told.pop(name, None)
            self._next[name] = now + (SOON_SECONDS if more else LOOK_SECONDS)
