"""Cancels runs that take longer than the `deadline` of their import."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from crawlerd.core.log_events import Event, tell

if TYPE_CHECKING:
    from crawlerd.config.load import Settings
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.sink_writer import SinkWriter
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.contract import Frontier


class Deadlines:
    """Cancels the runs whose deadline has passed. Used on the store's thread."""

    def __init__(
        self,
        settings: Settings,
        frontier: Frontier,
        clock: Clock,
        writer: SinkWriter,
        store: StoreInbox,
    ) -> None:
        self._settings, self._frontier, self._clock = settings, frontier, clock
        self._writer, self._store = writer, store
        self._ends: list[tuple[float, int, str, float]] = []  # (when to end the run, run, import, deadline)
        self._ending = False

    def watch(self, name: str, run: int, started_at: float) -> None:
        """A run of an import is under way. started_at: Unix seconds."""
        if (deadline := self._settings.imports[name].deadline) is not None:
            heappush(self._ends, (started_at + deadline, run, name, deadline))

    def look(self) -> None:
        """Cancels the runs whose deadline has passed. Call it every few seconds."""
        if self._ends and self._ends[0][0] <= self._clock.now() and not self._ending:
            self._ending = True
            self._store.call(self._end)

    def _end(self) -> None:
        """Cancels them. Raises the errors of the frontier; the remaining runs are cancelled at the next look."""
        try:
            now = self._clock.now()
            while self._ends and self._ends[0][0] <= now:
                _, run, name, deadline = self._ends[0]
                why = f"it was not done after {deadline:g} s, its deadline"
                if self._frontier.expire_run(run, now, why):
                    self._writer.abandon([run])
                    text = "import %s: run %d is cancelled: %s"
                    tell(Event.RUN_EXPIRED, text, name, run, why, run=run, import_name=name, seconds=deadline)
                heappop(self._ends)
        finally:
            self._ending = False
