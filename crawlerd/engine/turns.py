"""The order in which accounts are served: by virtual time, for fair shares; some wait for a limit."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.engine.queues import AccountQueue


class Turns:
    """Two heaps: accounts that may start a task now, and accounts that wait. Each account has one valid entry; entries
    with an older version are ignored."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, int, AccountQueue]] = []
        self._runnable: list[tuple[float, int, int, AccountQueue]] = []
        self._turn = 0.0
        self._ties = 0

    def place(self, account: AccountQueue, at: float, now: float) -> None:
        """Gives the account a new place. at: when its next task may start; infinity when none may."""
        account.version += 1
        if at == math.inf:
            return
        self._ties += 1
        if at <= now:
            account.turn = max(account.turn, self._turn)
            heappush(self._runnable, (account.turn, self._ties, account.version, account))
        else:
            heappush(self._waiting, (at, self._ties, account.version, account))

    def due(self, now: float) -> Iterator[AccountQueue]:
        """Takes out the accounts whose time has come. The caller must place each of them again."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, version, account = heappop(self._waiting)
            if version == account.version:
                yield account

    def next(self) -> AccountQueue | None:
        """Takes out the account whose turn it is. The caller must place it again."""
        while self._runnable:
            turn, _, version, account = heappop(self._runnable)
            if version == account.version:
                self._turn = turn
                return account
        return None

    def next_at(self) -> float:
        """When the first of the waiting accounts may start a task; infinity when none waits."""
        while self._waiting and self._waiting[0][2] != self._waiting[0][3].version:
            heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else math.inf
