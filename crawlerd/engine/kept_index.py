"""Caches the index of what accounts wait for: with 100,000 accounts, making it takes a tenth of a second."""

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

CHEAP = 0.02  # an index that takes fewer seconds of CPU time is not cached
SHARE = 0.01  # share of the time that may be spent on making other indexes


class KeptIndex:
    """Caches the index of what accounts wait for. To be used from any thread. When several threads ask at once, one
    makes a new index, and the others get the old one."""

    def __init__(
        self,
        told: Callable[[], Iterable[Told]],
        stuck: Callable[[], Mapping[int, str]],
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        """
        told, stuck: arguments of `wait_index`.
        clock: seconds.
        spent: seconds of CPU time.
        """
        self._told, self._stuck, self._clock, self._spent = told, stuck, clock, spent
        self._making = threading.Lock()
        self._index: WaitIndex | None = None
        self._good_until = 0.0

    def get(self, reader: FrontierReader, now: float) -> WaitIndex:
        """The index, new or cached. now: Unix seconds."""
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
