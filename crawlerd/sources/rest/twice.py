"""Reads pages twice that cannot overlap, since the list may change between them. Pure.

A deletion before the current position moves all later records one place forward: the next page then begins too late,
and no answer shows it. So a page whose position is a number, and that has no records in common with the next one, is
read again after that one: records that have moved to its end are on it now. If none of its records is left, more has
moved than a page holds, and reading of the list starts again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from msgspec.structs import replace

from crawlerd.sources.rest import counting_urls
from crawlerd.sources.rest.numbered_pages import Again, Next, Step
from crawlerd.sources.rest.page_overlap import Place, Review, Seen
from crawlerd.sources.rest.paginators import LinkHeader, NextUrl, Offset, PageNumber

if TYPE_CHECKING:
    from crawlerd.sources.rest.page_overlap import Came
    from crawlerd.sources.rest.paginators import Answer, Paginator

_NUMBER = re.compile("[0-9]{1,15}")


def read_twice(paginator: Paginator, answer: Answer, came: Came, place: Place, step: Step) -> Step:
    """`step`, or before it the page before this one."""
    if isinstance(step, Again):
        return step
    joined = bool(place.tail) and came.after(place.tail) is not None
    before = None if joined else place.seen
    if before is not None and before.short and not answer.count:
        before = None  # it was the last one
    if isinstance(step, Next) and (step.place.doubt or step.place.moves > place.moves):
        return Next(step.at, replace(step.place, seen=before if step.place.doubt else None))  # this page once more
    if isinstance(step, Next):
        seen = None
        if _may_be_open(paginator, answer, step):
            seen = Seen(
                answer.at, place.size, place.reached, came.sample(), _is_short(paginator, answer, place, joined=joined)
            )
        step = Next(step.at, replace(step.place, seen=seen))
    if before is None:
        return step
    review = Review(before.keys, *(step or ()))
    return Next(before.at, Place(again=place.again, size=before.size, reached=before.reached, review=review))


def reviewed(came: Came, review: Review) -> Step:
    """What follows a page that was read again."""
    if not came.has_any(review.keys):
        return Again("none of a page's records was there when it was read again")
    return None if review.place is None else Next(review.at, review.place)


def _may_be_open(paginator: Paginator, answer: Answer, step: Next) -> bool:
    """Whether a deletion between this page and the next one may go unnoticed: they have nothing in common, or the API
    has not shown yet that it divides pages as requested."""
    if step.at is None or not answer.count or (step.place.tail and step.place.exact):
        return False
    if not isinstance(paginator, Offset | PageNumber | LinkHeader | NextUrl) or not paginator.twice:
        return False
    if isinstance(paginator, Offset | PageNumber):
        return True
    return step.place.counting is not None or _counts(answer, str(step.at))


def _is_short(paginator: Paginator, answer: Answer, place: Place, *, joined: bool) -> bool:
    """Whether the page has fewer records than requested, and is the first one, or the API is known to return as many as
    requested if it has them."""
    if not isinstance(paginator, Offset | PageNumber) or not paginator.size_parameter:
        return False
    exact = place.exact or (joined and place.size > 0)
    return (answer.at is None or exact) and answer.count < (place.size or paginator.size)


def _counts(answer: Answer, url: str) -> bool:
    """Whether the URL of the next page seems to be numbered: one more than this one, or with as many records before
    it."""
    before, after = _numbers(answer.response.url), _numbers(url)
    for name, number in after.items():
        gone = number - before.get(name, 0)
        if counting_urls.PAGES.search(name) and (gone == 1 or (name not in before and number == 2)):
            return True
        if counting_urls.RECORDS.search(name) and gone in (answer.count, answer.count + (name not in before)):
            return True
    return False


def _numbers(url: str) -> dict[str, int]:
    try:
        return {name: int(value) for name, value in parse_qsl(urlsplit(url).query) if _NUMBER.fullmatch(value)}
    except ValueError:
        return {}
