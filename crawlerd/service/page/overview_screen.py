"""Everything at a glance: the verdict, what needs a look, and the imports."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from crawlerd.core.reasons import Reason
from crawlerd.operations.history import SECONDS
from crawlerd.operations.overview import ImportRow, OverviewReport, overview_report, subjects
from crawlerd.operations.pulse import pulse
from crawlerd.operations.status_report import StatusReport, status_report
from crawlerd.operations.top_report import nothing_yet
from crawlerd.operations.troubles import OUTAGE
from crawlerd.service.page import first_lines
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.charts import LEAST_SPAN
from crawlerd.service.page.pause_screen import paused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crawlerd.frontier.reports import DeadGroup
    from crawlerd.operations.history import History
    from crawlerd.operations.pulse import Pulse
    from crawlerd.operations.troubles import Trouble
    from crawlerd.service.page.asked import Asked

MOST_REASONS = 8
MOST_GROUPS = 100
STAGES = {
    "requested": "the API",
    "waited": "waiting for a thread",
    "handled": "parsing",
    "written": "the sink",
    "stored": "the commit",
}
STRIP = {"completed": "ok", "running": "go", "completed with dead letters": "warn", "cancelled": "dim"}
PLACES = {"import": "/imports/", "account": "/accounts/", "run": "/runs/"}


def overview(asked: Asked) -> Shown:
    measured = pulse(asked.history)
    live, settings = asked.live, asked.settings
    if asked.reader is None:
        status = nothing_yet(asked.now, alive=True).status
        return context_of(status, None, measured, asked.history, [], list(settings.imports), asked.query)
    status = status_report(
        asked.reader,
        live,
        settings,
        asked.now,
        held_up=live.trouble,
        hooks=asked.context.notifier.troubles(),
        counted=False,
    )
    report = overview_report(asked.reader, live, settings, status, asked.now)
    groups = asked.reader.dead_groups(limit=MOST_GROUPS + 1, newest=True) if status.dead else []
    pauses = paused(asked, report.rows)
    return context_of(status, report, measured, asked.history, groups, list(settings.imports), asked.query, pauses)


def context_of(
    status: StatusReport,
    report: OverviewReport | None,
    measured: Pulse,
    history: History,
    groups: list[DeadGroup],
    configured: list[str],
    query: dict[str, str],
    pauses: Mapping[str, tuple[str, str] | None] = MappingProxyType({}),
) -> Shown:
    """
    report: None while nothing has been imported.
    pauses: what to resume, by import.
    """
    grave = [each for each in status.troubles if each.grave]
    noted = [each for each in status.troubles if not each.grave]
    wanted = query.get("q", "").strip().lower()
    rows = [row for row in report.rows if _matches(row, wanted)] if report else []
    look, whole = len(grave), query.get("reasons") == "all"
    return Shown(
        "overview",
        f"{look} need a look" if look > 1 else "1 needs a look" if look else "Overview",
        {
            "status": status,
            "report": report,
            "tone": _tone(status, grave),
            "sentence": report.verdict if report else "Nothing has been imported yet.",
            "reasons": reasons((grave + noted)[: None if whole else MOST_REASONS]),
            "more_reasons": 0 if whole else max(0, len(status.troubles) - MOST_REASONS),
            "activity": measured,
            "used": used(measured),
            "stages": [(STAGES[stage], share) for stage, share in measured.stages.items()],
            "groups": f"more than {MOST_GROUPS}" if len(groups) > MOST_GROUPS else f"{len(groups)}",
            "group_count": len(groups),
            "requests": history.seconds("requests"),
            "span": max(LEAST_SPAN, len(history.seconds("requests"))),
            "permitted": history.seconds("permitted"),
            "table": by_minute(history),
            "rows": rows,
            "paused": pauses,
            "strips": {row.line.name: strip(row) for row in rows},
            "query": {"q": wanted},
            "configured": configured,
            "first": first_lines.TEXT,
        },
        json="/overview",
    )


def reasons(troubles: Iterable[Trouble]) -> list[tuple[list[tuple[str, str]], Trouble, str, list[str]]]:
    """Each trouble with links to its subjects, as paths and texts, with words for what happens at its `until`, and with
    the accounts whose keys the API refuses."""
    found = []
    for trouble in troubles:
        about = [(kind, name) for kind, name in subjects(trouble) if kind in PLACES]
        refused = [name for kind, name in about if kind == "account" and trouble.text.startswith(f"{Reason.REFUSED}: ")]
        then = "the next probe is sent" if OUTAGE in trouble.text else "it goes on"
        found.append(([(PLACES[kind], name) for kind, name in about], trouble, then, refused))
    return found


def used(measured: Pulse) -> float | None:
    """The used share of the permitted requests; None if unknown."""
    if not measured.permitted or measured.requests is None:
        return None
    return min(1.0, measured.requests / measured.permitted)


def strip(row: ImportRow) -> list[tuple[int, str, str]]:
    """The last runs: of each, its number, the class of its bar, and its state."""
    return [(run.id, STRIP.get(run.state, "bad"), run.state) for run in row.last_runs]


def by_minute(history: History) -> list[tuple[int, float | None, float | None]]:
    """The chart as a table: minutes ago, and the mean rates of sent and permitted requests."""
    sent, permitted = history.seconds("requests"), history.seconds("permitted")
    return [(ago, _mean(sent, ago), _mean(permitted, ago)) for ago in range(SECONDS // 60) if len(sent) > ago * 60]


def _mean(values: list[float | None], ago: int) -> float | None:
    end = len(values) - ago * 60
    known = [value for value in values[max(0, end - 60) : end] if value is not None]
    return sum(known) / len(known) if known else None


def _matches(row: ImportRow, wanted: str) -> bool:
    return all(word in f"{row.line.name} {row.line.account} {row.state}".lower() for word in wanted.split())


def _tone(status: StatusReport, grave: list[Trouble]) -> str:
    if any(each.who == "crawlerd" for each in grave):
        return "bad"
    return "warn" if grave else "good"
