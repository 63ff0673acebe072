"""The notes of schedules that a frontier keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.core.schedule_rules import ScheduleNote


class Schedules(Protocol):
    """The notes of schedules. Part of `Frontier`."""

    def schedule_note(self, import_name: str) -> ScheduleNote | None:
        """The note of the import's schedule; None before the schedule was first looked at."""
        ...

    def note_schedules(self, notes: Mapping[str, ScheduleNote]) -> None:
        """Stores notes, by import. One transaction. When a run starts, `start_run` stores the note instead."""
        ...

    def full_since(self, import_name: str) -> float | None:
        """When the import's newest completed full run began; Unix seconds. None if there was none. Ad hoc runs do
        not count."""
        ...

    def expire_run(self, run: int, now: float, why: str) -> bool:
        """Cancels a run that has taken too long; it publishes no sync points. Returns whether it was under way. One
        transaction."""
        ...
