"""Runs long work on a thread of its own, one piece at a time."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

log = logging.getLogger(__name__)


class SoloWork(Generic[T]):
    """Runs one piece of long work at a time. To be used from any thread.

    latest: the progress of the work under way, or of the last work of this process.
    """

    def __init__(self, name: str) -> None:
        """name: the thread's name."""
        self._name = name
        self._one = threading.Lock()
        self.latest: T | None = None

    def begin(self, told: T, work: Callable[[], None]) -> bool:
        """Begins work. Returns False while other work is under way. told: becomes `latest`; `work` updates it."""
        if not self._one.acquire(blocking=False):
            return False
        self.latest = told
        threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True).start()
        return True

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            log.exception("%s has failed", self._name)
        finally:
            self._one.release()
