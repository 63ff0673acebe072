"""What has stopped the engine, if anything has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.errors import FrontierError
from crawlerd.core.log_events import Event, tell

if TYPE_CHECKING:
    from crawlerd.engine.safe_event import SafeEvent


class Failure:
    """From any thread.

    error: the first one; those after it follow from it.
    """

    def __init__(self, changed: SafeEvent) -> None:
        self._changed = changed
        self.error: BaseException | None = None

    def set(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
            if not isinstance(error, FrontierError):  # which is the command's last word
                tell(Event.FAILED, "%s: %s", type(error).__name__, error, cause=error, error=str(error))
        self._changed.set()
