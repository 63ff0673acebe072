"""What a frontier keeps of schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.core.schedule_rules import ScheduleNote


class Schedules(Protocol):
    """Part of `Frontier`."""

    def schedule_note(self, import_name: str) -> ScheduleNote | None:
        """What is noted of the import's schedule; None before it was first looked at."""
        ...

    def note_schedules(self, notes: Mapping[str, ScheduleNote]) -> None:
        """By import. One transaction. Where a run starts, `start_run` does it in its own."""
        ...

    def full_since(self, import_name: str) -> float | None:
        """When the import's newest completed full run began; Unix seconds. None if there was none. Ad hoc runs do
        not count."""
        ...

    def expire_run(self, run: int, now: float, why: str) -> bool:
        """Ends a run that has taken too long: cancelled, and none of its sync points is published. Whether it was under
        way. One transaction."""
        ...
