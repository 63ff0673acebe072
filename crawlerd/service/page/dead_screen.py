"""The dead letters: grouped by failure, and those that match a filter, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.frontier.reports import LetterCount, LetterPage
from crawlerd.operations import dead
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.letter_filters import FIELDS, filter_of, query_of
from crawlerd.service.page.page_texts import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.reports import DeadGroup, OperationReport
    from crawlerd.service.page.asked import Asked

LIMIT, GROUPS, OPERATIONS = 50, 50, 3
NOTHING = LetterCount(0, 0)


def dead_letters(asked: Asked) -> Shown:
    which = filter_of(asked.query)
    before = asked.query.number("after") or None
    if (reader := asked.reader) is None:
        return context_of(which, NOTHING, [], LetterPage([], None), [], first=True, groups_cut=False)
    groups = []
    if _has_groups(which):
        groups = reader.dead_groups(import_name=which.import_name, run=which.run, limit=GROUPS + 1)
    return context_of(
        which,
        dead.counted(reader, which),
        groups[:GROUPS],
        dead.newest(reader, which, before, LIMIT),
        [each for each in reader.operations(limit=OPERATIONS) if each.ended_at is None],
        first=before is None,
        groups_cut=len(groups) > GROUPS,
    )


def context_of(
    which: LetterFilter,
    count: LetterCount,
    groups: Sequence[DeadGroup],
    page: LetterPage,
    under_way: Sequence[OperationReport],
    *,
    first: bool,
    groups_cut: bool,
) -> Shown:
    """first: no page is before this one.
    groups_cut: there are more groups than these.
    """
    query = query_of(which)
    title = f"{how_many(count)}{f' ({which.text})' if which.narrow else ''}"
    return Shown(
        "dead",
        title[:1].upper() + title[1:],
        {
            "groups": groups,
            "group_queries": [query_of(msgspec.structs.replace(which, group=each.group)) for each in groups],
            "groups_cut": groups_cut,
            "count": count,
            "how_many": how_many(count),
            "few": max(dead.MOST_READ, 1),
            "letters": page.letters,
            "next": page.next,
            "cut": page.cut,
            "first": first,
            "query": dict.fromkeys(FIELDS, "") | query,
            "which": which,
            "under_way": under_way,
            "verdict": _verdict(which, count, groups, groups_cut=groups_cut),
            "tone": "warn" if count.count or count.more else "good",
        },
        json=f"/dead/newest?{urlencode(query)}" if which.narrow else "/dead/groups",
    )


def how_many(count: LetterCount) -> str:
    """The number as text, such as "12 dead letters"."""
    if count.more:
        return f"at least {number(count.count)} dead letters" if count.count else "dead letters"
    if not count.count:
        return "no dead letters"
    return f"{number(count.count)} dead letter{'s' * (count.count != 1)}"


def failure(group: DeadGroup) -> str:
    """A failure as text, such as "HTTP 404: no such charge: *"."""
    name = "" if group.error_class in ("Permanent", "Transient") else group.error_class
    status = None if group.status is None else f"HTTP {group.status}"
    return ": ".join(part for part in (name, status, group.message) if part) or "no error text"


def _has_groups(which: LetterFilter) -> bool:
    """Whether groups are shown: they exist for an import, a run and all letters. A narrower filter only lists
    letters."""
    return which in (LetterFilter(import_name=which.import_name), LetterFilter(run=which.run))


def _verdict(which: LetterFilter, count: LetterCount, groups: Sequence[DeadGroup], *, groups_cut: bool) -> str:
    if not count.count and not count.more:
        return "No dead letter matches." if which.narrow else "There are no dead letters."
    if not groups:
        return f"{how_many(count).capitalize()}: tasks that are not retried automatically."
    kinds = f"more than {GROUPS}" if groups_cut else str(len(groups))
    largest = max(groups, key=lambda group: group.letters)
    share = f"; {number(largest.letters)} of them: {failure(largest)}" if len(groups) > 1 else f": {failure(largest)}"
    return f"{how_many(count).capitalize()}, of {kinds} kind{'s' * (len(groups) != 1)} of failure{share}"
