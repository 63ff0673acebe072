"""Where a long list is cut into windows of `created` that are read side by side. Pure."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

BEGINNING = 1_293_840_000  # 2011-01-01T00:00:00Z: Stripe has nothing older
HOUR, DAY = 3_600, 86_400  # seconds
SPARSE = 56 * DAY  # for a page; such a list is read page by page
DEADLINE = 22  # pages, one after the other, with which all windows of a list are to end
AGAIN = 8  # pages: what goes on behind the deadline has another one as often as that
SLACK = 1.4  # times its deadline that a window may be expected to take: each cut costs half a page
ENOUGH = 16  # windows side by side; as long as a line knows of fewer, they are cut as finely as EARLY
EARLY = 6  # pages
MANY = 12  # windows that one page may begin
UNLIKELY = 100  # windows, of which FEW are begun: it is not that dense for so long
FEW = 4
ALIKE = 4  # times as dense, at most, is the same density
GAP = 6  # pages that would have had their place in it
BURST = 10  # pages that a burst may go on for
SPREAD = 16  # bursts; what may hold more of them is halved


class Line(NamedTuple):
    """What a window knows of its list, from the pages read above it, one after the other.

    pace: seconds that a page covers, 0 before the first.
    age: pages so far.
    abreast: windows that were cut so far.
    """

    pace: int = 0
    age: int = 0
    abreast: int = 1


NEW = Line()


class Cut(NamedTuple):
    """What is left of a window is cut above each of these seconds, `at`, the newest first; none: go on page by page.
    line: of the page that follows, and of all windows."""

    at: tuple[int, ...]
    line: Line


def cut(line: Line, *, low: int | None, gap: int | None, span: int, oldest: int) -> Cut:
    """Where to cut what is left of a window behind a full page.

    low: its first second, None where nothing is known of where the list ends. gap: seconds without objects above the
    page, where it is the first of a window that was cut from another one; else None. span: seconds that the page
    covers. oldest: its last object's second.

    A page tells how dense the list is there, and it may be otherwise further down. So the pieces lie next to the page,
    each of what is to be read until the deadline; the last one holds all the rest, which its own first page judges
    again. That page jumps over whatever gap is in the way: bursts cost few requests in vain.
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
    """Of a window whose end is known."""
    pages = DEADLINE - age if age < DEADLINE else AGAIN - (age - DEADLINE)
    if abreast < ENOUGH:
        pages = min(pages, EARLY)
    if burst:
        pages = max(pages, BURST)
    count = ceil((oldest - low) / pace / (SLACK * pages - (SLACK - 1)))
    count = min(count, 2 if burst else MANY if count < UNLIKELY else FEW)
    return tuple(oldest - pace * pages * number for number in range(1, count))


def _leaps(oldest: int, pace: int, *, near: bool) -> tuple[int, ...]:
    """Of a window that may reach back to the beginning: each leaps further than the one before.

    What is made at the pace of an account that lives for years is likely to go on for as long: it is cut at once into
    about as many windows as 100 requests/s keep busy where an answer takes 0.3 s. Of what is sparser or denser, that
    takes more evidence. near: the pages above it were full.
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
