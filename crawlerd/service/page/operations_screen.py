"""Retries and drops of many dead letters, and their progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.operations import dead
from crawlerd.operations.problem import Unknown
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.letter_filters import query_of
from crawlerd.service.page.page_texts import number
from crawlerd.service.parameters import is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.reports import OperationReport
    from crawlerd.service.page.asked import Asked

LIMIT = 50
DONE = {"retry": "retried", "drop": "dropped"}
STAYED = {
    "retry": "stayed: their run was cancelled, or they follow a group and come back with its other dead letters",
    "drop": "stayed: their run was cancelled, or is under way and they are in a group that it waits for",
}


def operations(asked: Asked) -> Shown:
    before = asked.query.number("after") or None
    found = asked.reader.operations(before=before, limit=LIMIT + 1) if asked.reader else []
    return context_of(found[:LIMIT], first=before is None, more=len(found) > LIMIT)


def context_of(found: Sequence[OperationReport], *, first: bool, more: bool) -> Shown:
    under_way = [each for each in found if each.ended_at is None]
    failed = [each for each in found if each.state == "failed"]
    return Shown(
        "operations",
        f"Operations: {len(under_way)} under way" if under_way else "Operations",
        {
            "verdict": _verdict(under_way, failed, found),
            "tone": "warn" if failed or any(each.error for each in under_way) else "good",
            "under_way": under_way,
            "operations": found,
            "next": found[-1].id if more else None,
            "first": first,
        },
        json="/operations",
    )


def operation(asked: Asked) -> Shown:
    wanted = asked.words["number"]
    if asked.reader is None or not is_number(wanted):
        raise Unknown(f"there is no operation {wanted[:40]}")
    return context_of_one(dead.operation(asked.reader, int(wanted)))


def context_of_one(found: OperationReport) -> Shown:
    return Shown(
        "operation",
        f"Operation {found.id}: {found.state}",
        {
            "operation": found,
            "verdict": sentence(found),
            "tone": "bad" if found.state == "failed" else "warn" if found.error else "good",
            "stayed": f"{number(found.stayed)} {STAYED[found.act]}" if found.stayed and found.ended_at else "",
            "query": query_of(found.which),
        },
        json=f"/operations/{found.id}",
    )


def sentence(found: OperationReport) -> str:
    """The progress as text, such as "412 of 9,120 dead letters retried"."""
    said = f"{number(found.done)} of {number(found.total)} dead letters {DONE[found.act]}"
    if found.error:
        return f"{said}; {'it waits' if found.ended_at is None else 'it has failed'}: {found.error}"
    return said


def _verdict(
    under_way: Sequence[OperationReport], failed: Sequence[OperationReport], found: Sequence[OperationReport]
) -> str:
    if under_way:
        many = len(under_way)
        return f"{number(many)} operation{'s are' if many > 1 else ' is'} under way."
    if failed:
        return f"Operation {failed[0].id} has failed: {failed[0].error or 'nothing says why'}."
    return "Nothing is under way." if found else "Nobody has retried or dropped many dead letters at once."
