"""Quotas: limits with a window of a minute or longer. They are stored on disk, so that neither a restart nor a crash
leads to more requests than permitted.

The dispatcher never waits for the disk. The store charges some starts in advance, and grants them to the dispatcher.
Granted starts that do not happen are given back; after a crash, they stay charged.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from limits.storage import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from limits import RateLimitItem

QUOTA_WINDOW = 60  # seconds; a window of this length or longer outlasts a restart
GRANULARITY = 100  # grants in a window, so that a grant wastes a hundredth of it at most, in time and in lost starts
# Windows are kept longer than configured by this factor. A start may happen earlier than the time at which it is
# charged, by up to the validity of a grant; and the clocks of client and server differ.
KEPT = 1 + 1.5 / GRANULARITY


class Charges(Protocol):
    """The storage of charges, as (key, Unix time, count). Used inside a transaction of its owner."""

    def charged(self, key: str, since: float) -> Sequence[tuple[float, int]]:
        """The charges after `since`, as (time, count), the oldest first."""
        ...

    def charge(self, key: str, at: float, count: int) -> None:
        """Adds `count`, which is negative to give starts back, to the charge at exactly this time."""
        ...

    def forget(self, key: str, before: float) -> None: ...

    def keys(self, beginning: str) -> Sequence[str]:
        """The keys with charges that begin with `beginning`."""
        ...


class DurableWindows(Storage, MovingWindowSupport):
    """A storage for the library `limits` with its charges in `rows`. Set `now` (Unix seconds) before each use."""

    STORAGE_SCHEME = ["crawlerd-durable"]  # noqa: RUF012 - read by `limits`, which wants a plain list

    def __init__(self, rows: Charges) -> None:
        super().__init__()
        self.now = 0.0
        self._rows = rows

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        if self.get_moving_window(key, limit, expiry)[1] + amount > limit:
            return False
        self._rows.forget(key, self.now - expiry * KEPT)
        self._rows.charge(key, self.now, amount)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        charges = self._rows.charged(key, self.now - expiry * KEPT)
        return (charges[0][0] if charges else self.now), sum(count for _, count in charges)

    def give_back(self, key: str, at: float, count: int) -> None:
        """Takes back a part of the charge at exactly this time."""
        self._rows.charge(key, at, -count)

    def inherit(self, key: str, expiry: float) -> None:
        """After a change of the limit: takes over the charges of an earlier limit of the same owner and window. Takes
        those of the limit with the most charges, which may be this one."""
        owner, _, multiples, unit = key.rsplit("/", 3)
        since = self.now - expiry * KEPT
        most, found = sum(count for _, count in self._rows.charged(key, since)), None
        for other in self._rows.keys(f"{owner}/"):
            parts = other.rsplit("/", 3)
            if other != key and (parts[0], parts[2:]) == (owner, [multiples, unit]):
                charges = self._rows.charged(other, since)
                if (count := sum(count for _, count in charges)) > most:
                    most, found = count, charges
        if found is not None:
            self.clear(key)
            for at, count in found:
                self._rows.charge(key, at, count)

    def free_at(self, key: str, limit: int, expiry: int, amount: int) -> float:
        """The Unix time from which `amount` more starts fit into the window."""
        charges = self._rows.charged(key, self.now - expiry * KEPT)
        free, surplus = self.now, sum(count for _, count in charges) + amount - limit
        for at, count in charges:
            if surplus > 0:
                surplus, free = surplus - count, at + expiry * KEPT
        return free

    def clear(self, key: str) -> None:
        self._rows.forget(key, float("inf"))

    def check(self) -> bool:
        return True

    @property
    def base_exceptions(self) -> type[Exception]:
        return RuntimeError

    # `limits` requires these counters of every storage, though moving windows do not use them.

    def get(self, key: str) -> int:
        return sum(count for _, count in self._rows.charged(key, 0.0))

    def get_expiry(self, key: str) -> float:
        return self.now

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise TypeError("DurableWindows keeps moving windows only")

    def reset(self) -> int | None:
        raise TypeError("quotas are not reset")


class Ask(NamedTuple):
    """A request for at least `cost` starts of a quota; 0 only gives starts back.

    unused: starts of the last grant to give back.
    first: it is the first request since the quota was made or changed.
    """

    quota: Allowance
    cost: int
    unused: int
    charged_at: float
    first: bool = False


class Window(NamedTuple):
    """The quota that a key stands for.

    account, bucket: their numbers; `bucket` is 0 for a quota of the whole account.
    """

    account: int
    bucket: int
    amount: int
    multiples: int
    unit: str

    @property
    def text(self) -> str:
        """The quota in the notation of the configuration."""
        return f"{self.amount}/{self.unit}" if self.multiples == 1 else f"{self.amount}/{self.multiples} {self.unit}s"


def window_of(key: str) -> Window | None:
    """The quota of a key of `Charges`; None for a limit that people have lowered for a time."""
    _, _, rest = key.partition("/")
    owner, *window = rest.rsplit("/", 3)
    account, _, bucket = owner.partition("/")
    if not account.isdecimal() or (bucket and not bucket.isdecimal()) or len(window) != 3:
        return None
    amount, multiples, unit = window
    return Window(int(account), int(bucket or 0), int(amount), int(multiples), unit)


class Grant(NamedTuple):
    """The answer to an `Ask`.

    starts: how many starts are granted.
    until: use them before this time; if there are none, none will be free before it. Unix seconds.
    used: how much of the quota is used then.
    """

    quota: Allowance
    starts: int
    until: float
    used: int = 0


class Allowance(Protocol):
    """Starts that the keeper of a window (the store, or Redis) grants to the dispatcher, which cannot wait for them."""

    @property
    def account(self) -> int:
        """The number of its account."""
        ...

    def receive(self, grant: Grant, until: float) -> None:
        """The keeper's answer. until: that of the grant, in monotonic seconds."""
        ...


