"""Reads of a frontier about its runs, and about what holds them up. See `Frontier`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.frontier.sql.outage_rows import all_outages
from crawlerd.frontier.sql.pause_rows import all_pauses
from crawlerd.frontier.sql.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.core.doubt import Expected
    from crawlerd.core.pauses import PauseNote
    from crawlerd.frontier.contract import OutageNote, Run
    from crawlerd.frontier.sql.doubts import Doubts
    from crawlerd.frontier.sql.event_rows import EventRows
    from crawlerd.frontier.sql.run_rows import Runs
    from crawlerd.sink import Totals


class KnownRuns(Waiting):
    """Reads runs. Part of a frontier. The subclass sets `_runs`, `_doubts` and `_events`."""

    _runs: Runs
    _doubts: Doubts
    _events: EventRows

    def run(self, number: int) -> Run:
        return self._runs.run(number)

    def accounts(self, run: int) -> list[int]:
        return self._runs.accounts(run)

    def latest_run(self, import_name: str) -> Run | None:
        return self._runs.latest(import_name)

    def tallied(self, run: int) -> dict[str, Totals]:
        return self._runs.tallied(run)

    def running_runs(self, import_name: str) -> list[int]:
        return self._runs.running(import_name)

    def running_imports(self) -> set[str]:
        return self._runs.running_imports()

    def cursors(self, import_name: str, sink: int = 0) -> dict[str, str]:
        return self._runs.cursors(import_name, sink)

    def learned(self) -> dict[str, str]:
        return dict(self._read("SELECT key, value FROM learned"))

    def resumed(self, runs: Sequence[int], now: float) -> None:
        self._events.resumed(runs, now)

    def happened(self, run: int, text: str, now: float) -> None:
        self._events.happened(run, text, now)

    def doubted(self, import_name: str, sink: int) -> set[str]:
        with self._errors():
            return self._doubts.standing(import_name, sink)

    def expected(self, run: int, account: int, stream: str) -> Expected | None:
        with self._errors():
            return self._doubts.expected(run, account, stream)

    def pauses(self) -> list[PauseNote]:
        with self._errors():
            return all_pauses(self._db)

    def outages(self) -> list[OutageNote]:
        with self._errors():
            return all_outages(self._db)
