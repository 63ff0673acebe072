"""Who sends a request, and what they may do."""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, NamedTuple

from starlette.concurrency import run_in_threadpool

from crawlerd.service.control import USER_HEADER, peer_name, peer_user, user_name
from crawlerd.service.web.loopback_peer import loopback_uid
from crawlerd.service.web.tokens import Failures, Role, Sessions, reads_metrics, role_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import HTTPConnection

    from crawlerd.core.configuration import Daemon

ROOT_USER = 0
FOR_MONITORING = ("/metrics", "/metrics/imports", "/healthz", "/readyz")
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
COOKIE, SECURE_COOKIE = "crawlerd", "__Host-crawlerd"  # browsers accept the second only over https


class Caller(NamedTuple):
    """The sender of a request.

    name: the name for the audit.
    role: `admin` may do everything; `read` may look, but not at payloads; `nobody` may do neither.
    """

    name: str
    role: Role


class Listener(NamedTuple):
    """What is known of everybody who uses a listener.

    is_private: it is a Unix socket.
    is_trusted: whoever can open it may do everything.
    names: the host names that requests may have, in lower case.
    is_remote: other machines can reach it.
    is_open: it serves more than monitoring needs.
    """

    is_private: bool = False
    is_trusted: bool = False
    names: frozenset[str] = frozenset()
    is_remote: bool = False
    is_open: bool = True


class TooManyFailures(Exception):
    """An address has sent so many wrong tokens that its tokens are not checked for now."""


class Callers:
    """The callers of all listeners. Used on the event loop."""

    def __init__(self, daemon: Callable[[], Daemon]) -> None:
        self._daemon = daemon
        self.sessions = Sessions(daemon)
        self._failures = Failures()

    @property
    def need_tokens(self) -> bool:
        return bool(self._daemon().admin_token or self._daemon().read_token)

    async def of(self, request: HTTPConnection, listener: Listener) -> Caller:
        """The sender of a request. Raises TooManyFailures."""
        if listener.is_trusted or not self.need_tokens:
            found = await run_in_threadpool(_local_caller, listener, request)
        else:
            found = self._by_token(request)
        if self._daemon().read_only and found.role == "admin" and not listener.is_trusted:
            return Caller(found.name, "read")
        return found

    def may_read_metrics(self, request: HTTPConnection, listener: Listener) -> bool:
        """Whether the sender may read metrics. Raises TooManyFailures."""
        if not self._daemon().metrics_token or listener.is_private:
            return True
        if (token := bearer(request)) is None:
            return False
        return self._judged(request, reads_metrics(token, self._daemon()))

    def begin_session(self, request: HTTPConnection, token: str) -> str | None:
        """Begins a session. Returns the value of the cookie; None for a wrong token. Raises TooManyFailures."""
        cookie = None if self._failures.are_too_many(self.address(request)) else self.sessions.begin(token)
        self._judged(request, cookie is not None)
        return cookie

    def address(self, request: HTTPConnection) -> str:
        """The address that a request comes from. A trusted proxy's statement about it is used."""
        trusted = self._daemon().trusted_proxies
        peer = request.client.host if request.client else "local"
        said = [each.strip() for each in ",".join(request.headers.getlist("x-forwarded-for")).split(",")]
        while peer in trusted and said and (before := _address(said.pop())):
            peer = before
        return peer

    def is_secure(self, request: HTTPConnection) -> bool:
        """Whether the browser uses https, which only a proxy can say."""
        peer = request.client.host if request.client else ""
        return peer in self._daemon().trusted_proxies and request.headers.get("x-forwarded-proto") == "https"

    def _by_token(self, request: HTTPConnection) -> Caller:
        if (token := bearer(request)) is not None:
            if self._failures.are_too_many(self.address(request)):
                raise TooManyFailures
            role = role_of(token, self._daemon())
            self._judged(request, role != "nobody")
        else:
            cookies = (request.cookies.get(SECURE_COOKIE), request.cookies.get(COOKIE))
            roles = [self.sessions.role_of(each) for each in cookies if each]
            role = next((each for each in roles if each != "nobody"), "nobody")
        return Caller(f"{role} token, {self.address(request)}", role)

    def _judged(self, request: HTTPConnection, is_right: bool) -> bool:
        """Returns `is_right`, and counts failures."""
        address = self.address(request)
        if self._failures.are_too_many(address):
            raise TooManyFailures
        if not is_right:
            self._failures.add(address)
        return is_right


def bearer(request: HTTPConnection) -> str | None:
    """The token of a request; None if it has none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _local_caller(listener: Listener, request: HTTPConnection) -> Caller:
    """The user of this machine who sends a request. Only a user who may open the trusted socket, root, and the daemon's
    own user get a role. Not for the event loop."""
    connection = request.state.connection
    if listener.is_trusted:
        return Caller(peer_name(connection.socket, request.headers.get(USER_HEADER)), "admin")
    if any(each in request.headers for each in FORWARDED):
        return Caller("", "nobody")  # a request through a proxy may come from anywhere
    uid = peer_user(connection.socket) if listener.is_private else loopback_uid(connection.socket)
    if uid is None:
        return Caller("", "nobody")
    return Caller(user_name(uid), "admin" if uid in (ROOT_USER, os.geteuid()) else "nobody")
