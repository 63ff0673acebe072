"""Tokens and sessions: who may do what through `listen`."""

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
SESSIONS = 1000  # sessions of a role that are kept; the oldest is dropped
FAILURES = 10  # wrong tokens that an address may send in a minute
FAILURE_SECONDS = 60.0
ADDRESSES = 10_000  # addresses with failures that are remembered; the oldest is dropped

Role = Literal["admin", "read", "nobody"]


def role_of(token: str, daemon: Daemon) -> Role:
    """The role that a token gives. Checking a wrong token takes equally long."""
    given = token.encode(errors="surrogateescape")
    matches = [
        bool(own) and hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(own.encode()).digest())
        for own in (daemon.admin_token, daemon.read_token)
    ]
    return "admin" if matches[0] else "read" if matches[1] else "nobody"


def reads_metrics(token: str, daemon: Daemon) -> bool:
    """Whether a token permits reading metrics: the metrics token, or one that permits more."""
    wanted = hashlib.sha256(daemon.metrics_token.encode()).digest()
    is_it = hmac.compare_digest(hashlib.sha256(token.encode(errors="surrogateescape")).digest(), wanted)
    return role_of(token, daemon) != "nobody" or is_it


class _Session(NamedTuple):
    role: Role
    token: bytes  # its digest: when the token is changed, the session ends
    until: float


class Sessions:
    """Sessions: cookies in place of tokens. Only their digests are kept, and only in memory, so a restart ends them.
    Used on one thread."""

    def __init__(self, daemon: Callable[[], Daemon], clock: Callable[[], float] = time.monotonic) -> None:
        self._daemon, self._clock = daemon, clock
        self._open: dict[bytes, _Session] = {}  # the oldest first

    def begin(self, token: str) -> str | None:
        """Begins a session. Returns the value of the cookie; None for a wrong token."""
        role = role_of(token, self._daemon())
        if role == "nobody":
            return None
        same = [key for key, session in self._open.items() if session.role == role]
        for key in same[: max(0, len(same) - SESSIONS + 1)]:
            del self._open[key]
        cookie = secrets.token_urlsafe(32)
        self._open[_digest(cookie)] = _Session(role, _digest(token), self._clock() + SESSION_SECONDS)
        return cookie

    def role_of(self, cookie: str) -> Role:
        """The role of a cookie; `nobody` if it is unknown or too old, or its token is no longer valid."""
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
    """Wrong tokens, by address. Used on one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: dict[str, deque[float]] = {}  # when they came, by address; the address that failed last is at the end

    def are_too_many(self, address: str) -> bool:
        """Whether an address has failed too often within a minute, so that its tokens are not checked now."""
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
