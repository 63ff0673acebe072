"""Divides a long list into windows of `created` that are read in parallel. Pure."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

BEGINNING = 1_293_840_000  # 2011-01-01T00:00:00Z: Stripe has nothing older
HOUR, DAY = 3_600, 86_400  # seconds
SPARSE = 56 * DAY  # if a page covers this much, the list is read page by page
DEADLINE = 22  # number of pages in a row with which all windows of a list should end
AGAIN = 8  # pages between the further deadlines of a window that misses the first one
SLACK = 1.4  # a window is divided if it would take this many times its deadline: each cut costs half a page
ENOUGH = 16  # parallel windows; while a line knows of fewer, windows of EARLY pages are made
EARLY = 6  # pages
MANY = 12  # windows that one page may begin
UNLIKELY = 100  # if there would be this many windows, only FEW are begun: it is hardly that dense for so long
FEW = 4
ALIKE = 4  # up to this many times as dense counts as the same density
GAP = 6  # pages that would have fitted into a gap
BURST = 10  # pages that a burst may last
SPREAD = 16  # bursts; a span that may contain more of them is halved


class Line(NamedTuple):
    """What a window knows about its list, from the pages read before it, one after the other.

    pace: seconds that a page covers, 0 before the first.
    age: pages so far.
    abreast: windows that were made so far.
    """

    pace: int = 0
    age: int = 0
    abreast: int = 1


NEW = Line()


class Cut(NamedTuple):
    """The rest of a window is divided above each of these seconds, the newest first; if there are none, reading goes on
    page by page.

    at: the seconds.
    line: for the page that follows, and for all windows.
    """

    at: tuple[int, ...]
    line: Line


def cut(line: Line, *, low: int | None, gap: int | None, span: int, oldest: int) -> Cut:
    """Where to divide the rest of a window after a full page.

    low: its first second, None if the end of the list is unknown.
    gap: seconds without objects before the page, if it is the first page of a window that was made from another one;
        otherwise None.
    span: seconds that the page covers.
    oldest: the second of its last object.

    A page shows how dense the list is there, and it may be different further down. So the new windows lie next to the
    page, each with what can be read until the deadline; the last one has all the rest, and its own first page decides
    again. That page skips any gap at its beginning, so bursts cost few useless requests.
    """
    span = max(1, span)
    alike = not line.pace or line.pace < ALIKE * span < ALIKE**2 * line.pace
    pace = (line.pace + span) // 2 if line.pace and alike else span
    age = line.age + 1 if line.age < DEADLINE + AGAIN - 1 else DEADLINE
    if low is None:
        at = _leaps(oldest, max(pace, (gap or 0) + span), near=gap is not None and gap <= pace)
    else:
        burst = gap > GAP * span if gap is not None else not alike and span < line.pace
        at = _pieces(low, oldest, pace, age, line.abreast, burst=burst)
        if burst and gap is not None and at and oldest - low > SPREAD * (gap + span) and at[-1] - low > 1:
            at = (*at, (at[-1] + low + 1) // 2)
    return Cut(at, Line(pace, age, min(100, line.abreast * (len(at) + 1))))


def _pieces(low: int, oldest: int, pace: int, age: int, abreast: int, *, burst: bool) -> tuple[int, ...]:
    """The windows of a window whose end is known."""
    pages = DEADLINE - age if age < DEADLINE else AGAIN - (age - DEADLINE)
    if abreast < ENOUGH:
        pages = min(pages, EARLY)
    if burst:
        pages = max(pages, BURST)
    count = ceil((oldest - low) / pace / (SLACK * pages - (SLACK - 1)))
    count = min(count, 2 if burst else MANY if count < UNLIKELY else FEW)
    return tuple(oldest - pace * pages * number for number in range(1, count))


def _leaps(oldest: int, pace: int, *, near: bool) -> tuple[int, ...]:
    """The windows of a window that may reach back to the beginning: each is larger than the one before.

    Objects created at the pace of an account that exists for years probably go on for as long: the list is divided at
    once into about as many windows as 100 requests/s keep busy if an answer takes 0.3 s. If they are sparser or denser,
    more evidence is needed first.

    near: the pages before it were full.
    """
    if pace > SPARSE:
        return ()
    if 4 * HOUR <= pace <= 10 * DAY:
        count, pages, growth = 26, 12.0, 1.15
    else:
        count, pages, growth = (8, 6.0, 2.0) if near else (2, 6.0, 6.0)
    floor = BEGINNING if oldest > BEGINNING else 0
    at = [oldest]
    while len(at) <= count and at[-1] - int(pace * pages) > floor:
        at.append(at[-1] - int(pace * pages))
        pages *= growth
    return tuple(at[1:])
