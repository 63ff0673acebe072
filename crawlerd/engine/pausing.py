"""What people pause and resume while the engine runs."""

from __future__ import annotations

import logging
from queue import SimpleQueue
from typing import TYPE_CHECKING

from crawlerd.core.errors import CrawlerdError
from crawlerd.core.pauses import Pauses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.core.configuration import AccountSpec
    from crawlerd.core.pauses import Pausable, PauseNote
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.dispatcher_inbox import DispatcherInbox
    from crawlerd.engine.prefetch import Prefetch
    from crawlerd.engine.safe_event import SafeEvent
    from crawlerd.engine.sink_writer import SinkWriter
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.contract import Frontier

log = logging.getLogger(__name__)

ITSELF = "crawlerd"  # who resumes what was paused until a time


class ImportPaused(CrawlerdError):
    """A person has paused the import, so that it does not start."""

    def __init__(self, note: PauseNote) -> None:
        super().__init__(f"{note.text}; `crawlerd resume import {note.name}` ends the pause")


class Pausing:
    """Used on the store's thread, where nothing else is said.

    current: what is paused; each change brings another one. From any thread.
    resumed: imports that may start again, until somebody takes them out. From any thread.
    """

    def __init__(
        self,
        frontier: Frontier,
        clock: Clock,
        accounts: Mapping[str, AccountSpec],
        writer: SinkWriter,
        prefetch: Prefetch,
        store: StoreInbox,
        dispatcher: DispatcherInbox,
        changed: SafeEvent,
    ) -> None:
        """
        accounts: the configured ones.
        changed: set when an import was resumed.
        """
        self._frontier, self._clock, self._accounts = frontier, clock, accounts
        self._writer, self._prefetch, self._store, self._dispatcher = writer, prefetch, store, dispatcher
        self._changed = changed
        self.resumed: SimpleQueue[str] = SimpleQueue()
        self._ending = False
        self._take()

    def pause(self, note: PauseNote) -> None:
        """From any thread. Returns when it is on disk; requests that are out come to their end."""
        self._store.call(lambda: self._pause(note)).result()

    def resume(self, kind: Pausable, name: str, by: str) -> bool:
        """From any thread. Whether there was such a pause."""
        return self._store.call(lambda: self._lift(kind, name, by)).result()

    def look(self) -> None:
        """Ends the pauses whose time is over. Call every now and then."""
        end = self.current.next_end
        if end is not None and end <= self._clock.now() and not self._ending:
            self._ending = True
            self._store.call(self._end)

    def _pause(self, note: PauseNote) -> None:
        self._writer.pause(self._frontier.pause(note))
        self._take()
        log.warning("%s", note.text)

    def _lift(self, kind: Pausable, name: str, by: str) -> bool:
        runs = self._frontier.lift(kind, name, by, self._clock.now())
        if runs is None:
            return False
        self._take()
        self._writer.resume(runs)
        if kind == "import":
            self.resumed.put(name)
            self._changed.set()
        else:
            self._prefetch.look_again()
        log.warning("%s %s is resumed by %s", kind, name, by)
        return True

    def _end(self) -> None:
        try:
            for note in self.current.ended(self._clock.now()):
                self._lift(note.kind, note.name, ITSELF)
        finally:
            self._ending = False

    def _take(self) -> None:
        self.current = Pauses(self._frontier.pauses(), self._source)
        self._dispatcher.hold(self.current)

    def _source(self, account: str) -> str | None:
        spec = self._accounts.get(account)
        return spec.source if spec else None
