"""The error that has stopped the engine, if any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.errors import FrontierError
from crawlerd.core.log_events import Event, tell

if TYPE_CHECKING:
    from crawlerd.engine.safe_event import SafeEvent


class Failure:
    """Keeps the first error that has stopped the engine. To be used from any thread.

    error: the first error; later ones are its consequences.
    """

    def __init__(self, changed: SafeEvent) -> None:
        self._changed = changed
        self.error: BaseException | None = None

    def set(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
            if not isinstance(error, FrontierError):  # the command prints a FrontierError when it ends
                tell(Event.FAILED, "%s: %s", type(error).__name__, error, cause=error, error=str(error))
        self._changed.set()
