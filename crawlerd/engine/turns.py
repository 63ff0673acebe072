"""Whose turn it is: accounts that may start something now, by their virtual time, and those that wait for a limit."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.engine.queues import AccountQueue


class Turns:
    """Two heaps. An account has one place; entries for earlier ones are void, as their version tells."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, int, AccountQueue]] = []
        self._runnable: list[tuple[float, int, int, AccountQueue]] = []
        self._turn = 0.0
        self._ties = 0

    def place(self, account: AccountQueue, at: float, now: float) -> None:
        """at: when it may start something; infinity when nothing of it may."""
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
        """Takes out those whose time has come; each is to be placed again."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, version, account = heappop(self._waiting)
            if version == account.version:
                yield account

    def next(self) -> AccountQueue | None:
        """Takes out the one whose turn it is; it is to be placed again."""
        while self._runnable:
            turn, _, version, account = heappop(self._runnable)
            if version == account.version:
                self._turn = turn
                return account
        return None

    def next_at(self) -> float:
        """When the first of those that wait may start something; infinity when none waits."""
        while self._waiting and self._waiting[0][2] != self._waiting[0][3].version:
            heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else math.inf
