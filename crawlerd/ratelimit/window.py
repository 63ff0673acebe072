"""A storage for the library `limits` that knows when each request reached the server, not only when it started."""

from __future__ import annotations

import math
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from limits.storage import MovingWindowSupport, Storage

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.ratelimit.adaptive import AdaptiveLaw, Sent
    from crawlerd.ratelimit.limiter import Limiter

MARGIN = 1.005  # windows are longer than configured by this factor, since the clocks of client and server differ


class Stamp:
    """One start. The same stamp is in the windows of all limits that the start was charged to, so that a correction
    reaches all of them.

    at: when the server received the request, as far as is known by now; monotonic seconds.
    numbers: the number of the start, as each of its limiters counts.
    marks: values that the adaptive laws of its limits need again with its answer.
    quotas: functions that give its charge of each quota back; each takes a monotonic time.
    """

    __slots__ = ("at", "marks", "numbers", "quotas")

    def __init__(self, at: float) -> None:
        self.at = at
        self.marks: list[tuple[AdaptiveLaw, Sent]] = []
        self.numbers: dict[Limiter, int] = {}
        self.quotas: list[Callable[[float], None]] = []

    def unsent(self, now: float) -> None:
        """Its request was never sent: quotas do not count it. Windows of less than a minute still do; they end soon."""
        for give_back in self.quotas:
            give_back(now)
        self.quotas = []


class StartLog(Storage, MovingWindowSupport):
    """Moving windows over the last `limit` starts of each key. Takes O(1) for each start, and keeps `limit` stamps for
    each key. Used by one thread.

    The time comes from `stamp`, the start in question, and not from a clock that may jump. The stamps of a window are
    used in the order of their starts. If corrections have changed their order, this is on the safe side.
    """

    STORAGE_SCHEME = ["crawlerd"]  # noqa: RUF012 - read by `limits`, which wants a plain list

    def __init__(self) -> None:
        super().__init__()
        self.stamp = Stamp(0.0)
        self._starts: dict[str, deque[Stamp]] = {}

    def free_at(self, key: str, limit: int, expiry: float, amount: int = 1) -> float:
        """The monotonic time from which `amount` more starts fit into the window; infinity when they never fit."""
        if amount > limit:
            return math.inf
        starts = self._starts.get(key, ())
        surplus = len(starts) + amount - limit
        if surplus <= 0:
            return 0.0
        return max(stamp.at for stamp in islice(starts, surplus)) + expiry * MARGIN

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        if self.free_at(key, limit, expiry, amount) > self.stamp.at:
            return False
        starts = self._starts.get(key)
        if starts is None:
            starts = self._starts[key] = deque(maxlen=limit)
        starts.extend([self.stamp] * amount)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        opened = self.stamp.at - expiry * MARGIN
        within = [stamp.at for stamp in self._starts.get(key, ()) if stamp.at > opened]
        return (within[0] if within else self.stamp.at), len(within)

    def copy(self, key: str, to: str, limit: int) -> None:
        """Copies the newest starts of a key into the window of another key, which has `limit` starts."""
        if (starts := self._starts.get(key)) is not None and to not in self._starts:
            self._starts[to] = deque(starts, maxlen=limit)

    def clear(self, key: str) -> None:
        self._starts.pop(key, None)

    def reset(self) -> int | None:
        count = len(self._starts)
        self._starts.clear()
        return count

    def check(self) -> bool:
        return True

    @property
    def base_exceptions(self) -> type[Exception]:
        return RuntimeError

    # `limits` requires these counters of every storage, though moving windows do not use them.

    def get(self, key: str) -> int:
        return len(self._starts.get(key, ()))

    def get_expiry(self, key: str) -> float:
        starts = self._starts.get(key)
        return starts[0].at if starts else self.stamp.at

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise TypeError("StartLog keeps moving windows only")
