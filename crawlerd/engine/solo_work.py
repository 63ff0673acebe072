"""Long work of which there is one at a time, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

log = logging.getLogger(__name__)


class SoloWork(Generic[T]):
    """From any thread.

    latest: what the work under way, or the last one of this process, tells of itself.
    """

    def __init__(self, name: str) -> None:
        """name: of the thread."""
        self._name = name
        self._one = threading.Lock()
        self.latest: T | None = None

    def begin(self, told: T, work: Callable[[], None]) -> bool:
        """False while another one is under way. told: becomes `latest`; `work` keeps it up to date."""
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
