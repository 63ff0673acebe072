"""The spool: a copy of each letter that dies goes into a queue of persist-queue, for other programs.

The copy is made in the transaction in which the letter dies, so that nothing is lost, whatever becomes of the letter or
the process. A thread of its own moves copies into the queue, and deletes them afterwards: killed between the two, it
puts them once more.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from crawlerd.engine.queue_watch import QueueWatch
from crawlerd.sinks.ack_queue import AckQueue

if TYPE_CHECKING:
    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import SpoolSpec
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.contract import Frontier

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between looks for letters that have died
LETTERS, LETTER_BYTES = 500, 4 << 20  # that one transaction puts


class Spool:
    """watch: its thread."""

    def __init__(self, settings: Settings, frontier: Frontier, store: StoreInbox) -> None:
        """Call before the store's thread is started."""
        self._settings, self._frontier, self._store = settings, frontier, store
        self.watch = QueueWatch("spool", self._look, "dead letters wait for the spool, and none is lost")
        self._switch()

    def take(self, spec: SpoolSpec | None) -> None:
        """Another configuration, on the store's thread."""
        self._settings.spool = spec
        self._switch()
        self.watch.wake()

    def _switch(self) -> None:
        if dropped := self._frontier.copy_letters(self._settings.spool is not None):
            log.warning(
                "[dead_letters] spool is not configured any more: %s letters were not in it yet; those that are still "
                "dead letters can be put into a queue by `crawlerd dead export`",
                f"{dropped:,}",
            )

    # the thread

    def _look(self) -> float:
        """Puts what there is; looks whether it could, where it could not the last time."""
        spec = self._settings.spool
        if spec is not None and (self.watch.trouble or self._store.call(self._has_letters).result()):
            queue = AckQueue(spec.path, spec.mode)
            try:
                while self._put(queue) and not self.watch.stopping:
                    pass
            finally:
                queue.close()
        return LOOK_SECONDS

    def _has_letters(self) -> bool:
        return bool(self._frontier.copied_letters(1, 1))

    def _put(self, queue: AckQueue) -> bool:
        """Whether there were letters."""
        letters = self._store.call(lambda: self._frontier.copied_letters(LETTERS, LETTER_BYTES)).result()
        if not letters:
            return False
        queue.put([each.letter for each in letters])
        self._store.call(lambda: self._frontier.spooled(letters[-1].number)).result()
        return True
