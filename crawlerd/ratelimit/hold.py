"""What keeps a request from starting, and constants of all limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from crawlerd.core.reasons import Reason

EFFICIENCY = 0.985  # share of a limit that is used at most; the rest absorbs network jitter
PACED_WINDOW = 60  # seconds; a longer window is a quota: it may be used up as fast as the shorter windows permit


class Permitted(NamedTuple):
    """The requests that limits permit.

    rate: requests per second; infinity without limits, 0 while no request may start for another reason.
    stored: requests that may start at once after a quiet time.
    """

    rate: float
    stored: float = 0.0


class Hold(NamedTuple):
    """What keeps a request from starting: the reason, a text, and until when (monotonic seconds; infinity when that is
    unknown)."""

    reason: Reason
    text: str
    until: float
