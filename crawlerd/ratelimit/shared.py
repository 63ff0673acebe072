"""Limits that are shared with other programs and daemons: windows in Redis, used by a thread of their own.

The keys are those of the library `limits`. A program whose `MovingWindowRateLimiter` calls
`hit(parse("25/second"), "acme")` uses the window of the account `acme`; that of its bucket `charges` has the names
`"acme", "charges"`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING
from urllib.parse import unquote

from limits import RateLimitItem
from limits.storage import MovingWindowSupport, Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from crawlerd.core.errors import ConfigurationError
from crawlerd.core.log_events import Event, tell
from crawlerd.core.redaction import Redaction, printable
from crawlerd.ratelimit.quota import Ask, Grant
from crawlerd.ratelimit.window import MARGIN

if TYPE_CHECKING:
    from collections.abc import Callable

GRANT_SECONDS = 1.0  # a granted start must be used within this time; it cannot be given back
JITTER_SECONDS = 0.010  # windows are longer by this, since programs are at different distances from the server
TROUBLE_SECONDS = 1.0  # between two tries while Redis does not answer


Keys = Sequence[tuple[RateLimitItem, Sequence[str]]]


class SharedWindow:
    """The dispatcher's side, one for each account. A start is asked for when it is due. It is counted in the windows of
    the account and the bucket, after all of them were tested, and then happens at once. Times are monotonic seconds."""

    __slots__ = ("_ask", "_asked", "_bucket", "_granted", "_until", "account", "keys")

    def __init__(self, account: int, ask: Callable[[Ask], None]) -> None:
        self.account, self._ask = account, ask
        self.keys: Keys = ()
        self._bucket: int | None = None
        self._asked = False
        self._granted = 0
        self._until = 0.0

    def free_at(self, now: float) -> float:
        """When to ask, or to start; infinity while an answer is on its way."""
        if self._asked:
            return math.inf
        return 0.0 if self._granted else self._until

    def granted_to(self, now: float) -> int | None:
        """The number of the bucket whose start was granted, 0 for the account's guard; None without a grant."""
        return self._bucket if self._granted and now < self._until else None

    def ask(self, bucket: int, keys: Keys, cost: int) -> None:
        """Asks for a start. keys: all windows in which it counts, as (limit, names of its key)."""
        self._bucket, self.keys, self._asked, self._granted = bucket, keys, True, 0
        self._ask(Ask(self, cost, 0, 0.0))

    def start(self) -> None:
        self._granted, self._until = 0, 0.0

    def receive(self, grant: Grant, until: float) -> None:
        self._asked, self._granted, self._until = False, grant.starts, until


class SharedLimits:
    """The thread that asks Redis. The constructor raises ConfigurationError when the storage's address or its client
    library is not usable.

    now: returns Unix seconds.
    reply: called with grants, on that thread.
    """

    def __init__(self, uri: str, *, now: Callable[[], float], reply: Callable[[Sequence[Grant]], None]) -> None:
        password = unquote(uri.partition("://")[2].rpartition("@")[0].partition(":")[2])
        self._known = Redaction([password])
        try:
            storage = storage_from_string(uri)
        except Exception as error:  # noqa: BLE001 - `limits` raises many types, also when redis is not installed
            why = self._without_password(error)
            raise ConfigurationError([f"daemon.limiter_storage: cannot be used: {why}"]) from None
        if not isinstance(storage, Storage) or not isinstance(storage, MovingWindowSupport):
            raise ConfigurationError(["daemon.limiter_storage: keeps no moving windows; use redis://host:port/0"])
        self._storage: MovingWindowSupport = storage
        self._strategy = MovingWindowRateLimiter(storage)
        self._now, self._reply = now, reply
        self._inbox: SimpleQueue[Ask | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shared-limits")
        self.trouble: str | None = None

    def _without_password(self, error: Exception) -> str:
        return printable(self._known.text(str(error)))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._inbox.put(None)
        self._thread.join()

    def ask(self, ask: Ask) -> None:
        """Asks for starts. From any thread."""
        self._inbox.put(ask)

    def _run(self) -> None:
        while (ask := self._inbox.get()) is not None:
            try:
                grant = self._grant(ask)
                if self.trouble:
                    tell(Event.SHARED_LIMITS_RELEASED, "recovered: %s", self.trouble, error=self.trouble)
                    self.trouble = None
            except Exception as error:  # noqa: BLE001 - top of a thread: after any error, no request may start
                if self.trouble is None:
                    self.trouble = f"the shared limiter does not answer: {self._without_password(error)}"
                    text = "%s; nothing that it limits starts until it does"
                    tell(Event.SHARED_LIMITS_HELD, text, self.trouble, error=self.trouble)
                grant = Grant(ask.quota, 0, self._now() + TROUBLE_SECONDS)
            self._reply([grant])

    def _grant(self, ask: Ask) -> Grant:
        """Tests all windows, then counts the start in all of them. When one is full, says when its oldest start leaves
        it."""
        window = ask.quota
        assert isinstance(window, SharedWindow)  # noqa: S101 - quotas are asked for elsewhere
        free_at = 0.0
        for item, names in window.keys:
            seconds = item.get_expiry() * MARGIN + JITTER_SECONDS
            opened, count = self._storage.get_moving_window(
                item.key_for(*names),
                item.amount,
                seconds,  # type: ignore[arg-type] # not an integer because of the margin; any number works here
            )
            if count + ask.cost > item.amount:
                free_at = max(free_at, opened + seconds)
        if free_at:
            return Grant(window, 0, max(self._now() + 0.001, free_at - time.time() + self._now()))
        shortest_first = sorted(window.keys, key=lambda each: each[0].get_expiry())  # a lost race costs the least there
        if not all(self._strategy.hit(item, *names, cost=ask.cost) for item, names in shortest_first):
            return Grant(window, 0, self._now() + JITTER_SECONDS)  # another program was faster
        return Grant(window, ask.cost, self._now() + GRANT_SECONDS)
