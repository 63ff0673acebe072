"""What people pause and resume while the engine runs."""

from __future__ import annotations

import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from crawlerd.core.errors import CrawlerdError
from crawlerd.core.log_events import IMPORT, Event, tell
from crawlerd.core.pauses import Pauses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.config.load import Settings
    from crawlerd.core.pauses import Pausable, PauseNote
    from crawlerd.engine.dispatcher_inbox import DispatcherInbox
    from crawlerd.engine.prefetch import Prefetch
    from crawlerd.engine.safe_event import SafeEvent
    from crawlerd.engine.sink_writer import SinkWriter
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.acts_contract import Promise
    from crawlerd.frontier.contract import Frontier

ITSELF = "crawlerd"  # named in the log when the time of a pause is over


class ImportPaused(CrawlerdError):
    """The import cannot start because a person has paused it."""

    def __init__(self, note: PauseNote) -> None:
        super().__init__(f"{note.text}; to end the pause: `crawlerd resume import {note.name}`")


class Pausing:
    """Sets and ends the pauses of people. To be used on the store's thread, unless a method says otherwise.

    current: the pauses. Each change replaces the object, so any thread may read it.
    resumed: imports that were resumed; the agenda takes them out. From any thread.
    """

    def __init__(
        self,
        frontier: Frontier,
        settings: Settings,
        writer: SinkWriter,
        prefetch: Prefetch,
        store: StoreInbox,
        dispatcher: DispatcherInbox,
        changed: SafeEvent,
    ) -> None:
        """changed: set when an import was resumed."""
        self._frontier, self._settings = frontier, settings
        self._writer, self._prefetch, self._store, self._dispatcher = writer, prefetch, store, dispatcher
        self._changed = changed
        self.resumed: SimpleQueue[str] = SimpleQueue()
        self._ending = False
        self._take()

    def pause(self, *notes: PauseNote, promise: Promise | None = None) -> None:
        """Pauses what the notes name. It is on disk when this returns; tasks that were leased before are finished. From
        any thread."""
        self._store.call(lambda: self._pause(notes, promise)).result()

    def resume(self, kind: Pausable, name: str, by: str, promise: Promise | None = None) -> bool:
        """Ends a pause. Returns whether there was one. From any thread."""
        return self._store.call(lambda: self._lift(kind, name, by, promise)).result()

    def look(self) -> None:
        """Ends the pauses whose time is over, by the wall clock, since people give such times. Call it every few
        seconds."""
        end = self.current.next_end
        if end is not None and end <= time.time() and not self._ending:
            self._ending = True
            self._store.call(self._end)

    def _pause(self, notes: Sequence[PauseNote], promise: Promise | None) -> None:
        with self._frontier.answering(promise):
            self._writer.pause(self._frontier.pause(*notes))
        self._take()
        for note in notes:
            tell(Event.PAUSED, "%s", note.text, by=note.by, reason=note.reason, **_whose(note.kind, note.name))

    def _lift(self, kind: Pausable, name: str, by: str, promise: Promise | None = None) -> bool:
        with self._frontier.answering(promise):
            runs = self._frontier.lift(kind, name, by, time.time())
        if runs is None:
            return False
        self._take()
        if kind != "import" or name in self._settings.imports:
            self._writer.resume(runs)
        if kind == "import":
            self.resumed.put(name)
            self._changed.set()
        else:
            self._prefetch.look_again()
        tell(Event.RESUMED, "%s %s is resumed by %s", kind, name, by, by=by, **_whose(kind, name))
        return True

    def _end(self) -> None:
        try:
            for note in self.current.ended(time.time()):
                self._lift(note.kind, note.name, ITSELF)
        finally:
            self._ending = False

    def _take(self) -> None:
        self.current = Pauses(self._frontier.pauses(), self._source)
        self._dispatcher.hold(self.current)

    def _source(self, account: str) -> str | None:
        spec = self._settings.accounts.get(account)
        return spec.source if spec else None


def _whose(kind: Pausable, name: str) -> dict[str, Any]:
    """What is paused, as fields of a log event."""
    if kind == "bucket":
        account, _, bucket = name.partition("/")
        return {"account": account, "bucket": bucket}
    return {IMPORT if kind == "import" else kind: name}
