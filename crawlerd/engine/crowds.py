"""Keeps one origin from getting all threads of the workers: it may hang, and tasks of other origins need threads."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.engine.protocols import Healths
    from crawlerd.engine.queues import AccountQueue
    from crawlerd.ratelimit.outage import Origin

UNBOUNDED = 1 << 30  # leases
SHARE = 0.8  # of the threads that hanging origins leave: as many as one origin may have, when there are others


class Crowds:
    """The accounts that wait because their origin has its share of the threads."""

    def __init__(self, outages: Healths) -> None:
        self._outages = outages
        self._waiting: dict[Origin, deque[AccountQueue]] = {}

    def spare(self, origin: Origin, threads: int) -> int:
        """How many more leases the origin's tasks may get. threads: how many all workers have."""
        if threads >= UNBOUNDED or not self._outages.several:
            return UNBOUNDED
        silent = self._outages.silent - (origin.out if origin in self._outages.hanging else 0)
        return max(0, max(1, int(SHARE * (threads - silent))) - origin.out)

    def wait(self, origin: Origin, account: AccountQueue) -> None:
        """Lets an account wait: all tasks that it could start are for this origin, which has its share."""
        if not account.crowded:
            account.crowded = True
            self._waiting.setdefault(origin, deque()).append(account)

    def relieve(self, threads: int) -> Iterator[AccountQueue]:
        """Yields the accounts that need not wait any more. threads: how many all workers have."""
        for origin in list(self._waiting):
            crowd = self._waiting[origin]
            for _ in range(min(len(crowd), self.spare(origin, threads))):
                account = crowd.popleft()
                account.crowded = False
                yield account
            if not crowd:
                del self._waiting[origin]
