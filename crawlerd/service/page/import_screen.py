"""One import: its settings, its schedule, its progress and its runs; and the questions before it is changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from crawlerd.core.wording import counted
from crawlerd.operations import run_history, sync_points
from crawlerd.operations.overview import import_row
from crawlerd.operations.problem import Unknown
from crawlerd.operations.schedules import schedules
from crawlerd.operations.why import why
from crawlerd.service.page import page_texts
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.overview_screen import STRIP
from crawlerd.service.page.pause_screen import paused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.core.configuration import ImportSpec
    from crawlerd.frontier.reports import DeadGroup, RunReport
    from crawlerd.operations.overview import ImportRow
    from crawlerd.operations.schedules import ScheduleReport
    from crawlerd.operations.sync_points import SyncPoints
    from crawlerd.operations.why import Why
    from crawlerd.service.page.asked import Asked

STARTS, RUNS, GROUPS, POINTS = 5, 30, 20, 100
GRAVE = ("refused", "sink", "store", "outage")
ENDS = {"completed with dead letters": "ended with dead letters", "failed": "has failed", "cancelled": "was cancelled"}


def import_(asked: Asked) -> Shown:
    name = asked.words["name"]
    spec = asked.settings.imports.get(name)
    reader, live, now = asked.reader, asked.live, asked.now
    if spec is None and not (reader and reader.latest(name)):
        raise Unknown(f"there is no import {name[:80]}, and no run of an import with that name")
    row = import_row(reader, live, asked.settings, name, now)
    runs: list[RunReport] = []
    told: Why | None = None
    if reader and row.line.last:
        runs = run_history.runs(reader, run_history.RunsRequest(import_name=name, limit=RUNS)).runs
        told = why(reader, live, "import", name, now)
    plan = schedules(asked.settings.imports, reader, now, names=[name], count=STARTS)[0] if spec else None
    points = sync_points.show(asked.settings, reader, name) if spec else None
    groups = reader.dead_groups(import_name=name, limit=GROUPS) if reader else []
    return context_of(row, spec, told, plan, points, runs, groups, paused(asked, [row])[name])


def context_of(
    row: ImportRow,
    spec: ImportSpec | None,
    told: Why | None,
    plan: ScheduleReport | None,
    points: SyncPoints | None,
    runs: Sequence[RunReport],
    groups: Sequence[DeadGroup],
    pause: tuple[str, str] | None = None,
) -> Shown:
    """
    spec: None for an import that is no longer configured.
    pause: what to resume; see `paused`.
    """
    name = row.line.name
    shown = [each for each in runs if each.ended_at is not None or each.state == "running"][::-1]
    durations = [run.ended_at - run.started_at for run in shown if run.ended_at]
    known = list(points.points.items()) if points else []
    return Shown(
        "import",
        f"{name[:60]}: {row.state}",
        {
            "row": row,
            "name": name,
            "paused": pause if row.state == "paused" else None,
            "tone": "bad"
            if row.state in ("failed", "held up", *GRAVE)
            else "warn"
            if row.look or row.state == "paused"
            else "good",
            "sentence": sentence(row, plan),
            "sentences": told.sentences if told else [],
            "facts": facts(spec) if spec else [],
            "plan": plan,
            "points": [(key, as_text(value)) for key, value in known[:POINTS]],
            "more_points": max(0, len(known) - POINTS),
            "sink": points.sink if points else None,
            "runs": runs[:10],
            "durations": [(run.ended_at - run.started_at) if run.ended_at else None for run in shown],
            "longest": f"{page_texts.duration(max(durations))} at most" if durations else "none has ended yet",
            "most": f"{page_texts.number(max((run.records for run in shown), default=0))} at most",
            "records": [float(run.records) for run in shown],
            "kinds": [STRIP.get(run.state, "bad") for run in shown],
            "took": [f"run {run.id}: {run.state}, {_took(run)}" for run in shown],
            "brought": [f"run {run.id}: {run.state}, {run.records:,} records" for run in shown],
            "groups": groups,
        },
        json=f"/imports/{page_texts.segment(name)}",
    )


def sentence(row: ImportRow, plan: ScheduleReport | None) -> str:
    last = row.line.last
    if row.line.refusal:
        return f"It cannot start: {row.line.refusal}."
    if last is None:
        when = f"It starts {plan.words}." if plan and plan.schedule else "It starts only on demand."
        return f"It has not run yet. {when}"
    if row.done is not None:
        return f"Run {last.id} is under way: {row.done:.0%} of the tasks known so far are done."
    end = "is complete" if last.complete else ENDS.get(last.state, "is not complete")
    return f"The last run, {last.id}, {end}: {counted(last.records, 'record')}."


def facts(spec: ImportSpec) -> list[tuple[str, str]]:
    """The settings in force."""
    found: list[tuple[str, Any]] = [
        ("account", spec.account),
        ("sink", spec.sink or "set by the source's own options"),
        ("streams", ", ".join(spec.streams)),
        ("schedule", spec.schedule.text if spec.schedule else "on demand"),
        ("full_every", page_texts.duration(spec.full_every) if spec.full_every else "never by itself"),
        ("deadline", page_texts.duration(spec.deadline) if spec.deadline else "none"),
        ("priority", "auto" if spec.priority is None else str(spec.priority)),
        ("keep_runs", f"{spec.keep_runs.count} runs, {page_texts.duration(spec.keep_runs.seconds)}"),
    ]
    hidden = ", ".join(spec.fields)
    return [*found, *([("fields", f"dropped or hashed in {hidden}")] if hidden else [])]


def as_text(value: Any) -> str:
    if value is None:
        return page_texts.NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _took(run: RunReport) -> str:
    return page_texts.duration(run.ended_at - run.started_at) if run.ended_at else "under way"
