"""The spool: puts a copy of each new dead letter into a queue of persist-queue, for other programs.

The copy is stored in the transaction that makes the task a dead letter, so none is lost, even when the letter is
retried or the process dies. A thread of its own puts copies into the queue and deletes them afterwards. If the process
dies in between, they are put into the queue twice.
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

LOOK_SECONDS = 1.0  # between two looks for new letters
LETTERS, LETTER_BYTES = 500, 4 << 20  # most letters, and their bytes, that one transaction puts into the queue


class Spool:
    """Puts copies of dead letters into the spool on a thread of its own, `watch`."""

    def __init__(self, settings: Settings, frontier: Frontier, store: StoreInbox) -> None:
        """Call before the store's thread is started."""
        self._settings, self._frontier, self._store = settings, frontier, store
        self.watch = QueueWatch("spool", self._look, "dead letters wait for the spool, and none is lost")
        self._switch()

    def take(self, spec: SpoolSpec | None) -> None:
        """Applies another configuration. On the store's thread."""
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
        """Puts the waiting letters into the queue. If there are none, but the last try has failed, tests the queue."""
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
        """Puts one chunk of letters into the queue. Returns whether there were any."""
        letters = self._store.call(lambda: self._frontier.copied_letters(LETTERS, LETTER_BYTES)).result()
        if not letters:
            return False
        queue.put([each.letter for each in letters])
        self._store.call(lambda: self._frontier.spooled(letters[-1].number)).result()
        return True