class Quota:
    """The dispatcher's side of a quota: the starts it was granted. Monotonic seconds, except for charged_at."""

    __slots__ = ("_asked", "_charged_at", "_first", "_left", "_until", "_used", "item", "key")

    def __init__(self, item: RateLimitItem, key: str) -> None:
        self.item, self.key = item, key
        self._left = 0
        self._until = 0.0
        self._charged_at = 0.0
        self._asked = False
        self._first = True
        self._used = 0

    @property
    def account(self) -> int:
        return int(self.key.partition("/")[0])

    @property
    def bucket(self) -> int:
        """The number of its bucket; 0 for a quota of the whole account."""
        part = self.key.split("/")[1:2]
        return int(part[0]) if part and part[0].isdecimal() else 0

    @property
    def validity(self) -> float:
        """For how many seconds a grant may be used."""
        return float(self.item.get_expiry()) / GRANULARITY

    def free_at(self, now: float, cost: int, ask: Callable[[Ask], None]) -> float:
        """When `cost` starts may happen; infinity while the store is asked for a grant."""
        if self._left >= cost and now < self._until:
            return 0.0
        if self._left == 0 and now < self._until:
            return self._until  # the last grant had no starts
        if not self._asked:
            self._asked = True
            ask(self._settled(cost))
        return math.inf

    def used_up(self, now: float) -> float:
        """Until when the quota is used up; 0 when it is not, or that is unknown."""
        return self._until if self._left == 0 and now < self._until else 0.0

    def used_text(self) -> str:
        """A text for people while the quota is used up."""
        return used_text(self.item, self._used)

    def start(self, cost: int) -> None:
        self._left -= cost
        if not self._left:
            self._until = 0.0

    def giving_back(self, cost: int, ask: Callable[[Ask], None]) -> Callable[[float], None]:
        """A function that gives back the start that is about to be charged; call this before `start`. The function
        takes a monotonic time."""
        charged_at = self._charged_at

        def give_back(now: float) -> None:
            if charged_at == self._charged_at and now < self._until:
                self._left += cost  # the grant is still in use
            else:
                ask(Ask(self, 0, cost, charged_at))

        return give_back

    def receive(self, grant: Grant, until: float) -> None:
        """The store's answer. until: that of the grant, in monotonic seconds."""
        self._asked = False
        self._left, self._until, self._charged_at = grant.starts, until, grant.until
        self._used = grant.used

    def give_back(self, ask: Callable[[Ask], None]) -> None:
        """Gives back the starts that will not be used."""
        if self._left:
            ask(self._settled(0))

    def _settled(self, cost: int) -> Ask:
        unused, self._left = self._left, 0
        first, self._first = self._first, False
        return Ask(self, cost, unused, self._charged_at, first)


def used_text(item: RateLimitItem, used: int) -> str:
    """A text such as "400 of 400 requests of the day are used"."""
    name, many = item.GRANULARITY.name, item.multiples
    window = f"the {name}" if many == 1 else f"{many} {name}s"
    return (
        f"{used:,} of {item.amount:,} request{'s' * (item.amount != 1)} of {window} {'is' if used == 1 else 'are'} used"
    )


def grant(windows: DurableWindows, ask: Ask, now: float) -> Grant | None:
    """Charges the starts of one grant, dated at the last moment at which they may be used.

    Call it inside a transaction, which makes the charge durable before any of the starts happens. Returns None when no
    starts were asked for.
    """
    quota = ask.quota
    assert isinstance(quota, Quota)  # noqa: S101 - shared windows are asked for elsewhere
    item, key = quota.item, quota.item.key_for(quota.key)
    if ask.unused:
        windows.give_back(key, ask.charged_at, ask.unused)
    if not ask.cost:
        return None
    windows.now = now + quota.validity
    if ask.first:
        windows.inherit(key, item.get_expiry())
    _, used = windows.get_moving_window(key, item.amount, item.get_expiry())
    count = min(max(ask.cost, -(-item.amount // GRANULARITY)), item.amount - used)
    if count < ask.cost:
        free_at = windows.free_at(key, item.amount, item.get_expiry(), ask.cost)
        return Grant(quota, 0, free_at - quota.validity, used)
    if not MovingWindowRateLimiter(windows).hit(item, quota.key, cost=count):
        raise AssertionError(f"{item} of {quota.key} had room and has not")
    return Grant(quota, count, windows.now)
