"""Starts, stops and reconfigures the queues shared with other programs: the inbox, and the spool of dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.engine.letter_spool import Spool
from crawlerd.engine.task_inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.config.differences import Changes
    from crawlerd.config.load import Settings
    from crawlerd.engine.joining import Joining
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.contract import Frontier


class SharedQueues:
    """The inbox and the spool together. To be used from the main thread, unless a method says otherwise."""

    def __init__(
        self,
        settings: Settings,
        frontier: Frontier,
        store: StoreInbox,
        joining: Joining,
        *,
        takes: bool,
    ) -> None:
        """Call before the store's thread is started.

        takes: whether to take tasks from the inbox. An import in the foreground must end, and takes none.
        """
        self._settings, self._store = settings, store
        self._spool = Spool(settings, frontier, store)
        self._inbox = Inbox(settings, frontier, store, joining)
        self._watches = {"dead_letters.spool": self._spool.watch} | ({"inbox": self._inbox.watch} if takes else {})

    def start(self) -> None:
        for watch in self._watches.values():
            watch.start()

    def stop(self) -> None:
        """Stops both queues. The next process handles letters that are not in the spool yet, and tasks in the inbox."""
        for watch in self._watches.values():
            watch.stop()

    def troubles(self) -> dict[str, str]:
        """Why a queue cannot be used, by its key in the configuration. From any thread."""
        return {key: watch.trouble for key, watch in self._watches.items() if watch.trouble}

    def take(self, found: Changes) -> None:
        """Applies a changed configuration. From any thread except the store's."""
        if found.spool != self._settings.spool:
            self._store.call(lambda: self._spool.take(found.spool)).result()
        if found.inbox != self._settings.inbox:
            self._store.call(lambda: self._inbox.take(found.inbox)).result()

    def told(self, found: Changes) -> Iterator[str]:
        """Yields what a changed configuration changes about the queues, for people."""
        spool, inbox = self._settings.spool, self._settings.inbox
        for key, old, new in (("dead_letters.spool", spool, found.spool), ("inbox", inbox, found.inbox)):
            if old != new:
                yield f"{key} {'removed' if new is None else 'added' if old is None else 'changed'}"
