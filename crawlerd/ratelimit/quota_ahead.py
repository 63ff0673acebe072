"""When starts will fit into a quota of which a part is used. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.ratelimit.quota import KEPT

if TYPE_CHECKING:
    from collections.abc import Sequence


def seconds_until(charges: Sequence[tuple[float, int]], amount: int, expiry: float, starts: int, now: float) -> float:
    """After how many seconds the last of `starts` fits into a moving window, when each starts as soon as it fits.

    charges: (Unix time, count) of what is charged to it, the oldest first.
    amount: starts that the window of `expiry` seconds permits. now: Unix seconds.
    """
    if starts <= 0:
        return 0.0
    kept = expiry * KEPT
    lasting = [(at, count) for at, count in charges if at > now - kept and count > 0]
    # Once all of the window has been used, its places come free in the same order, a window later each time.
    rounds, left = divmod(starts - 1, amount)
    used = sum(count for _, count in lasting)
    over = used - amount  # of a quota that was lowered: these places do not come back
    left -= max(0, amount - used)
    if left < 0:
        return rounds * kept
    for at, count in lasting:
        left, over = left - max(0, count - max(0, over)), over - count
        if left < 0:
            return at + kept - now + rounds * kept
    return (rounds + 1) * kept
