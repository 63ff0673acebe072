"""Limits that people have lowered for a time. They apply in addition to the configured ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from limits.strategies import MovingWindowRateLimiter

from crawlerd.core.reasons import Reason
from crawlerd.ratelimit.adaptive import LATENESS
from crawlerd.ratelimit.hold import EFFICIENCY, PACED_WINDOW, Hold
from crawlerd.ratelimit.quota import QUOTA_WINDOW, Quota

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from limits import RateLimitItem

    from crawlerd.core.lowered import LimitNote
    from crawlerd.ratelimit.quota import Ask
    from crawlerd.ratelimit.window import Stamp, StartLog


class LoweredLimits:
    """The lowered limits of one account or bucket. Times are monotonic seconds. Used by the dispatcher's thread only,
    as part of a `Limiter`.

    Like configured limits, windows up to a minute are paced, and windows of a minute or longer outlast a restart. A
    request that counts as more than a window permits takes the whole window.

    notes: who has lowered them, and why.
    quiet_since: requests before this time are unknown: any number may have been sent.
    """

    __slots__ = ("_ask", "_log", "_next", "_quotas", "_rate", "_strategy", "_windows", "key", "notes")

    def __init__(
        self,
        key: str,
        limits: Iterable[RateLimitItem],
        log: StartLog,
        ask: Callable[[Ask], None],
        *,
        notes: Sequence[LimitNote],
        quiet_since: float = -math.inf,
    ) -> None:
        self.key, self.notes = key, notes
        items = list(limits)
        self._windows = [(item, item.key_for(key)) for item in items if item.get_expiry() < QUOTA_WINDOW]
        self._quotas = [Quota(item, key) for item in items if item.get_expiry() >= QUOTA_WINDOW]
        self._log, self._ask, self._strategy = log, ask, MovingWindowRateLimiter(log)
        rates = [EFFICIENCY * item.amount / item.get_expiry() for item in items if item.get_expiry() <= PACED_WINDOW]
        self._rate = min(rates, default=math.inf)
        self._next = quiet_since + 1 / self._rate + 2 * LATENESS if rates else -math.inf

    def free_at(self, now: float, cost: int) -> float:
        """When the next request may start; infinity while the store is asked for a grant."""
        at = self._next
        for item, key in self._windows:
            at = max(at, self._log.free_at(key, item.amount, item.get_expiry(), min(cost, item.amount)))
        if at <= now:
            for quota in self._quotas:
                at = max(at, quota.free_at(now, min(cost, quota.item.amount), self._ask))
        return at

    def permits(self, now: float) -> float:
        """Requests per second; see `Limiter.permits`."""
        return 0.0 if any(quota.used_up(now) > now for quota in self._quotas) else self._rate / EFFICIENCY

    def holds(self, now: float, cost: int) -> list[Hold]:
        """What keeps the next request from starting now. Does not ask for a grant."""
        times = [self._next]
        for item, key in self._windows:
            times.append(self._log.free_at(key, item.amount, item.get_expiry(), min(cost, item.amount)))
        times += [quota.used_up(now) for quota in self._quotas]
        return [Hold(Reason.LIMIT, "; ".join(note.text for note in self.notes), max(times))]

    def start(self, stamp: Stamp, cost: int) -> None:
        """Charges a start that `free_at` has permitted."""
        for item, _ in self._windows:
            if not self._strategy.hit(item, self.key, cost=min(cost, item.amount)):
                raise AssertionError(f"{item} of {self.key} was free and is not")
        for quota in self._quotas:
            counted = min(cost, quota.item.amount)
            stamp.quotas.append(quota.giving_back(counted, self._ask))
            quota.start(counted)
        due = self._next if stamp.at <= self._next + LATENESS else stamp.at
        self._next = due + cost / self._rate

    def quiet_at(self) -> float:
        """When all counted starts will have left the windows, if no other request starts."""
        free = [self._log.free_at(key, item.amount, item.get_expiry(), item.amount) for item, key in self._windows]
        return max([self._next, *free])

    def give_back(self) -> None:
        """Gives back granted starts that will not happen."""
        for quota in self._quotas:
            quota.give_back(self._ask)

    def forget(self) -> None:
        """Call when it is dropped."""
        self.give_back()
        for _, key in self._windows:
            self._log.clear(key)
