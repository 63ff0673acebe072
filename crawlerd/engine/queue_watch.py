"""A thread that uses a queue shared with other programs, so that no thread of the engine waits for its file."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from crawlerd.core.errors import CrawlerdError, FrontierRefused, SyncFailed
from crawlerd.core.log_events import Event, tell

if TYPE_CHECKING:
    from collections.abc import Callable

TROUBLE_SECONDS = 5.0  # between two tries while the queue cannot be used
STOP_SECONDS = 5.0  # for which `stop` waits for the present chunk


class QueueWatch:
    """Calls a function again and again that uses a queue of other programs. Runs on a thread of its own between `start`
    and `stop`.

    trouble: why the queue cannot be used at the moment. From any thread.
    """

    def __init__(self, name: str, look: Callable[[], float], what: str) -> None:
        """
        look: does the work, in chunks, and returns the seconds until the next look. Raises CrawlerdError when the
            queue, or the frontier, cannot be used.
        what: the consequence while the queue cannot be used, for the log.
        """
        self._name, self._look, self._what = name, look, what
        self.trouble: str | None = None
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether a look under way must end soon."""
        return self._stopping.is_set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)

    def wake(self) -> None:
        """Makes the thread look now. From any thread."""
        self._news.set()

    def rest(self, seconds: float) -> None:
        """Pauses, to let other threads work. Call it within a look."""
        self._stopping.wait(seconds)

    def _run(self) -> None:
        while not self.stopping:
            self._news.clear()
            try:
                wait = self._look()
                self._note(None)
            except (SyncFailed, FrontierRefused):
                return  # the store has reported this error, which ends the engine
            except CrawlerdError as error:
                self._note(str(error))
                wait = TROUBLE_SECONDS
            except Exception as error:  # noqa: BLE001 - top of a thread: a foreign file must not end the engine
                self._note(f"{type(error).__name__}: {error}", error)
                wait = TROUBLE_SECONDS
            if not self.stopping:
                self._news.wait(wait)

    def _note(self, trouble: str | None, cause: Exception | None = None) -> None:
        """Stores and logs why the queue cannot be used, or None when it can again. cause: the error whose traceback is
        logged."""
        if self.stopping:
            return
        if trouble is not None and trouble != self.trouble:
            text = f"{self._what}: %s; trying again"
            tell(Event.QUEUE_HELD, text, trouble, cause=cause, queue=self._name, error=trouble)
        elif trouble is None and self.trouble is not None:
            tell(Event.QUEUE_RELEASED, "over: %s", self._what, queue=self._name, error=self.trouble)
        self.trouble = trouble
