"""Who did what, and why."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from crawlerd.core.durations import parse_duration
from crawlerd.operations.problem import Refused
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.page_texts import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.reports import Act
    from crawlerd.service.page.asked import Asked

LIMIT = 100
SPANS = [("", "ever"), ("1d", "the last day"), ("7d", "the last week"), ("30d", "the last month")]
ACTS = [
    "pause",
    "resume",
    "retry",
    "drop",
    "cancel",
    "submit",
    "rename",
    "lower limit",
    "end lowered limit",
    "sink forget",
]


def audit(asked: Asked) -> Shown:
    since = since_of(asked.query.get("since", ""), asked.now)
    by, act = asked.query.get("by", "").strip(), asked.query.get("act", "").strip()
    before = asked.query.number("after") or None
    found: Sequence[Act] = []
    if asked.reader:
        found = asked.reader.audit(since=since, limit=LIMIT + 1, before=before, by=by, act=act)
    newest = found[::-1]
    query = {"since": asked.query.get("since", ""), "by": by, "act": act}
    return context_of(newest[:LIMIT], query, since, first=before is None, more=len(newest) > LIMIT)


def since_of(text: str, now: float) -> float:
    """The Unix seconds of a time: a duration before now, or a date. Raises Refused for anything else."""
    text = text.strip()
    if not text:
        return 0.0
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.astimezone()).timestamp()
    except (ValueError, OverflowError):
        raise Refused(
            f"since: {text[:80]!r} is neither a duration, such as 7d, nor a date, such as 2026-11-30"
        ) from None


def context_of(newest: Sequence[Act], query: dict[str, str], since: float, *, first: bool, more: bool) -> Shown:
    is_filtered = any(query.values())
    known = [each for each in ACTS if each != query["act"]]
    spans = SPANS if query["since"] in dict(SPANS) else [*SPANS, (query["since"], f"since {query['since'][:40]}")]
    wanted = {"since": f"{since:.0f}" if since else "", "by": query["by"], "act": query["act"]}
    return Shown(
        "audit",
        "Audit",
        {
            "verdict": _verdict(newest, is_filtered=is_filtered, more=more or not first),
            "acts": newest,
            "query": query,
            "spans": spans,
            "kinds": [("", "anything"), *((each, each) for each in [query["act"], *known] if each)],
            "is_filtered": is_filtered,
            "next": newest[-1].id if more else None,
            "first": first,
        },
        json="/audit?" + urlencode({key: value for key, value in wanted.items() if value}),
    )


def _verdict(newest: Sequence[Act], *, is_filtered: bool, more: bool) -> str:
    if not newest:
        return "No entry matches." if is_filtered else "The audit has no entries yet."
    people = len({each.by for each in newest})
    many = (
        f"The newest {number(len(newest))} entries" if more else f"{number(len(newest))} act{'s' * (len(newest) != 1)}"
    )
    last = newest[0]
    return (
        f"{many} of {people} {'person' if people == 1 else 'people'}; the last: {last.by}, {last.act} {last.subject}."
    )
