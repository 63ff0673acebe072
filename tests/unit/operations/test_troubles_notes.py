"""What a trouble adds to what it is about: kinds that kill workers, starts that a pause has cost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from crawlerd.core.pauses import PauseNote
from crawlerd.core.schedule_rules import ScheduleNote
from crawlerd.operations.killing_kinds import killing
from crawlerd.operations.troubles import _skipped_while_paused


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        ([], ""),
        (["a.x"], ", since tasks of a.x kill their worker processes"),
        (["a", "b", "c", "d", "e"], ", since tasks of a, b, c and 2 more kill their worker processes"),
    ],
)
def test_kinds_that_kill_are_named(kinds: list[str], text: str) -> None:
    reader: Any = SimpleNamespace(killers=lambda run: kinds)
    assert killing(reader, 7) == text


def test_a_start_counts_that_was_skipped_since_the_pause_began() -> None:
    notes = {
        name: ScheduleNote(key="1h", settled=0.0, skipped=1, skipped_at=at, skipped_why="paused")
        for name, at in {"before": 99.0, "since": 100.0, "later": 150.0}.items()
    } | {"never": ScheduleNote(key="1h", settled=0.0)}
    asked: list[list[str]] = []

    def schedule_notes(names: list[str]) -> dict[str, ScheduleNote]:
        asked.append(names)
        return notes

    reader: Any = SimpleNamespace(schedule_notes=schedule_notes)
    pauses = [PauseNote(kind="import", name=name, reason="x", by="me", since=100.0) for name in notes]
    pauses.append(PauseNote(kind="account", name="acme", reason="x", by="me", since=100.0))
    assert _skipped_while_paused(reader, pauses).keys() == {"since", "later"}
    assert asked == [list(notes)]
    assert _skipped_while_paused(reader, []) == {}
    assert len(asked) == 1
