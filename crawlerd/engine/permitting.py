"""How many requests the limits would have let accounts with ready work send: what the sent ones are compared with.

An account with ready work earns what its limits permit in the time that passes, and spends it with each request. What
it has not spent it keeps, up to what may be sent at once. A request for which nothing is left was permitted as well: by
a store of the API's, by no limit at all, or because there was work between two looks. So no more is ever sent than
counts as permitted, and over time the requests are the share of the limits that was used.
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
SPARE_SECONDS = 5.0  # of requests that are kept at least: answers come later than requests were permitted


class Permit:
    """Of one account; monotonic seconds."""

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
        """permitted: by its limits, since the last look."""
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
        """Call a few times a second."""
        if not self._left:
            self._left = [account.id for account in bench.accounts()]
        for number in self._left[-SLICE:]:
            if (account := bench.known(number)) is not None:
                account.permit.look(of_account(account, bench.cost, now), now)
        del self._left[-SLICE:]


def of_account(account: AccountQueue, cost: Callable[[BucketQueue], int], now: float) -> Permitted:
    """What the limits of an account permit for its ready work; no rate where none holds, or nothing may start. cost: of
    a bucket's next task."""
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
