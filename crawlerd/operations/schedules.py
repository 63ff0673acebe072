"""When imports start next, what prevents that, and which starts were missed or skipped."""

from __future__ import annotations

import math
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core import schedule_rules
from crawlerd.operations.import_names import check_import
from crawlerd.operations.problem import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crawlerd.core.configuration import ImportSpec
    from crawlerd.core.pauses import PauseNote
    from crawlerd.core.schedule_rules import Schedule, ScheduleNote
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import RunReport

MOST_STARTS = 1_000  # of one import that are listed


class ScheduleReport(msgspec.Struct, frozen=True, kw_only=True):
    """The schedule of an import. Times are in Unix seconds.

    schedule: as configured; None: on demand.
    words: the same in words.
    next: the coming starts; the first is now if it is overdue.
    held: what prevents the next start; None if nothing does.
    missed: starts whose time has passed and that are neither made up for nor skipped yet.
    catch_up_at: when one start makes up for those.
    last_run, last_start, last_state: of its newest run, ad hoc runs included.
    skipped: starts that were missed and not made up for, since the schedule was first seen.
    skipped_at, skipped_why: about the last of these.
    """

    import_name: str
    schedule: str | None
    words: str
    time_zone: str | None = None
    next: list[float] = []
    held: str | None = None
    missed: int = 0
    catch_up_at: float | None = None
    last_run: int | None = None
    last_start: float | None = None
    last_state: str | None = None
    skipped: int = 0
    skipped_at: float | None = None
    skipped_why: str | None = None


def schedules(
    imports: Mapping[str, ImportSpec],
    reader: FrontierReader | None,
    now: float,
    *,
    names: Iterable[str] | None = None,
    count: int = 1,
) -> list[ScheduleReport]:
    """The scheduled imports in the order of their next start, then those on demand. Raises Unknown for an unknown name.

    reader: None if nothing has been imported yet.
    names: only these imports; None for all.
    count: how many coming starts of each, at most MOST_STARTS.
    """
    if not 1 <= count <= MOST_STARTS:
        raise Refused(f"ask for 1 to {MOST_STARTS} starts of each import")
    wanted = list(imports) if names is None else list(dict.fromkeys(names))
    for name in wanted:
        check_import(name, imports)
    pauses = {note.name: note for note in reader.pauses() if note.kind == "import"} if reader else {}
    notes = reader.schedule_notes(wanted) if reader else {}
    found = [
        _report(name, imports[name].schedule, reader, notes.get(name), pauses.get(name), now, count) for name in wanted
    ]
    return in_order(found)


def in_order(found: Iterable[ScheduleReport]) -> list[ScheduleReport]:
    """The scheduled imports in the order of their next start, then those on demand."""
    return sorted(found, key=lambda each: (each.schedule is None, *(each.next[:1] or [math.inf]), each.import_name))


def next_start(
    name: str, schedule: Schedule | None, noted: ScheduleNote | None, last: RunReport | None, now: float
) -> float | None:
    """When the import starts next by its schedule: now if it is overdue; None for never.

    noted: what the frontier has recorded about the schedule.
    last: its newest run.
    """
    if schedule is None:
        return None
    note = schedule_rules.known(schedule, noted, last.started_at if last else None, now)
    coming, _ = _coming(schedule, name, note, now, 1)
    return coming[0] if coming else None


def skipped(name: str, note: ScheduleNote | None, started_at: float | None) -> str | None:
    """A text that says that starts of an import were skipped, if it has not run since; otherwise None.

    started_at: when its last run began that counts, in Unix seconds.
    """
    if note is None or note.skipped_at is None or (started_at is not None and started_at > note.skipped_at):
        return None
    count = "a start by its schedule was" if note.skipped == 1 else "starts by its schedule were"
    return f"{count} skipped: {note.skipped_why}; `crawlerd import {name}` runs it now"


def _report(
    name: str,
    schedule: Schedule | None,
    reader: FrontierReader | None,
    noted: ScheduleNote | None,
    pause: PauseNote | None,
    now: float,
    count: int,
) -> ScheduleReport:
    run = reader.latest(name) if reader else None
    report = partial(
        ScheduleReport,
        import_name=name,
        last_run=run.id if run else None,
        last_start=run.started_at if run else None,
        last_state=run.state if run else None,
    )
    if schedule is None:
        return report(schedule=None, words="on demand")
    note = schedule_rules.known(schedule, noted, run.started_at if run else None, now)
    coming, missed = _coming(schedule, name, note, now, count)
    return report(
        schedule=schedule.text,
        words=schedule_rules.words(schedule),
        time_zone=schedule.zone,
        next=coming,
        held=_held(run, pause),
        missed=missed,
        catch_up_at=note.catch_up_at if note and missed else None,
        skipped=note.skipped if note else 0,
        skipped_at=note.skipped_at if note else None,
        skipped_why=note.skipped_why if note else None,
    )


def _coming(
    schedule: Schedule, name: str, note: ScheduleNote | None, now: float, count: int
) -> tuple[list[float], int]:
    """The coming starts, and how many were missed."""
    if note is None:
        following = schedule_rules.starts(schedule, name, now, now)
        return [now, *(start.at for start in islice(following, count - 1))], 0
    coming = [start.at for start in islice(schedule_rules.starts(schedule, name, note.settled, now), count)]
    found = schedule_rules.due(schedule, name, note.settled, now)
    if not found:
        return coming, 0
    if found.late and schedule.catch_up == "skip":
        return coming, found.missed + 1
    at = max(now, note.catch_up_at or now) if found.late else now
    return sorted([at, *coming])[:count], found.missed + found.late


def _held(run: RunReport | None, pause: PauseNote | None) -> str | None:
    if pause is not None:
        return f"paused by {pause.by}: {pause.reason}"
    if run is not None and run.state == "running":
        return f"run {run.id} is under way"
    return None
