"""When starts will fit into a quota that is partly used. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.ratelimit.quota import KEPT

if TYPE_CHECKING:
    from collections.abc import Sequence


def seconds_until(charges: Sequence[tuple[float, int]], amount: int, expiry: float, starts: int, now: float) -> float:
    """After how many seconds the last of `starts` fits into a moving window, if each starts as soon as it fits.

    charges: the charges of the window, as (Unix time, count), the oldest first.
    amount: how many starts the window of `expiry` seconds permits.
    now: Unix seconds.
    """
    if starts <= 0:
        return 0.0
    kept = expiry * KEPT
    lasting = [(at, count) for at, count in charges if at > now - kept and count > 0]
    # When the whole window has been used, its places become free in the same order, one window later each time.
    rounds, left = divmod(starts - 1, amount)
    used = sum(count for _, count in lasting)
    over = used - amount  # more than 0 if the quota was lowered: these places do not become free again
    left -= max(0, amount - used)
    if left < 0:
        return rounds * kept
    for at, count in lasting:
        left, over = left - max(0, count - max(0, over)), over - count
        if left < 0:
            return at + kept - now + rounds * kept
    return (rounds + 1) * kept
