"""Limits that people lower while the engine runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from crawlerd.core.log_events import Event, tell
from crawlerd.core.lowered import Lowered
from crawlerd.engine.pausing import ITSELF

if TYPE_CHECKING:
    from crawlerd.core.lowered import LimitNote
    from crawlerd.engine.dispatcher_inbox import DispatcherInbox
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.acts_contract import Promise
    from crawlerd.frontier.contract import Frontier


class Lowering:
    """Lowers limits for people, and restores them. To be used on the store's thread, unless a method says otherwise.

    current: the lowered limits. Each change replaces the object, so any thread may read it.
    """

    def __init__(self, frontier: Frontier, store: StoreInbox, dispatcher: DispatcherInbox) -> None:
        self._frontier, self._store, self._dispatcher = frontier, store, dispatcher
        self._ending = False
        self._take()

    def lower(self, note: LimitNote, promise: Promise | None = None) -> None:
        """Lowers a limit. It is on disk when this returns, and applies to tasks that start later. From any thread."""
        self._store.call(lambda: self._lower(note, promise)).result()

    def end(self, account: str, bucket: str, by: str, promise: Promise | None = None) -> bool:
        """Restores the configured limits of a bucket, or of an account (bucket ""). Returns whether they were lowered.
        From any thread."""
        return self._store.call(lambda: self._end(account, bucket, by, promise)).result()

    def look(self) -> None:
        """Ends the lowered limits whose time is over, by the wall clock, since people give such times. Call it every
        few seconds."""
        end = self.current.next_end
        if end is not None and end <= time.time() and not self._ending:
            self._ending = True
            self._store.call(self._end_some)

    def _lower(self, note: LimitNote, promise: Promise | None) -> None:
        with self._frontier.answering(promise):
            self._frontier.lower(note)
        self._take()
        tell(
            Event.LIMIT_LOWERED,
            "%s: %s",
            *(note.subject, note.text),
            account=note.account,
            bucket=note.bucket,
            by=note.by,
            reason=note.reason,
        )

    def _end(self, account: str, bucket: str, by: str, promise: Promise | None = None) -> bool:
        with self._frontier.answering(promise):
            found = self._frontier.end_lowered(account, bucket, by, time.time())
        if found:
            self._take()
            what = f"bucket {account}/{bucket}" if bucket else f"account {account}"
            text = "%s: its limits are as configured again, by %s"
            tell(Event.LIMIT_RESTORED, text, what, by, account=account, bucket=bucket, by=by)
        return found

    def _end_some(self) -> None:
        try:
            for note in self.current.ended(time.time()):
                self._end(note.account, note.bucket, ITSELF)
        finally:
            self._ending = False

    def _take(self) -> None:
        self.current = Lowered(self._frontier.lowered())
        self._dispatcher.lower(self.current)
