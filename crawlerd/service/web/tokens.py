"""Tokens and sessions: who may do what over `listen`."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.core.configuration import Daemon

SESSION_SECONDS = 12 * 3600.0
SESSIONS = 1000  # kept at once; the oldest goes
FAILURES = 10  # a minute, of an address
FAILURE_SECONDS = 60.0
ADDRESSES = 10_000  # with failures that are remembered; the oldest goes

Role = Literal["admin", "read", "nobody"]


def role_of(token: str, daemon: Daemon) -> Role:
    """What a token lets one do. It takes as long for a wrong one."""
    given = token.encode(errors="surrogateescape")
    matches = [
        bool(own) and hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(own.encode()).digest())
        for own in (daemon.admin_token, daemon.read_token)
    ]
    return "admin" if matches[0] else "read" if matches[1] else "nobody"


def reads_metrics(token: str, daemon: Daemon) -> bool:
    """Whether a token is the one of metrics, or a greater one."""
    wanted = hashlib.sha256(daemon.metrics_token.encode()).digest()
    is_it = hmac.compare_digest(hashlib.sha256(token.encode(errors="surrogateescape")).digest(), wanted)
    return role_of(token, daemon) != "nobody" or is_it


class _Session(NamedTuple):
    role: Role
    token: bytes  # a digest: with another token, the session ends
    until: float


class Sessions:
    """Cookies instead of tokens, by their digests, in memory alone: a restart ends them. Used on one thread."""

    def __init__(self, daemon: Callable[[], Daemon], clock: Callable[[], float] = time.monotonic) -> None:
        self._daemon, self._clock = daemon, clock
        self._open: dict[bytes, _Session] = {}  # the oldest first

    def begin(self, token: str) -> str | None:
        """The value of a cookie; None for a wrong token."""
        role = role_of(token, self._daemon())
        if role == "nobody":
            return None
        while len(self._open) >= SESSIONS:
            del self._open[next(iter(self._open))]
        cookie = secrets.token_urlsafe(32)
        self._open[_digest(cookie)] = _Session(role, _digest(token), self._clock() + SESSION_SECONDS)
        return cookie

    def role_of(self, cookie: str) -> Role:
        """`nobody` for one that is unknown, or too old, or whose token is not valid any more."""
        key = _digest(cookie)
        session = self._open.get(key)
        if session is None:
            return "nobody"
        daemon = self._daemon()
        own = daemon.admin_token if session.role == "admin" else daemon.read_token
        if self._clock() > session.until or session.token != _digest(own):
            del self._open[key]
            return "nobody"
        return session.role

    def end(self, cookie: str) -> None:
        self._open.pop(_digest(cookie), None)


class Failures:
    """Wrong tokens by address. Used on one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: dict[str, deque[float]] = {}  # when, by address; the address that failed last is last

    def are_too_many(self, address: str) -> bool:
        """Whether an address has failed so often within a minute that its tokens are not looked at."""
        times = self._of.get(address)
        return times is not None and len(times) == FAILURES and self._clock() - times[0] < FAILURE_SECONDS

    def add(self, address: str) -> None:
        times = self._of.pop(address, None) or deque(maxlen=FAILURES)
        times.append(self._clock())
        while len(self._of) >= ADDRESSES:
            del self._of[next(iter(self._of))]
        self._of[address] = times


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
