"""Who sends a request, and what they may do."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from starlette.concurrency import run_in_threadpool

from crawlerd.core.notation import is_loopback
from crawlerd.service.control import USER_HEADER, peer_name, peer_user, user_name
from crawlerd.service.web.loopback_peer import loopback_uid
from crawlerd.service.web.tokens import Failures, Role, Sessions, reads_metrics, role_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import HTTPConnection

    from crawlerd.core.configuration import Daemon

log = logging.getLogger(__name__)

ROOT_USER = 0
FOR_MONITORING = ("/metrics", "/metrics/imports", "/healthz", "/readyz")
# headers of proxies, and how others of theirs begin
FORWARDED = ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")
FORWARDED_PREFIXES = ("x-forwarded", "x-original-forwarded", "x-envoy-external", "x-cluster-client")
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")
COOKIE, SECURE_COOKIE = "crawlerd", "__Host-crawlerd"  # browsers accept the second only over https


class Caller(NamedTuple):
    """The sender of a request.

    name: the name for the audit.
    role: `admin` may do everything; `read` may look, but not at payloads; `nobody` may do neither.
    """

    name: str
    role: Role


STRANGER = Caller("", "nobody")  # whoever asks for what is open to all, or is not known


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
        self._is_warned = False  # of a proxy that is not trusted

    @property
    def need_tokens(self) -> bool:
        return bool(self._daemon().admin_token or self._daemon().read_token)

    async def of(self, request: HTTPConnection, listener: Listener) -> Caller:
        """The sender of a request. Raises TooManyFailures."""
        if listener.is_trusted or not self.need_tokens:
            found = await run_in_threadpool(_local_caller, listener, request)
        else:
            found = await self._by_token(request)
        return Caller(found.name, self._permitted(found.role, listener))

    def watched(self, request: HTTPConnection, listener: Listener, caller: Caller) -> Callable[[], bool]:
        """A function that says whether the sender of a request that is being answered still has the same role. It may
        not: tokens are changed, sessions end."""
        by_token = self.need_tokens

        def has_role() -> bool:
            if listener.is_trusted:
                return True
            role = self._role(request) if by_token else caller.role
            return self.need_tokens == by_token and self._permitted(role, listener) == caller.role

        return has_role

    async def may_read_metrics(self, request: HTTPConnection, listener: Listener) -> bool:
        """Whether the sender may read metrics. Raises TooManyFailures."""
        if not self._daemon().metrics_token or listener.is_private:
            return True
        if (token := bearer(request)) is None:
            return False
        return self._judged(await self._source(request), reads_metrics(token, self._daemon()))

    async def begin_session(self, request: HTTPConnection, token: str) -> str | None:
        """Begins a session. Returns the value of the cookie; None for a wrong token. Raises TooManyFailures."""
        source = await self._source(request)
        cookie = None if self._failures.are_too_many(source) else self.sessions.begin(token)
        self._judged(source, cookie is not None)
        return cookie

    def address(self, request: HTTPConnection) -> str:
        """The address that a request comes from. A trusted proxy's statement about it is used."""
        trusted = self._trusted()
        peer = _peer(request) or "local"
        said = [each.strip() for each in ",".join(request.headers.getlist("x-forwarded-for")).split(",")]
        while peer in trusted and said and (before := _address(said.pop())):
            peer = before
        return peer

    def is_secure(self, request: HTTPConnection) -> bool:
        """Whether the browser uses https, which only a proxy can say."""
        return _peer(request) in self._trusted() and request.headers.get("x-forwarded-proto") == "https"

    def _trusted(self) -> set[str | None]:
        return {_address(each) for each in self._daemon().trusted_proxies}

    async def _by_token(self, request: HTTPConnection) -> Caller:
        if (token := bearer(request)) is not None:
            role = role_of(token, self._daemon())
            self._judged(await self._source(request), role != "nobody")
        else:
            role = self._role(request)
        return Caller(f"{role} token, {self.address(request)}", role)

    def _role(self, request: HTTPConnection) -> Role:
        """The role that the token or the cookie of a request gives. Wrong ones are not counted."""
        if (token := bearer(request)) is not None:
            return role_of(token, self._daemon())
        cookies = (request.cookies.get(SECURE_COOKIE), request.cookies.get(COOKIE))
        roles = [self.sessions.role_of(each) for each in cookies if each]
        return next((each for each in roles if each != "nobody"), "nobody")

    def _permitted(self, role: Role, listener: Listener) -> Role:
        """The role that is left if nothing may be changed over `listen`."""
        return "read" if role == "admin" and self._daemon().read_only and not listener.is_trusted else role

    async def _source(self, request: HTTPConnection) -> str:
        """Whose wrong tokens are counted together: those of an address, and on this machine those of a user, who would
        lock out all others otherwise."""
        address = self.address(request)
        if _peer(request) in self._trusted() or not request.client:
            return address
        if is_forwarded(request) and not self._is_warned:
            self._is_warned = True
            log.warning(
                "requests come through a proxy at %s that is not among daemon.trusted_proxies: if one of its visitors "
                "sends wrong tokens, those of all its visitors are refused for a minute",
                address,
            )
        if not is_loopback(address):
            return address
        return f"{address}, user {await run_in_threadpool(loopback_uid, request.state.connection.socket)}"

    def _judged(self, source: str, is_right: bool) -> bool:
        """Returns `is_right`, and counts failures. Raises TooManyFailures."""
        if self._failures.are_too_many(source):
            raise TooManyFailures
        if not is_right:
            self._failures.add(source)
        return is_right


def bearer(request: HTTPConnection) -> str | None:
    """The token of a request; None if it has none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def is_forwarded(request: HTTPConnection) -> bool:
    """Whether a proxy has passed on a request, which may then come from anywhere."""
    return any(name in FORWARDED or name.startswith(FORWARDED_PREFIXES) for name in request.headers)


def _peer(request: HTTPConnection) -> str | None:
    """The address at the other end of the connection; None for a Unix socket."""
    return request.client and (_address(request.client.host) or request.client.host)


def _address(text: str) -> str | None:
    """An address without the port that some proxies add; None if it is none. An IPv4 address that a socket of IPv6 has
    received is one of IPv4."""
    if found := _WITH_PORT.fullmatch(text):
        text = found[1] or found[2]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def _local_caller(listener: Listener, request: HTTPConnection) -> Caller:
    """The user of this machine who sends a request. Only a user who may open the trusted socket, root, and the daemon's
    own user get a role. Not for the event loop."""
    connection = request.state.connection
    if listener.is_trusted:
        return Caller(peer_name(connection.socket, request.headers.get(USER_HEADER)), "admin")
    if is_forwarded(request):
        return STRANGER
    uid = peer_user(connection.socket) if listener.is_private else loopback_uid(connection.socket)
    if uid is None:
        return STRANGER
    return Caller(user_name(uid), "admin" if uid in (ROOT_USER, os.geteuid()) else "nobody")
