"""One run: its progress, what limits it, what it imported and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.reasons import Reason
from crawlerd.core.wording import counted, plain_error
from crawlerd.engine.agenda import SCHEDULE
from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.operations import run_history
from crawlerd.operations.problem import Unknown
from crawlerd.operations.top_report import MOVING
from crawlerd.service.page import page_texts
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.charts import LEAST_SPAN
from crawlerd.service.page.letter_filters import query_of
from crawlerd.service.parameters import is_number
from crawlerd.service.resources import without_payloads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.figure_reports import AnswerFigures
    from crawlerd.frontier.reports import DeadGroup, RunReport
    from crawlerd.operations.run_history import RunDetail, StreamLine
    from crawlerd.service.page.asked import Asked

MOST_STREAMS, MOST_KINDS, MOST_GROUPS = 200, 100, 20
STATUSES = {0: "no answer", 401: "key refused", 403: "not permitted", 404: "not found", 429: "slow down"}
GRAVE = (Reason.REFUSED, Reason.SINK, Reason.STORE, Reason.OUTAGE)


def run(asked: Asked) -> Shown:
    number = asked.words["number"]
    if asked.reader is None or not is_number(number):
        raise Unknown(f"there is no run {number[:40]}")
    found = run_history.detail(asked.reader, asked.live, int(number), asked.now)
    if not asked.may_see_payloads:
        found = without_payloads(found)
    report = found.run
    groups = asked.reader.dead_groups(run=report.id, limit=MOST_GROUPS + 1) if report.dead else []
    rate, limit = asked.live.rates().get(report.id), asked.live.permitted(report.account)
    return context_of(found, rate, limit, asked.run_rates.of(report.id), groups, asked.now)


def context_of(
    found: RunDetail,
    rate: float | None,
    limit: float | None,
    rates: Sequence[float | None],
    groups: Sequence[DeadGroup],
    now: float,
) -> Shown:
    """rate: requests per second at the moment.
    limit: requests per second that its account's limits permit.
    rates: requests per second in its last ten minutes.
    groups: its dead letters by failure; one more than are shown if there are more.
    """
    report = found.run
    waits = next(iter(found.waits.waits), None)
    under_way = report.state == "running"
    state = str(waits.reason) if under_way and waits and waits.reason not in MOVING else report.state
    return Shown(
        "run",
        f"{report.import_name[:60]}: run {report.id}, {report.state}",
        {
            "run": report,
            "state": state,
            "under_way": under_way,
            "tone": tone(report, waits.reason if waits else None),
            "sentence": sentence(found, rate, limit, now),
            "sentences": found.waits.sentences if under_way else [],
            "about": about(report),
            "began": began(report),
            "open": report.ready + report.delayed + report.waiting,
            "took": (report.ended_at or now) - report.started_at,
            "figures": found.figures,
            "chain": max(found.figures.kinds, key=lambda kind: kind.longest_chain, default=None),
            "rate": rate,
            "limit": limit,
            "rates": rates,
            "limits": [limit] * len(rates),
            "span": max(LEAST_SPAN, len(rates)),
            "share": found.share,
            "streams": [(line, *stream_state(line, report)) for line in found.streams[:MOST_STREAMS]],
            "more_streams": max(0, len(found.streams) - MOST_STREAMS),
            "kinds": found.figures.kinds[:MOST_KINDS],
            "answers": [(status_of(each), each) for each in found.figures.answers],
            "groups": groups[:MOST_GROUPS],
            "group_queries": [query_of(LetterFilter(run=report.id, group=each.group)) for each in groups],
            "group_count": f"more than {MOST_GROUPS} kinds"
            if len(groups) > MOST_GROUPS
            else counted(len(groups), "kind"),
            "groups_cut": len(groups) > MOST_GROUPS,
        },
        json=f"/runs/{report.id}",
    )


def sentence(found: RunDetail, rate: float | None, limit: float | None, now: float) -> str:
    """The progress of the run, what limits it, and what is wrong."""
    report = found.run
    tasks = report.ready + report.delayed + report.waiting
    dead = counted(report.dead, "dead letter")
    if report.state != "running":
        took = page_texts.duration((report.ended_at or now) - report.started_at)
        end = f"It {'was cancelled' if report.state == 'cancelled' else _ended(report)} after {took}"
        why = f": {report.ended_reason}" if report.ended_reason else ""
        left = f", with {dead}" if report.dead else ""
        doubts = "".join(
            f" Stream {each.stream} is in doubt: {each.seen:,} records, before {each.before:,}."
            for each in report.doubts[:3]
        )
        return f"{end}{why}{left}: {counted(report.records, 'record')} of {counted(report.done, 'task')}.{doubts}"
    done = report.done / (report.done + tasks) if report.done + tasks else 0.0
    parts = [f"{done:.0%} of the tasks known so far are done"]
    if found.end:
        parts.append(f"about {page_texts.duration(found.end.seconds)} left")
    waits = next(iter(found.waits.waits), None)
    if not found.end and (waits is None or waits.reason in MOVING):
        parts.append("it is too early to say when it ends")
    if waits and waits.reason is Reason.LIMIT:
        parts.append(f"at the limit of {waits.who}")
    elif waits and waits.reason not in (Reason.IMPORTING, Reason.IDLE):
        parts.append(f"{waits.who}: {plain_error(waits.text)}")
    if rate is not None and limit:
        parts.append(f"{page_texts.rate(rate)} of {page_texts.rate(limit)} requests/s")
    if report.dead:
        parts.append(dead)
    return "; ".join(parts) + "."


def _ended(report: RunReport) -> str:
    if report.complete:
        return "completed"
    return {"failed": "failed", "completed with dead letters": "ended"}.get(report.state, "ended, but not complete")


def tone(report: RunReport, reason: Reason | None) -> str:
    if report.state == "failed" or (report.state == "running" and reason in GRAVE):
        return "bad"
    if report.state == "running":
        return "good" if (reason is None or reason in MOVING) and not report.dead else "warn"
    return "good" if report.complete else "warn"


def about(report: RunReport) -> list[str]:
    parts = ["full" if report.full else "incremental", report.full_reason, report.ad_hoc, began(report)]
    return [*(part for part in parts if part), *([f"only {report.part}"] if report.part else [])]


def began(report: RunReport) -> str:
    """Who or what has started it, such as "by eva"; "" if unknown."""
    return "by its schedule" if report.began == SCHEDULE else report.began


def stream_state(line: StreamLine, report: RunReport) -> tuple[str, str]:
    """A word for the state of a stream, and a remark."""
    facts = line.facts
    note = plain_error(facts.reason or facts.note or "")
    if facts.denied:
        return "denied", note or "the key may not read it"
    if any(each.stream == line.stream for each in report.doubts):
        return "late", "less than half of what there was before"
    if report.state == "running":
        return "running", note
    if facts.dead or facts.skipped:
        lost = [f"{facts.skipped:,} skipped" if facts.skipped else "", note]
        return "dead letters" if facts.dead else "skipped", "; ".join(filter(None, lost))
    return ("done" if report.state.startswith("completed") else report.state), note


def status_of(answer: AnswerFigures) -> str:
    meaning = STATUSES.get(answer.status, "")
    if not answer.status:
        return meaning
    return f"{answer.status} {meaning}".strip()
