"""What follows a page of a list, and which of its records are used. Pure.

A list in ascending order of the time of change is read by that time: changed records move to its end, so each page
requests what has changed since the last time up to which everything was read. Only if a page has a single time, the
next page is requested. A list that begins with the latest change is read to its end, and then its front again, up to
the time that was first there: records that have changed in the meantime are there.
"""

from __future__ import annotations

import dataclasses
import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from crawlerd.core.redaction import cut
from crawlerd.source import Permanent, Transient
from crawlerd.sources.rest import counting_urls, numbered_pages, twice
from crawlerd.sources.rest.incremental import known_up_to, parameter
from crawlerd.sources.rest.numbered_pages import Again, Next, Step
from crawlerd.sources.rest.page_overlap import Place
from crawlerd.sources.rest.paginators import (
    CursorInBody,
    CursorInHeader,
    LinkHeader,
    NextUrl,
    NoPages,
    Offset,
    PageNumber,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crawlerd.sources.rest.description import Incremental
    from crawlerd.sources.rest.page_overlap import Came
    from crawlerd.sources.rest.paginators import Answer, Paginator

ATTEMPTS = 3  # at a page whose records are not in order: one may have changed while the answer was made
MOST_CLOSINGS = 3  # how often the front of a list is read again
MOST_IDLE = 10_000  # pages in a row with nothing new on them; a filter may leave some thousands empty
_SIZE = re.compile("limit|size|per_?page|count|top|max|rows|take", re.IGNORECASE)


class Read(NamedTuple):
    """The result of reading a page.

    step: what follows it; None if it was the list's last one.
    taken: indexes of its records that count; the others were read before, or will be read again.
    """

    step: Step
    taken: Sequence[int]


class Page(NamedTuple):
    """A page.

    came: its records before any filter.
    marks: those of its records after the filter.
    parameters: of its request.
    """

    answer: Answer
    came: Came
    marks: Sequence[str | None]
    parameters: Mapping[str, Any]


def read(
    paginator: Paginator,
    rule: Incremental | None,
    page: Page,
    place: Place,
    since: str | None,
    without_key: Callable[[Any], Any],
) -> Read:
    """since: the mark from which on changes are wanted; None for all."""
    everything: Sequence[int] = range(len(page.marks))
    if place.review is not None:
        return Read(twice.reviewed(page.came, place.review), everything)
    found = _read(paginator, rule, page, place, since, without_key)
    return Read(twice.read_twice(paginator, page.answer, page.came, place, found.step), found.taken)


def _read(
    paginator: Paginator,
    rule: Incremental | None,
    page: Page,
    place: Place,
    since: str | None,
    without_key: Callable[[Any], Any],
) -> Read:
    ordered = rule is not None and rule.order is not None
    if isinstance(paginator, Offset | PageNumber):
        more = paginator.goes_on(page.answer)
        step = numbered_pages.following(paginator, page.answer, place, page.came, ordered=ordered, more=more)
    else:
        step = _after_cursor(paginator, page, place, ordered, without_key)
    everything: Sequence[int] = range(len(page.marks))
    if len(page.came) == len(page.marks) and (old := page.came.old(place.tail)):
        everything = [number for number in everything if number not in old]
    if rule is None or rule.order is None:
        return Read(step, everything)
    if rule.order == "ascending":
        return _ascending(paginator, rule, page, place, step)
    return Read(_descending(rule, page, place, step, since, everything), everything)


def _after_cursor(paginator: Any, page: Page, place: Place, ordered: bool, without_key: Callable[[Any], Any]) -> Step:
    """What follows a page that names the next one itself."""
    answer = page.answer
    at = without_key(paginator.after(answer))
    if isinstance(paginator, LinkHeader | NextUrl) and not place.whole:
        counting = place.counting
        if answer.at is None and at is not None:
            counting = counting_urls.counting(page.parameters, str(at), answer.count)
        if counting is not None:
            return _after_counted(counting, page, place, ordered, at)
    if at is None:
        return None
    most = max(place.most, answer.count)
    if at != answer.at:
        last = page.came.last() or place.before
        idle = place.idle + 1 if last == place.before else 0
        if idle == MOST_IDLE:
            raise Permanent(f"{idle:,} pages in a row had no other records: their cursors lead nowhere")
        return Next(at, replace(place, most=most, before=last, idle=idle))
    if not answer.count:
        return None
    if not isinstance(paginator, CursorInBody | CursorInHeader):
        raise Permanent(f"the page leads to itself: {cut(at, 100)}")
    # A cursor made from the last record, for records that are not before it, returns that record again at the end.
    if answer.count == 1 or answer.count < max(most, *_sizes(page), 0):
        return None
    raise Permanent(
        f"the cursor {cut(at, 100)} leads to itself, and the page is full: there may be more records with this "
        "cursor than fit on a page; request larger pages, with their size in the parameters"
    )


def _after_counted(counting: counting_urls.Counting, page: Page, place: Place, ordered: bool, url: str | None) -> Step:
    """What follows a page whose URL contains a count: it overlaps with the next one, as if the client counted."""
    answer = page.answer
    number = None if answer.at is None else counting.number(str(answer.at))
    paginator = counting.paginator()
    if url is not None and not counting.agrees(number, answer.count, url):  # it is a token that looked like a count
        if place.size:  # and says nothing of what follows a page of this size
            return Next(None, Place(again=place.again, reached=place.reached, whole=True))
        return Next(url, replace(place, tail=(), counting=None, whole=True))
    if url is not None and page.came.only(place.tail):
        # The list ends here, although there is a next page: this API always names one.
        return None if url == answer.at else Next(url, replace(place, tail=(), counting=None, whole=True))
    step = numbered_pages.following(
        paginator,
        dataclasses.replace(answer, at=number),
        replace(place, counting=counting),
        page.came,
        ordered=ordered,
        more=url is not None,
    )
    if not isinstance(step, Next):
        return step
    if step.place.whole:
        return None if url is None else Next(url, step.place)
    return Next(counting.url(str(url or answer.at), int(step.at or 0), step.place.size), step.place)


def _ascending(paginator: Paginator, rule: Incremental, page: Page, place: Place, step: Step) -> Read:
    marks = _filled(page.marks)
    if any(later < earlier for earlier, later in pairwise(marks)):
        said = f'the list does not come in ascending order of "{rule.field}", as its description says'
        raise Transient(said, attempts=ATTEMPTS)
    taken = [number for number, mark in enumerate(page.marks) if not mark or mark > place.reached]
    if isinstance(paginator, NoPages):
        return Read(_on_from_the_last_time(rule, page, place, marks), taken)
    if place.then and page.answer.count:  # the page before was not the last one, although it was short
        return Read(Next(None, Place(again=place.again, reached=place.then, whole=True)), taken)
    if not isinstance(step, Next) or step.place.doubt or not _is_joined(page, place):
        return Read(step, taken)
    cut = _last_time(rule, marks)
    if not cut or (place.reached and parameter(rule, marks[cut - 1]) == parameter(rule, place.reached)):
        return Read(step, taken)
    if isinstance(paginator, PageNumber) and step.place.whole and not place.whole and page.answer.at is None:
        return Read(Next(step.at, replace(step.place, then=marks[cut - 1])), taken)  # perhaps it is the last one
    following = Place(again=place.again, reached=marks[cut - 1], whole=place.whole)
    return Read(Next(None, following), taken)


def _on_from_the_last_time(rule: Incremental, page: Page, place: Place, marks: Sequence[str]) -> Step:
    """What follows if only the time leads on, until an answer has nothing later than the one before."""
    count = page.answer.count
    cut_off = bool(place.then and marks and marks[-1] > place.then)  # the answer before was cut off: this one has more
    most, exact = max(place.most, count), place.exact or cut_off
    cut = _last_time(rule, marks)
    if cut and not (place.reached and parameter(rule, marks[cut - 1]) == parameter(rule, place.reached)):
        return Next(None, Place(again=place.again, reached=marks[cut - 1], then=marks[-1], most=most, exact=exact))
    if count > 2 and count >= max([*_sizes(page), *([place.most] if exact else [])], default=math.inf):
        raise Permanent(
            f'{count} records have the same "{rule.field}", as many as one answer holds: there may be more that '
            "cannot be requested; request more at once in the parameters, or describe a paginator"
        )
    return None


def _sizes(page: Page) -> list[int]:
    """How many records were requested, by the parameters that say so."""
    return [int(value) for name, value in page.parameters.items() if _SIZE.search(name) and str(value).isdecimal()]


def _is_joined(page: Page, place: Place) -> bool:
    """Whether everything before this page was read. If not, its times do not say up to which one the list is read."""
    return page.came.after(place.tail) is not None


def _filled(marks: Sequence[str | None]) -> list[str]:
    """The marks; a record without one gets that of the record before it."""
    filled = []
    last = ""
    for mark in marks:
        last = mark or last
        filled.append(last)
    return filled


def _last_time(rule: Incremental, marks: Sequence[str]) -> int:
    """The index at which the last of the times begins that can be used in a request; 0 if no other is before it."""
    if not marks or not marks[-1]:
        return 0
    last = parameter(rule, marks[-1])
    first = len(marks)
    while first and marks[first - 1] and parameter(rule, marks[first - 1]) == last:
        first -= 1
    return first if first and marks[first - 1] else 0


def _has_nothing_newer(rule: Incremental, marks: Sequence[str], since: str) -> bool:
    """Whether the page has nothing newer. A single older record does not end a list, since some are pinned to its
    front. A page without newer ones does, if it reaches back as far as must be read again."""
    return max(marks) < since or (marks[-1] < since and max(marks) <= known_up_to(rule, since))


def _descending(
    rule: Incremental, page: Page, place: Place, step: Step, since: str | None, taken: Sequence[int]
) -> Step:
    if isinstance(step, Again):
        return step
    marks = [mark for mark in page.marks if mark]
    first = page.answer.at is None
    top = max([*marks, place.top]) if first else place.then
    front = place.front
    if not place.behind:
        front = page.came.chained(front, [number for number in taken if (page.marks[number] or "") >= top > ""])
    now = {"then": top, "front": front, "behind": place.behind or bool(marks and marks[-1] < top)}
    if isinstance(step, Next) and not _is_joined(page, place):
        return Next(step.at, replace(step.place, **now))
    if not place.closing:
        if step is not None and not (since and marks and _has_nothing_newer(rule, marks, since)):
            return Next(step.at, replace(step.place, **now))
        return None if first or not top else Next(None, _closing(place, top, front))
    if step is not None and not (marks and marks[-1] < place.top):
        return Next(step.at, replace(step.place, **now))
    if first or front == place.last:
        return None
    if place.closing == MOST_CLOSINGS:
        return Again("records come to its front so fast that it is never read to the end")
    return Next(None, _closing(place, top, front))


def _closing(place: Place, top: str, front: str) -> Place:
    """Reads the front again until it comes in one response, or is the same as before."""
    whole = place.whole and not place.exact  # otherwise it was only the end of it
    return Place(again=place.again, whole=whole, top=top, last=front, closing=place.closing + 1)
