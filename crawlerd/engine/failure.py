"""What has stopped the engine, if anything has."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from crawlerd.core.errors import FrontierError

if TYPE_CHECKING:
    from crawlerd.engine.safe_event import SafeEvent

log = logging.getLogger(__name__)


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
                log.critical("%s: %s", type(error).__name__, error, exc_info=error)
        self._changed.set()
