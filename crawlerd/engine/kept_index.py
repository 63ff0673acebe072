"""The index of what accounts wait for, kept for a moment: with 100,000 accounts it takes a tenth of a second."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from crawlerd.frontier.wait_index import wait_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import Told
    from crawlerd.frontier.wait_index import WaitIndex

CHEAP = 0.02  # seconds of a processor: one that takes less is made each time
SHARE = 0.01  # of the time that may be spent on making others


class KeptIndex:
    """Used from any thread. Of several that ask at once, one makes it, and the others get the one before."""

    def __init__(
        self,
        told: Callable[[], Iterable[Told]],
        stuck: Callable[[], Mapping[int, str]],
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        """told, stuck: as of `wait_index`. clock: seconds. spent: seconds of a processor."""
        self._told, self._stuck, self._clock, self._spent = told, stuck, clock, spent
        self._making = threading.Lock()
        self._index: WaitIndex | None = None
        self._good_until = 0.0

    def get(self, reader: FrontierReader, now: float) -> WaitIndex:
        """now: Unix seconds."""
        if (kept := self._kept()) and (self._clock() < self._good_until or self._making.locked()):
            return kept
        with self._making:
            if (kept := self._kept()) and self._clock() < self._good_until:
                return kept
            told, stuck = self._told(), self._stuck()
            began = self._spent()
            found = wait_index(reader, now, told, stuck)
            cost = self._spent() - began
            self._index = found if cost >= CHEAP else None
            self._good_until = self._clock() + cost / SHARE
            return found

    def _kept(self) -> WaitIndex | None:
        return self._index
