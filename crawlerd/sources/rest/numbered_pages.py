"""The next page of a list whose pages or records the client counts, while the list changes. Pure.

A deletion before the current position moves all later records one place forward, and the next page would miss one. So
pages overlap: the next one begins with the last records of the one before. As long as one of those is on it, no record
was lost in between. Otherwise reading goes back in the list, and finally starts again from the beginning.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from crawlerd.source import Permanent
from crawlerd.sources.rest.page_overlap import LEAST_TAIL, MOST_TAIL, Came, Place, tail_length, window
from crawlerd.sources.rest.paginators import Answer, Offset, PageNumber

MOST_MOVES = 12  # how often reading goes back in a list before it starts again


class Next(NamedTuple):
    """The next page.

    at: its position.
    place: what must be known about the pages before it.
    """

    at: str | int | float | None
    place: Place


class Again(NamedTuple):
    """The list has moved so that a record may be missing: it must be read again.

    reason: how this is known.
    """

    reason: str


Step = Next | Again | None


def following(
    paginator: Offset | PageNumber, answer: Answer, place: Place, came: Came, *, ordered: bool, more: bool | None
) -> Step:
    """What follows a page; None if it was the last one. Raises Permanent if the API returns the same page again.

    ordered: changed records move within the list, so a record may come twice.
    more: whether the answer says that there is another page.
    """
    nothing_new = bool(place.tail) and came.after(place.tail) == answer.count
    digest = "" if place.exact and not place.whole and not nothing_new else came.digest()
    same = bool(answer.count) and digest != "" and digest == place.before
    place = replace(place, most=max(place.most, answer.count), before=digest)
    if isinstance(paginator, PageNumber):
        pages = _Pages(paginator, answer, place, came, more)
        if same and not place.back:  # otherwise the list may have moved so that the same records come again
            raise _repeated(paginator, answer)
        step = pages.following()
    else:
        step = _after_offset(paginator, answer, place, came, more, same=same)
    first = came.after(place.tail)
    counted = isinstance(paginator, Offset) and paginator.all(answer) is not None
    if ordered or not counted or first is None or isinstance(step, Again) or (step is None and not place.known):
        return step
    known, repeated = came.noted(place.known, first)
    if repeated:  # so by the total, there are fewer keys than records
        return Again("a record came twice: the order of the list changes, so another one may be missing")
    return step and Next(step.at, replace(step.place, known=known))


def _repeated(paginator: Offset | PageNumber, answer: Answer) -> Permanent:
    return Permanent(
        f"the page that starts at {answer.at} has the same records as the one before: the API does not know "
        f'the parameter "{paginator.parameter}", or repeats its last page (then set its total)'
    )


def _after_offset(
    paginator: Offset, answer: Answer, place: Place, came: Came, more: bool | None, *, same: bool
) -> Step:
    count, start = answer.count, paginator.start(answer.at, paginator.size)
    if same and place.back and place.doubt:  # at three positions, and then at the first of them again
        return Next(paginator.at(start + count), replace(place, tail=(), whole=True, back=0, doubt=False))
    if same and not place.back:
        if not place.tail or place.exact:
            raise _repeated(paginator, answer)
        end = start + len(place.tail)
        if not place.doubt:
            return Next(paginator.at(end - 1), replace(place, tail=place.tail[-1:], doubt=True))
        # The API takes only whole pages, unless enough records were added in front of the page each time to bring it
        # here. In that case they have moved it from its old position.
        return Next(paginator.at(max(0, end - count)), replace(place, back=count))
    if came.after(place.tail) is None:
        return _back(place, start) or Next(paginator.at(max(0, start - _distance(place))), _gone_back(place))
    end, total = start + count, paginator.all(answer)
    if place.whole or not paginator.overlap:
        if place.total is not None and total is not None and total != place.total:
            return Again(f"it had {place.total:,} records at first, and then {total:,}")
        place = replace(place, total=total)
    length = tail_length(count) if paginator.overlap and not place.whole else 0
    if total is not None and (end <= total or not count):  # otherwise it is the total of something else
        # After a full page one asks on, where pages overlap: it may be the page's own, or as far as the API counts.
        if end >= total and not (count and count == paginator.size and length):
            return None
        if not count:
            return Again(f"the list ends after {end} records, but its total is {total}")
    elif more is not None:
        if not more:
            return None
        if not count:
            return Again("an empty page came before the last one")
    elif not count or (paginator.short_page_ends and count < paginator.size) or came.only(place.tail):
        return None
    exact = place.exact or bool(place.tail)
    return Next(paginator.at(end - length), replace(place, tail=came.tail(length), back=0, exact=exact, doubt=False))


class _Pages:
    """What follows a numbered page. Numbers only fit pages of one size, so pages overlap by requesting other sizes."""

    def __init__(self, paginator: PageNumber, answer: Answer, place: Place, came: Came, more: bool | None) -> None:
        self._paginator, self._answer, self._place, self._came = paginator, answer, place, came
        self._more = more
        self._size = place.size or paginator.size
        self._number = paginator.first if answer.at is None else int(answer.at)
        self._start = paginator.start(answer.at, self._size)
        self._whole = place.whole or not paginator.overlap or not paginator.size_parameter

    def as_they_are(self, number: int) -> Next:
        """The page with this number, as the API divides them."""
        return Next(number, replace(self._place, tail=(), whole=True, back=0))

    def following(self) -> Step:
        count, place = self._answer.count, self._place
        if place.tail and self._came.after(place.tail) is None:
            return self._without_tail()
        pages, more = self._paginator.all(self._answer), self._more
        if self._whole:
            if place.total is not None and pages is not None and pages != place.total:
                return Again(f"it had {place.total:,} pages at first, and then {pages:,}")
            self._place = place = replace(place, total=pages)
        read = self._number - self._paginator.first + 1
        if pages is not None and (read <= pages or not count):  # otherwise they are the pages of something else
            more = read < pages
            if not more and (further := self._perhaps_further()):
                return further
        if more is False or (more is None and self._paginator.short_page_ends and count < self._size):
            return None
        if not count:
            return (
                Again(f"page {self._number} is empty, but the API says that it is not the last one") if more else None
            )
        if self._whole or count > self._size:
            return self.as_they_are(self._number + 1)
        if count == self._size:
            return self._overlapping(self._start + count)
        # Fewer records than requested: the end, unless the API leaves records out of its pages, or has a size of its
        # own.
        return self.as_they_are(self._number + 1)

    def _perhaps_further(self) -> Next | None:
        """The page that contains the end of a full page which the API says is the last one; perhaps its pages have
        another size."""
        if self._whole or self._answer.count != self._size:
            return None
        further = self._overlapping(self._start + self._size)
        return further if further.place.tail else None

    def _overlapping(self, read: int) -> Next:
        most = self._paginator.size
        found = window(read, most, max(LEAST_TAIL, most // 10))
        if found is None:  # pages with so few records begin at the same position, whatever their size
            return Next(read // most + self._paginator.first, replace(self._place, size=0, tail=(), back=0))
        number, size = found
        tail = self._came.tail(min(read % size, MOST_TAIL))
        exact = self._place.exact or self._size != most
        place = replace(self._place, size=0 if size == most else size, tail=tail, back=0, exact=exact)
        return Next(number + self._paginator.first, place)

    def _without_tail(self) -> Step:
        place, most = self._place, self._paginator.size
        if self._answer.count > self._size:  # the API has a size of its own
            return self.as_they_are(self._number + 1)
        if not place.exact and self._size != most:
            # Either the list has moved, or the API does not accept sizes. Its first page with this size shows which,
            # even if records move meanwhile, and nothing can be lost before it. If it has more records, or as many as
            # requested, sizes are accepted; if fewer, then these are all records, or pages are divided differently.
            return Next(self._paginator.first, replace(place, tail=(), moves=place.moves + 1))
        target = max(0, self._start - _distance(place))
        return _back(place, self._start) or Next(
            target // most + self._paginator.first, replace(_gone_back(place), size=0)
        )


def _distance(place: Place) -> int:
    return max(2 * place.back, place.most // 2, 1)


def _gone_back(place: Place) -> Place:
    return replace(place, back=_distance(place), moves=place.moves + 1, doubt=False)


def _back(place: Place, start: int) -> Again | None:
    """Why going back does not help; None if it may."""
    if start == 0 or place.moves >= MOST_MOVES:
        return Again("the records that were read last are not found again")
    return None
