"""Limits that other programs and other daemons share: windows in Redis, asked for by a thread of their own.

The keys are those of `limits` itself: a program whose `MovingWindowRateLimiter` does `hit(parse("25/second"), "acme")`
counts into the window of the account `acme`; that of its bucket `charges` is `"acme", "charges"`.
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

GRANT_SECONDS = 1.0  # a granted start that was not used by then is lost: nobody can take it back
JITTER_SECONDS = 0.010  # that a window is kept longer for, since programs start at different distances from the server
TROUBLE_SECONDS = 1.0  # between tries while Redis does not answer


Keys = Sequence[tuple[RateLimitItem, Sequence[str]]]


class SharedWindow:
    """The dispatcher's side, one an account: a start is asked for when it is due, counted into all its windows (the
    account's and the bucket's; all are tested before any is hit), and happens at once. Monotonic seconds."""

    __slots__ = ("_ask", "_asked", "_bucket", "_granted", "_until", "account", "keys")

    def __init__(self, account: int, ask: Callable[[Ask], None]) -> None:
        self.account, self._ask = account, ask
        self.keys: Keys = ()
        self._bucket: int | None = None
        self._asked = False
        self._granted = 0
        self._until = 0.0

    def free_at(self, now: float) -> float:
        """When it is worth asking, or starting; infinity while the answer is on its way."""
        if self._asked:
            return math.inf
        return 0.0 if self._granted else self._until

    def granted_to(self, now: float) -> int | None:
        """The bucket whose start was granted, 0 for the account's guard; None when none was."""
        return self._bucket if self._granted and now < self._until else None

    def ask(self, bucket: int, keys: Keys, cost: int) -> None:
        """Asks for a start; keys: (limit, names of its key) of all windows that it counts into."""
        self._bucket, self.keys, self._asked, self._granted = bucket, keys, True, 0
        self._ask(Ask(self, cost, 0, 0.0))

    def start(self) -> None:
        self._granted, self._until = 0, 0.0

    def receive(self, grant: Grant, until: float) -> None:
        self._asked, self._granted, self._until = False, grant.starts, until


class SharedLimits:
    """The thread that asks Redis.

    now: Unix seconds.
    reply: gets the grants; called on that thread.
    ConfigurationError when the storage's address or its client library is unusable.
    """

    def __init__(self, uri: str, *, now: Callable[[], float], reply: Callable[[Sequence[Grant]], None]) -> None:
        password = unquote(uri.partition("://")[2].rpartition("@")[0].partition(":")[2])
        self._known = Redaction([password])
        try:
            storage = storage_from_string(uri)
        except Exception as error:  # noqa: BLE001 - `limits` raises its own, and redis' when that is not installed
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
        """May be called from any thread."""
        self._inbox.put(ask)

    def _run(self) -> None:
        while (ask := self._inbox.get()) is not None:
            try:
                grant = self._grant(ask)
                if self.trouble:
                    tell(Event.SHARED_LIMITS_RELEASED, "recovered: %s", self.trouble, error=self.trouble)
                    self.trouble = None
            except Exception as error:  # noqa: BLE001 - top of a thread: whatever it is, nothing may start without an answer
                if self.trouble is None:
                    self.trouble = f"the shared limiter does not answer: {self._without_password(error)}"
                    text = "%s; nothing that it limits starts until it does"
                    tell(Event.SHARED_LIMITS_HELD, text, self.trouble, error=self.trouble)
                grant = Grant(ask.quota, 0, self._now() + TROUBLE_SECONDS)
            self._reply([grant])

    def _grant(self, ask: Ask) -> Grant:
        """Tests all windows, then hits all; when one is full, says when its oldest start leaves it."""
        window = ask.quota
        assert isinstance(window, SharedWindow)  # noqa: S101 - quotas are asked for elsewhere
        free_at = 0.0
        for item, names in window.keys:
            seconds = item.get_expiry() * MARGIN + JITTER_SECONDS
            opened, count = self._storage.get_moving_window(
                item.key_for(*names),
                item.amount,
                seconds,  # type: ignore[arg-type] # a margin is no whole number; any number will do here
            )
            if count + ask.cost > item.amount:
                free_at = max(free_at, opened + seconds)
        if free_at:
            return Grant(window, 0, max(self._now() + 0.001, free_at - time.time() + self._now()))
        shortest_first = sorted(window.keys, key=lambda each: each[0].get_expiry())  # those are lost in a race, if any
        if not all(self._strategy.hit(item, *names, cost=ask.cost) for item, names in shortest_first):
            return Grant(window, 0, self._now() + JITTER_SECONDS)  # another program was quicker
        return Grant(window, ask.cost, self._now() + GRANT_SECONDS)
