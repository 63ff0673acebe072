"""Everything at a glance, for the page: the verdict, which imports need a look, and what has happened since
yesterday."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.reasons import Reason, Waiting
from crawlerd.core.wording import counted
from crawlerd.frontier.reports import Act, RunReport
from crawlerd.operations.import_facts import ImportLine, import_lines
from crawlerd.operations.status_report import run_line
from crawlerd.operations.top_report import MOVING, share_of, verdict
from crawlerd.operations.troubles import LATE, LATE_SECONDS, Trouble
from crawlerd.operations.why import why

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.operations.configured import Configured
    from crawlerd.operations.live_facts import Live
    from crawlerd.operations.status_report import RunLine, StatusReport

LAST_RUNS = 10
MOST_ROWS = 30
DAY = 86_400.0
MOST_RUNS, MOST_ACTS = 500, 20  # most runs and acts since yesterday that are read
HELD = (Reason.SINK, Reason.STORE)
LOOKED_AT = (*HELD, Reason.REFUSED, Reason.OUTAGE)


class ImportRow(msgspec.Struct, frozen=True, kw_only=True):
    """An import in the overview.

    state: a word: "running", "held up", "paused", "waiting", "failed", "late", "on time", "never ran", "on demand", or
        a reason of `Reason`.
    look: it needs a look.
    done: share of the tasks known so far, for a run under way (1 is all).
    ends_at: the estimated end of that run, in Unix seconds.
    rate, limit: requests per second.
    why: what it waits for, or what is wrong with it.
    last_runs: the newest runs, the oldest of them first.
    """

    line: ImportLine
    state: str
    look: bool
    why: str
    done: float | None = None
    ends_at: float | None = None
    rate: float | None = None
    limit: float | None = None
    last_runs: list[RunReport] = []


class Yesterday(msgspec.Struct, frozen=True, kw_only=True):
    """What has happened in the last 24 hours.

    runs: how many runs are in each state, of the newest MOST_RUNS.
    more: there were more runs.
    records: records of these runs.
    acts: what people did, the newest first.
    """

    runs: dict[str, int]
    records: int
    more: bool
    acts: list[Act]


class OverviewReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at a glance.

    verdict: the state in one sentence.
    look: how many things need a look.
    share: the used share of what the limits permit (1 is all); None if unknown.
    rows: imports, those that need a look first.
    import_count: how many imports there are; None for very many.
    """

    verdict: str
    look: int
    share: float | None
    rows: list[ImportRow]
    import_count: int | None
    yesterday: Yesterday


def overview_report(
    reader: FrontierReader, live: Live | None, configured: Configured | None, status: StatusReport, now: float
) -> OverviewReport:
    """status: a report of the same moment."""
    share = share_of(status, live)
    said = verdict(status, share, alive=live is not None)
    names = [name for trouble in status.troubles for kind, name in subjects(trouble) if kind == "import"]
    names += [each.run.import_name for each in status.running]
    names += [each.name for each in status.imports]
    if configured:
        names += list(configured.imports)[:MOST_ROWS]
    chosen = list(dict.fromkeys(names))[:MOST_ROWS]
    known = set(chosen)
    rows = [row for row in import_rows(reader, live, configured, chosen, status, now) if row.line.name in known]
    return OverviewReport(
        verdict=f"{said[0].upper()}{said[1:]}.",
        look=sum(each.grave for each in status.troubles),
        share=share,
        rows=sorted(rows, key=lambda row: (not row.look, row.done is None, row.line.name)),
        import_count=len(configured.imports) if configured else status.import_count,
        yesterday=yesterday(reader, now),
    )


def import_rows(
    reader: FrontierReader | None,
    live: Live | None,
    configured: Configured | None,
    names: Sequence[str],
    status: StatusReport,
    now: float,
) -> list[ImportRow]:
    running = {each.run.import_name: each for each in status.running}
    told: dict[str, Trouble] = {}
    for trouble in status.troubles:
        for kind, name in subjects(trouble):
            if kind == "import":
                told.setdefault(name, trouble)
    lines = import_lines(reader, live, configured, names, now)
    return [_row(reader, live, line, running.get(line.name), told.get(line.name), now) for line in lines]


