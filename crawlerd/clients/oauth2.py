"""Access tokens of OAuth 2.0 client credentials: each worker process requests one for each account, and keeps it in
memory only."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from concurrent.futures import Future
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import msgspec

from crawlerd.clients.http_error import error_for
from crawlerd.core.errors import CrawlerdError, Throttled, Transient, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.core.configuration import AccountSpec
    from crawlerd.source import ClientCredentials, Response

MAX_TOKEN_BYTES = 1 << 20  # most bytes of the token endpoint's response
EARLY_SECONDS = 60.0  # a token is not used in the last seconds before its end: these, or fewer …
EARLY_PART = 0.1  # … if a tenth of its lifetime is less


class Token:
    """An access token.

    until: when not to use it any more; monotonic seconds, None when the API did not say.
    worked: whether a request was accepted with it.
    """

    __slots__ = ("until", "value", "worked")

    def __init__(self, value: str, until: float | None) -> None:
        self.value, self.until, self.worked = value, until, False

    def __repr__(self) -> str:
        return "Token(***)"


class Tokens:
    """The tokens of a worker process, by account. Used by all its threads: one requests a new token, and the others
    that need it wait for the response."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[str, Future[Token | CrawlerdError]] = {}

    def current(
        self, account: AccountSpec, ask: Callable[[], Token | CrawlerdError], seconds: float
    ) -> Token | CrawlerdError:
        """The account's token, or why there is none.

        ask: requests a new token.
        seconds: how long to wait while another thread requests it.
        """
        with self._lock:
            future = self._asked.get(account.name)
            mine = future is None or _is_over(future)
            if mine or future is None:
                future = self._asked[account.name] = Future()
        if not mine:
            try:
                return future.result(seconds)
            except TimeoutError:
                return Transient(f"no access token within {seconds:g} s", fault="answer")
        found: Token | CrawlerdError = Transient("the request for an access token was given up")
        try:
            found = ask()
        finally:
            if not isinstance(found, Token):  # the next task requests it again
                with self._lock:
                    self._asked.pop(account.name, None)
            future.set_result(found)
        return found

    def known(self, account: str) -> list[str]:
        """The account's token, if there is one now; requests none."""
        with self._lock:
            future = self._asked.get(account)
        found = future.result() if future is not None and future.done() else None
        return [found.value] if isinstance(found, Token) else []

    def refused(self, account: str, token: Token, error: Unauthorized) -> CrawlerdError:
        """The error for a 401 with this token. If the token has worked before, it has expired early, and the next
        attempt requests a new one. If it has not, the credentials are not sufficient."""
        with self._lock:
            future = self._asked.get(account)
            if future is not None and future.done() and future.result() is token:
                del self._asked[account]
        return Transient(f"the access token is not accepted any more: {error}") if token.worked else error


def _is_over(future: Future[Token | CrawlerdError]) -> bool:
    if not future.done():
        return False
    token = future.result()
    return not isinstance(token, Token) or (token.until is not None and token.until <= time.monotonic())


class _Granted(msgspec.Struct):
    """The response of a token endpoint. Ignores token_type, which some APIs fill with other names ("User Access Token"
    at eBay, "BearerToken" at Apigee): the token is always sent as a bearer token."""

    access_token: str
    expires_in: float | str | None = None


def token_request(grant: ClientCredentials, secret: str) -> tuple[dict[str, str], dict[str, str]]:
    """The form and headers of a request for a token (RFC 6749, 4.4.2 and 2.3.1). Raises Unauthorized when the secret is
    not `id:secret`."""
    identity, colon, password = secret.partition(":")
    if not colon or not identity or not password:
        raise Unauthorized("the credential of an OAuth 2.0 client must be id:secret")
    form = {"grant_type": "client_credentials", **grant.parameters}
    if grant.scope:
        form["scope"] = grant.scope
    if grant.in_body:
        return {**form, "client_id": identity, "client_secret": password}, {}
    basic = b64encode(f"{quote_plus(identity)}:{quote_plus(password)}".encode()).decode()
    return form, {"Authorization": f"Basic {basic}"}


def token_of(response: Response, now: float) -> Token | CrawlerdError:
    """The token in a token endpoint's response, or the error. now: Unix seconds."""
    error = error_for(response, now)
    if isinstance(error, Transient | Throttled):
        if isinstance(error, Throttled):
            error.scope = "account"
        error.args = (f"no access token: {error}",)
        return error
    if error is not None:  # invalid_client is a 400 or 401, invalid_scope a 400
        return Unauthorized(f"no access token: {error}")
    try:
        granted = msgspec.json.decode(response.body, type=_Granted)
        seconds = None if granted.expires_in is None else float(granted.expires_in)
    except (ValueError, RecursionError):
        return Transient("no access token: the answer is not a token in JSON")
    if not granted.access_token.isascii() or not granted.access_token.isprintable() or " " in granted.access_token:
        return Transient("no access token: the answer has characters that a header cannot contain")
    if seconds is None:
        return Token(granted.access_token, None)
    return Token(granted.access_token, time.monotonic() + seconds - min(EARLY_SECONDS, EARLY_PART * seconds))
