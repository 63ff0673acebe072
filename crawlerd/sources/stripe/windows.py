"""Where a long list is cut into windows of `created` that are read side by side. Pure."""

from __future__ import annotations

from typing import NamedTuple

PIECE = 20  # pages that a window is meant to hold: each has a last page that is not full, and may turn out to be empty
LATE = 30  # pages after which the windows of an even list have ended: what is left then is cut finer
LATE_PIECE = 6  # pages
BEGINNING = 1_293_840_000  # 2011-01-01T00:00:00Z: Stripe has nothing older
YEAR = 31_536_000  # seconds; a list that is not expected to fill a window within it is read page by page


class Cut(NamedTuple):
    """Below the second `at` lies a window of its own. reach: of that window, see `cut`."""

    at: int
    reach: int


def cut(*, low: int | None, top: int | None, newest: int, oldest: int, reach: int, age: int) -> Cut | None:
    """Where to cut what is left of a window behind a full page; None: go on page by page.

    low: its first second, None where nothing is known of where the list ends. top: what its last second was before this
    page, None within it. newest, oldest: seconds of the page's ends. reach: pieces to leap over where the end is not
    known; each leap that lands leaps twice as far next time, so that n pages take log n leaps and one miss. age: pages
    since the list began, along this line.

    A page tells how dense the list is there, and objects may lie otherwise further down. So a window is halved, and
    each half judged again by a page of its own: where a gap is in the way, the lower half's first page jumps over it.
    """
    piece = (PIECE if age < LATE else LATE_PIECE) * max(1, newest - oldest)
    if low is not None:
        left = oldest - low
        return Cut(oldest - left // 2, 1) if 2 * left > 3 * piece else None
    if top is not None and top - newest > piece:  # it landed beyond a gap: nothing is known of how far this part goes
        reach = 1
    at = oldest - reach * piece
    return Cut(at, 2 * reach) if piece <= YEAR and at > BEGINNING else None