def import_row(
    reader: FrontierReader | None, live: Live | None, configured: Configured | None, name: str, now: float
) -> ImportRow:
    """A single import."""
    (line,) = import_lines(reader, live, configured, [name], now)
    running = None
    if reader and line.last and line.last.state == "running":
        running = run_line(reader, live, line.last, live.rates().get(line.last.id) if live else None, now)
    pauses = reader.pauses() if reader else []
    note = next((note for note in pauses if note.kind == "import" and note.name == name), None)
    trouble = (
        Trouble(who=f"import {name}", text=note.words, since=note.since, until=note.until, grave=False)
        if note
        else None
    )
    return _row(reader, live, line, running, trouble, now)


def _row(
    reader: FrontierReader | None,
    live: Live | None,
    line: ImportLine,
    running: RunLine | None,
    trouble: Trouble | None,
    now: float,
) -> ImportRow:
    last = line.last
    runs = reader.run_page(import_name=line.name, state=None, since=0.0, after=None, most=LAST_RUNS) if reader else []
    waits = running.waits if running else None
    if running is None and reader and last and last.state == "running":
        waits = next(iter(why(reader, live, "run", str(last.id), now).waits), None)
    under_way = last is not None and last.state == "running"
    state = _state(line, waits, trouble, under_way=under_way, now=now)
    tasks = last.done + last.ready + last.delayed + last.waiting if last and under_way else 0
    return ImportRow(
        line=line,
        state=state,
        look=bool(trouble and trouble.grave) or (waits is not None and waits.reason in LOOKED_AT),
        why=_why(line, waits, trouble),
        done=(last.done / tasks if tasks else 0.0) if last and under_way else None,
        ends_at=running.ends_at if running else None,
        rate=running.rate if running else None,
        limit=running.limit if running else None,
        last_runs=runs[::-1],
    )


def _state(line: ImportLine, waits: Waiting | None, trouble: Trouble | None, *, under_way: bool, now: float) -> str:
    if line.refusal:
        return "held up"
    if trouble and not trouble.grave and trouble.text.startswith("paused"):
        return "paused"
    if under_way:
        if waits is None or waits.reason in MOVING:
            return "running"
        return "held up" if waits.reason in HELD else str(waits.reason)
    if line.last is None:
        return "never ran"
    if line.last.state in ("failed", "cancelled"):
        return line.last.state
    if line.every and line.fresh_at is not None and now - line.fresh_at > LATE * line.every + LATE_SECONDS:
        return "late"
    if line.last.dead:
        return line.last.state
    return "on time" if line.every else "completed"


def _why(line: ImportLine, waits: Waiting | None, trouble: Trouble | None) -> str:
    if line.refusal:
        return line.refusal
    if waits is not None and waits.reason not in (Reason.IMPORTING, Reason.IDLE):
        return f"at the limit: {waits.text}" if waits.reason is Reason.LIMIT else waits.text
    if trouble is not None:
        return trouble.text
    if waits is not None:
        return waits.text
    if line.last is None:
        return "" if line.every else "it starts only on demand"
    last = line.last
    return last.ended_reason or f"{counted(last.records, 'record')} in {counted(last.done, 'task')}"


def yesterday(reader: FrontierReader, now: float) -> Yesterday:
    newest = reader.run_page(import_name=None, state=None, since=0.0, after=None, most=MOST_RUNS + 1)
    runs = [run for run in newest if run.started_at > now - DAY]  # a search by time would read all older runs
    counts: dict[str, int] = {}
    for run in runs[:MOST_RUNS]:
        counts[run.state] = counts.get(run.state, 0) + 1
    return Yesterday(
        runs=counts,
        records=sum(run.records for run in runs[:MOST_RUNS]),
        more=len(runs) > MOST_RUNS,
        acts=reader.audit(since=now - DAY, limit=MOST_ACTS),
    )


def subjects(trouble: Trouble) -> list[tuple[str, str]]:
    """What a trouble is about, such as ("import", "acme"). Subjects that are only counted in its text are not
    included."""
    found = re.fullmatch(r"(import|account|run|source|bucket)s? (.+?)(?: and [\d,]+ more)?", trouble.who)
    if not found:
        return []
    return [(found[1], name) for name in found[2].split(", ")]
