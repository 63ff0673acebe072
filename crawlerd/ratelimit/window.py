"""A storage for `limits` that knows when each request reached the server, not only when it was let go."""

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

MARGIN = 1.005  # windows are kept this much longer than asked for: clocks of client and server tick apart


class Stamp:
    """One start.

    at: monotonic time at which the server had it, as far as is known by now.

    numbers: of the start, as each of its limiters counts them.
    A stamp lies in the windows of every limit that its start was charged to, so that a correction reaches all.
    marks: what the adaptive laws of its limits want to have back with its answer.
    quotas: what gives back its charge of each quota, at a monotonic time.
    """

    __slots__ = ("at", "marks", "numbers", "quotas")

    def __init__(self, at: float) -> None:
        self.at = at
        self.marks: list[tuple[AdaptiveLaw, Sent]] = []
        self.numbers: dict[Limiter, int] = {}
        self.quotas: list[Callable[[float], None]] = []

    def unsent(self, now: float) -> None:
        """Its request never left: no quota counts it. Windows of less than a minute do, since they are soon over."""
        for give_back in self.quotas:
            give_back(now)
        self.quotas = []


class StartLog(Storage, MovingWindowSupport):
    """Moving windows over the last `limit` starts of each key. O(1) a start, `limit` stamps a key; used by one thread.

    Time comes with `stamp`, the start under consideration, so a clock that jumps moves nothing. A window is judged by
    its stamps in the order of their starts, which errs on the safe side when corrections have put them out of order.
    """

    STORAGE_SCHEME = ["crawlerd"]  # noqa: RUF012 - read by `limits`, which wants a plain list

    def __init__(self) -> None:
        super().__init__()
        self.stamp = Stamp(0.0)
        self._starts: dict[str, deque[Stamp]] = {}

    def free_at(self, key: str, limit: int, expiry: float, amount: int = 1) -> float:
        """Monotonic time from which `amount` more starts fit into the window; infinity when they never do."""
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
        """The newest starts of a key count in the window of another one, of `limit` starts, as well."""
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

    # `limits` also asks every storage for plain counters, which moving windows do not use.

    def get(self, key: str) -> int:
        return len(self._starts.get(key, ()))

    def get_expiry(self, key: str) -> float:
        starts = self._starts.get(key)
        return starts[0].at if starts else self.stamp.at

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise TypeError("StartLog keeps moving windows only")
