"""Counts how many requests the limits would have permitted accounts with ready tasks: a metric compares this number
with the requests that were sent, and so shows how well the limits are used.

While an account has ready tasks, it earns permitted requests at the rate of its limits, and spends one with each
request. It keeps those that it has not spent, up to what may be sent at once. A request for which none is left was
permitted as well, for example by a burst that the API allows, or because tasks were ready between two looks: it is
counted as permitted, too. So the number of requests sent never exceeds the number permitted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from crawlerd.ratelimit.hold import Permitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.engine.attempt_counts import SourceCounts
    from crawlerd.engine.queues import AccountQueue, BucketQueue
    from crawlerd.engine.workbench import Workbench

SLICE = 64  # accounts that are looked at between two leases
SPARE_SECONDS = 5.0  # an account keeps at least the permitted requests of this time: answers come later than starts


class Permit:
    """The permitted requests of one account. Times are monotonic seconds."""

    __slots__ = ("_counts", "_left", "_looked_at")

    def __init__(self, counts: SourceCounts) -> None:
        self._counts = counts
        self._left = 0.0
        self._looked_at: float | None = None

    def sent(self) -> None:
        """A request was answered."""
        if self._left >= 1.0:
            self._left -= 1.0
        else:
            self._counts.permitted += 1.0 - self._left
            self._left = 0.0

    def look(self, permitted: Permitted, now: float) -> None:
        """Counts the requests permitted since the last look. permitted: what its limits have permitted meanwhile."""
        before, self._looked_at = self._looked_at, now
        if before is None or not permitted.rate:
            return
        earned = permitted.rate * (now - before)
        self._counts.permitted += earned
        self._left = min(self._left + earned, max(1.0, permitted.stored, permitted.rate * SPARE_SECONDS))


class Permitting:
    """Looks at the accounts in memory, a slice at a time. Used by the dispatcher's thread."""

    def __init__(self) -> None:
        self._left: list[int] = []

    def look(self, bench: Workbench, now: float) -> None:
        """Looks at a slice of the accounts. Call a few times a second."""
        if not self._left:
            self._left = [account.id for account in bench.accounts()]
        for number in self._left[-SLICE:]:
            if (account := bench.known(number)) is not None:
                account.permit.look(of_account(account, bench.cost, now), now)
        del self._left[-SLICE:]


def of_account(account: AccountQueue, cost: Callable[[BucketQueue], int], now: float) -> Permitted:
    """The requests that the limits of an account permit for its ready tasks. The rate is 0 when there are no limits, or
    no task may start. cost: how many requests a bucket's next task counts as."""
    if account.stopped or account.guard is not None:
        return Permitted(0.0)
    own, costs = account.limiter.permits(now), 1
    rate = stored = 0.0
    for bucket in account.buckets.values():
        if (
            bucket.held
            or not (bucket.next or bucket.more)
            or not (each := cost(bucket))
            or bucket.health.free_at(now) > now
        ):
            continue
        costs = max(costs, each)
        its = bucket.limiter.permits(now)
        rate, stored = rate + its.rate, stored + its.stored
    rate, stored = min(rate, own.rate), max(stored, own.stored)
    return Permitted(0.0) if rate == math.inf else Permitted(rate / costs, stored / costs)
