"""What a frontier says of its runs. See `Frontier`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.frontier.sqlite.waiting import Waiting

if TYPE_CHECKING:
    from crawlerd.frontier.contract import Run
    from crawlerd.frontier.sqlite.run_rows import Runs


class KnownRuns(Waiting):
    """Part of a frontier; whoever is one sets `_runs`."""

    _runs: Runs

    def run(self, number: int) -> Run:
        return self._runs.run(number)

    def accounts(self, run: int) -> list[int]:
        return self._runs.accounts(run)

    def latest_run(self, import_name: str) -> Run | None:
        return self._runs.latest(import_name)

    def running_runs(self, import_name: str) -> list[int]:
        return self._runs.running(import_name)

    def running_imports(self) -> set[str]:
        return self._runs.running_imports()

    def cursors(self, import_name: str, sink: int = 0) -> dict[str, str]:
        return self._runs.cursors(import_name, sink)

    def learned(self) -> dict[str, str]:
        return dict(self._read("SELECT key, value FROM learned"))
