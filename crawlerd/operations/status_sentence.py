"""The state of a crawlerd on one line: the verdict, and the most important remark. `systemctl status` shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from crawlerd.core.redaction import shown
from crawlerd.operations.top_report import share_of, verdict

if TYPE_CHECKING:
    from crawlerd.operations.live_facts import Live
    from crawlerd.operations.status_report import StatusReport

LONGEST = 200  # characters of the text about what needs a look


def status_sentence(report: StatusReport, live: Live) -> str:
    """The verdict, and the first thing that needs a look, or what starts next."""
    text = verdict(report, share_of(report, live), alive=True)
    if trouble := next((each for each in report.troubles if each.grave), None):
        first = shown(" ".join(f"{trouble.who}: {trouble.text}".split()))
        return f"{text}: {first if len(first) <= LONGEST else f'{first[: LONGEST - 1]}…'}"
    return text + ("" if report.running_count else _next_start(report))


def _next_start(report: StatusReport) -> str:
    starts = [(each.next_at, each.name) for each in report.imports if each.next_at]
    # an import that is not in the report may start earlier
    if not starts or len(report.imports) != report.import_count:
        return ""
    at, name = min(starts)
    return f"; {shown(name)} starts next, at {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
