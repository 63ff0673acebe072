"""Starts, cancels and forgets runs, and handles schedules and origins. See `Frontier`."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from crawlerd.frontier.sql.cancel import NEVER, cancel_run, end_run
from crawlerd.frontier.sql.prune import prune
from crawlerd.frontier.sql.schedule_rows import full_since, put_note, schedule_note
from crawlerd.frontier.sql.spool_rows import LetterCopies
from crawlerd.frontier.sql.sync_point_rows import change_sync_points, sync_points

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crawlerd.core.schedule_rules import ScheduleNote
    from crawlerd.frontier.reports import Act
    from crawlerd.frontier.sql.figure_rows import FigureRows


class RunControl(LetterCopies):
    """Starts, cancels and forgets runs. Part of a frontier. The subclass sets `_figures`."""

    _figures: FigureRows

    @abstractmethod
    def _left(self, runs: list[int]) -> None:
        """Call in the transaction that cancels these runs: their tasks must be removed."""

    def _rest(self) -> None:
        """Writes what was collected, when nothing else has been written for some seconds."""
        if self._figures.collected:
            with self._transaction():
                self._figures.flush()

    def cancel_run(self, run: int, act: Act, *, forget: bool = False) -> bool:
        with self._transaction():
            found = cancel_run(self._db, run, act, forget=forget)
            if found:
                self._left([run])
                self._answers.done(found)
        return found

    def expire_run(self, run: int, now: float, why: str) -> bool:
        with self._transaction():
            found = end_run(self._db, run, now, why, again=NEVER)
            if found:
                self._left([run])
        return found

    def prune_runs(self, import_name: str, count: int, before: float, most: int) -> int:
        with self._transaction():
            return prune(self._db, import_name, count, before, most)

    def let_shrink(self, runs: Sequence[int]) -> None:
        with self._transaction():
            self._runs.let_shrink(runs)

    def schedule_note(self, import_name: str) -> ScheduleNote | None:
        return schedule_note(self._read, import_name)

    def note_schedules(self, notes: Mapping[str, ScheduleNote]) -> None:
        with self._transaction():
            for name, note in notes.items():
                put_note(self._db, name, note)

    def sync_points(self, import_name: str, sink_name: str) -> dict[str, str] | None:
        return sync_points(self._read, import_name, sink_name)

    def change_sync_points(self, import_name: str, sink_name: str, changes: Mapping[str, str | None], act: Act) -> None:
        with self._transaction():
            change_sync_points(self._db, import_name, sink_name, changes, act)
            self._answers.done(None)

    def full_since(self, import_name: str) -> float | None:
        return full_since(self._read, import_name)
