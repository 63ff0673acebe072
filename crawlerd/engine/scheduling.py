"""Decides which imports are due: applies the rules of `crawlerd.core.schedule_rules` to the notes of the frontier."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from crawlerd.core import schedule_rules
from crawlerd.core.errors import CrawlerdError
from crawlerd.core.log_events import Event, tell
from crawlerd.core.schedule_rules import COUNTED, ScheduleNote
from crawlerd.engine.pausing import ImportPaused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from crawlerd.config.load import Settings
    from crawlerd.core.schedule_rules import Due, Schedule
    from crawlerd.engine.starting import Started
    from crawlerd.frontier.contract import Frontier, Run

PAUSED = "the import was paused"  # why scheduled starts came to nothing


class Verdict(NamedTuple):
    """What to do with an import.

    at: when to start it, in Unix seconds of the wall clock; math.inf for never.
    note: the new note of its schedule, to store when its run starts.
    text: what to log then about missed starts; empty for nothing.
    """

    at: float
    note: ScheduleNote | None = None
    text: str = ""


class Scheduling:
    """Decides which imports are due. Used on the store's thread, except for `unable` and `tried`. Times are Unix
    seconds of the wall clock: people mean this clock in schedules, and it may jump."""

    def __init__(self, settings: Settings, frontier: Frontier, wall: Callable[[], float]) -> None:
        self._settings, self._frontier, self._wall = settings, frontier, wall
        self._began = wall()
        self._unable: dict[str, str] = {}  # why imports could not start at the last try

    def unable(self, name: str, why: str) -> None:
        """The import could not start. From any thread."""
        self._unable[name] = why

    def tried(self, name: str, result: Started | CrawlerdError, verdict: Verdict) -> None:
        """Notes whether the import has started. result: the error if it could not. From any thread."""
        if isinstance(result, CrawlerdError):
            self._unable[name] = PAUSED if isinstance(result, ImportPaused) else f"it could not start: {result}"
            return
        self._unable.pop(name, None)
        if verdict.text and not result.resumed:
            tell(Event.START_MISSED, "%s", verdict.text, import_name=name)

    def look(self, names: Iterable[str], now: float) -> dict[str, Verdict]:
        """Decides what to do with each of these imports. Stores which starts are skipped."""
        verdicts: dict[str, Verdict] = {}
        noted: dict[str, ScheduleNote] = {}
        overdue: list[tuple[str, Schedule, ScheduleNote, Due]] = []
        for name in names:
            spec = self._settings.imports.get(name)
            if spec is None:  # not configured any more
                verdicts[name] = Verdict(math.inf)
                continue
            schedule, last = spec.schedule, self._frontier.latest_run(name)
            if self._frontier.running_runs(name) or (last and last.again):
                verdicts[name] = Verdict(now)
                continue
            if schedule is None:
                verdicts[name] = Verdict(math.inf)
                continue
            before = self._frontier.schedule_note(name)
            note = schedule_rules.known(schedule, before, last.started_at if last else None, now)
            if note is None:
                verdicts[name] = Verdict(now, ScheduleNote(key=schedule.key, settled=now))
                continue
            found = schedule_rules.due(schedule, name, note.settled, now)
            if found and found.late and schedule.catch_up == "once":
                overdue.append((name, schedule, note, found))
            elif found and not found.late:
                verdicts[name] = self._start(name, schedule, note, found, last, now)
            else:
                if found:
                    note = schedule_rules.skipped(note, found, why := self._why(name, found.start.slot, last))
                    tell(Event.START_MISSED, "%s", _missed(name, found.missed + 1, why), import_name=name)
                if note != before:
                    noted[name] = note
                verdicts[name] = Verdict(self._next(schedule, name, note, now))
        self._catch_up(overdue, verdicts, noted, now)
        if noted:
            self._frontier.note_schedules(noted)
        return verdicts

    def of_start(self, name: str, note: ScheduleNote | None) -> ScheduleNote | None:
        """The note to store when the import starts now. An interval counts from each start, even one by hand.

        note: the note by the schedule; None for a start by hand.
        """
        schedule = self._settings.imports[name].schedule
        if schedule is None or not schedule.rule.every:
            return note
        now = self._wall()
        note = note or self._frontier.schedule_note(name) or ScheduleNote(key=schedule.key, settled=now)
        return msgspec.structs.replace(note, key=schedule.key, settled=now, catch_up_at=None)

    def full_now(self, name: str) -> str | None:
        """Why a run that starts now must be a full one, or None."""
        spec = self._settings.imports[name]
        since = self._frontier.full_since(name) if spec.full_every is not None else None
        if spec.full_every is None or since is None:
            return None
        now, following = self._wall(), None
        if spec.schedule is not None:
            following = next(schedule_rules.starts(spec.schedule, name, now, now)).at
        if not schedule_rules.is_full(since, spec.full_every, now, following):
            return None
        return f"the last full run began {(now - since) / 86_400:.1f} days ago, and full_every asks for one"

    def _catch_up(
        self,
        overdue: list[tuple[str, Schedule, ScheduleNote, Due]],
        verdicts: dict[str, Verdict],
        noted: dict[str, ScheduleNote],
        now: float,
    ) -> None:
        """Spreads the starts that make up for missed ones over a time. Their times are stored, so that a restart does
        not move them."""
        waiting, spread = [], self._settings.daemon.catch_up_seconds
        for name, schedule, note, found in overdue:
            if note.catch_up_at is None or note.catch_up_at > now + spread:  # the clock was set back
                waiting.append((schedule_rules.share(name, found.start.slot), name, schedule, note, found))
                continue
            verdicts[name] = self._made_up(name, schedule, note, found, now)
        step = spread / len(waiting) if waiting else 0.0
        for place, (_, name, schedule, note, found) in enumerate(sorted(waiting, key=lambda each: each[:2])):
            planned = msgspec.structs.replace(note, catch_up_at=now + place * step)
            verdicts[name] = self._made_up(name, schedule, planned, found, now)
            if verdicts[name].note is None:
                noted[name] = planned

    def _made_up(self, name: str, schedule: Schedule, note: ScheduleNote, found: Due, now: float) -> Verdict:
        if note.catch_up_at is not None and note.catch_up_at > now:
            return Verdict(min(note.catch_up_at, self._next(schedule, name, note, now)))
        return self._start(name, schedule, note, found, self._frontier.latest_run(name), now)

    def _start(
        self, name: str, schedule: Schedule, note: ScheduleNote, found: Due, last: Run | None, now: float
    ) -> Verdict:
        why = self._why(name, found.missed_at or found.start.slot, last)
        text = _missed(name, found.missed, why, made_up=found.late) if found.late or found.missed else ""
        return Verdict(now, schedule_rules.started(schedule, note, found, now, why), text)

    def _next(self, schedule: Schedule, name: str, note: ScheduleNote, now: float) -> float:
        following = next(schedule_rules.starts(schedule, name, note.settled, now), None)
        return following.at if following else math.inf

    def _why(self, name: str, slot: float, last: Run | None) -> str:
        """Why nothing started at that slot."""
        if why := self._unable.get(name):
            return why
        if last and last.started_at <= slot and (last.ended_at is None or slot <= last.ended_at):
            return f"run {last.id} was still under way"
        if slot <= self._began:
            return "crawlerd was not running"
        return "the machine was suspended, or its clock was set forward"


def _missed(name: str, count: int, why: str, *, made_up: bool = False) -> str:
    more = "at least " if count >= COUNTED else ""
    skipped = f"{more}{count:,} scheduled start{'s' if count > 1 else ''} skipped" if count else ""
    late = "one start makes up for what was missed" if made_up else ""
    return f"import {name}: {'; '.join(filter(None, (late, skipped)))}: {why}"
