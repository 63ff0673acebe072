"""What keeps a request from starting; and how a limit is kept to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from crawlerd.core.reasons import Reason

EFFICIENCY = 0.985  # of a limit, at most: what is left absorbs network jitter between our clock and the server's
PACED_WINDOW = 60  # seconds; a longer window is a quota: it caps, and may be used up as fast as the shorter ones permit


class Permitted(NamedTuple):
    """What limits let start.

    rate: requests per second; infinity where nothing limits it, 0 while nothing may start for another reason.
    stored: requests that may start at once after a quiet time.
    """

    rate: float
    stored: float = 0.0


class Hold(NamedTuple):
    """What keeps a request from starting, in words, and until when (monotonic seconds; infinity when that is not
    known)."""

    reason: Reason
    text: str
    until: float
