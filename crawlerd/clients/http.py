"""An account's HTTP API over `requests`: one request a task, bounded in time and size, silent about secrets."""

from __future__ import annotations

import contextlib
import resource
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

import msgspec
import requests
import urllib3.exceptions
from requests.models import PreparedRequest

from crawlerd import __version__
from crawlerd.clients.deadline import Deadline, DeadlineAdapter, Deadlines
from crawlerd.clients.status import error_for, excerpt, failure_error, retry_after
from crawlerd.core.errors import CrawlerdError, Permanent, Throttled, Transient, Unauthorized
from crawlerd.source import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.core.account import AccountSpec
    from crawlerd.source import Source

CHUNK = 64 * 1024  # bytes read, and at most decoded, at once
USUAL_HEADERS = {
    "User-Agent": f"crawlerd/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
}
MOST_HOSTS = 256  # whose connections a process keeps open
SHORTEST_SECRET_WORD = 8  # characters: a shorter word of an auth header is no credential


class HttpClient:
    """The HTTP connections of a worker process, shared by all its threads and accounts.

    It sends through `requests`' transport adapter and not through a Session, which is what would keep cookies, follow
    redirects and read proxies and .netrc from the environment. connections: most kept open a host.
    """

    def __init__(self, *, connections: int) -> None:
        self._adapter = DeadlineAdapter(connections, _hosts(connections))
        self._deadlines = Deadlines()

    def open(self, source: Source, account: AccountSpec) -> HttpApi:
        """The account's API for one attempt at one task."""
        return HttpApi(self._adapter, self._deadlines, source, account)

    def close(self) -> None:
        """Closes all connections. No request may be under way."""
        self._deadlines.close()
        self._adapter.close()


class HttpApi:
    """One attempt's access to an account's API: `crawlerd.source.Api`.

    sent_at, done_at: monotonic seconds at which the request left and its response was complete (or given up); 0.0
    when no request left.
    """

    def __init__(self, adapter: DeadlineAdapter, deadlines: Deadlines, source: Source, account: AccountSpec) -> None:
        self.sent_at = 0.0
        self.done_at = 0.0
        self._adapter = adapter
        self._deadlines = deadlines
        self._source = source
        self._account = account
        self._base = (account.base_url or source.base_url or "").rstrip("/")
        self._used = False

    @cached_property
    def _origin(self) -> str:
        return _origin(self._base)

    @cached_property
    def mode(self) -> str:
        """What the credential says about itself; see `Source`."""
        return self._source.mode(self._account.secret) if self._source.mode else ""

    @cached_property
    def _auth(self) -> Mapping[str, str]:
        return self._source.auth(self._account.secret) if self._source.auth else {}

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The parsed JSON of one GET; raises as `request` does, and Transient when the body is not JSON."""
        response = self.request("GET", path, params=params)
        try:
            return msgspec.json.decode(response.body)
        except (ValueError, RecursionError):  # not UTF-8, NaN, a lone surrogate, a number out of range; too deep
            kind = excerpt(self._redacted(response.headers.get("content-type", "no content type")), 60)
            text = excerpt(self._redacted(response.body.decode(errors="replace")), 80)
        raise Transient(f"HTTP {response.status}, {kind}, is not JSON: {text}")

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Sends the task's one request and returns its 2xx response.

        path: below the account's base URL, or a full URL of the same scheme, host and port. Every other status, and
        all that can go wrong on the way, is raised as Transient, Throttled, Permanent, Denied or Unauthorized; a second
        request as RuntimeError.
        """
        if self._used:
            raise RuntimeError("a task makes one request: yield another task for the next one")
        self._used = True
        answer = self._answer(method, path, params, json, headers)
        if isinstance(answer, Response):
            error = self._judged(answer)
            if error is None:
                return answer
        else:
            error = answer
        error.args = tuple(self._redacted(each) if isinstance(each, str) else each for each in error.args)
        try:
            raise error  # outside any `except`, so that no exception with the request's headers hangs on it
        finally:
            del answer, error  # in a circle with this frame, they would keep body and connection from being freed

    def _answer(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        json: Any,
        headers: Mapping[str, str] | None,
    ) -> Response | Exception:
        """Any complete response, or why there is none."""
        seconds = self._account.request_seconds
        deadline = Deadline(seconds)
        self._deadlines.start(deadline)
        try:
            prepared = PreparedRequest()
            prepared.prepare_method(method)
            prepared.prepare_url(self._url(path), params)
            prepared.prepare_headers(self._headers(headers or {}))
            prepared.prepare_body(None, None, json)
            raw = self._adapter.send(prepared, stream=True, timeout=None).raw  # `deadline` is the only clock
            body = self._body(raw)
        except CrawlerdError as error:
            answer: Response | Exception = error.with_traceback(None)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            answer = failure_error(error, origin=self._origin, connected=deadline.sent_at > 0)
        else:
            answer = Response(raw.status, {name.lower(): value for name, value in raw.headers.itermerged()}, body)
        finally:
            self._deadlines.stop(deadline)
            self.sent_at = deadline.sent_at
            self.done_at = time.monotonic() if deadline.sent_at else 0.0
        if deadline.expired:
            return Transient(f"no complete response from {self._origin} within {seconds:g} s")
        return answer

    def _url(self, path: str) -> str:
        if path.startswith("/"):
            return self._base + path
        if not self._origin or _origin(path) != self._origin:
            raise Permanent(
                f"not a path, and not a URL of {self._origin or 'any base URL'}: {excerpt(self._redacted(path), 80)}"
            )
        target = urlsplit(path)
        # Put together again from our own origin: two parsers may disagree about where a URL's host ends.
        return self._origin + urlunsplit(("", "", target.path or "/", target.query, ""))

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        if not all(value.isascii() and value.isprintable() for value in self._auth.values()):
            raise Unauthorized("the credential has characters that no header can carry")
        return {**USUAL_HEADERS, **self._source.headers, **headers, **self._auth}

    def _body(self, raw: urllib3.BaseHTTPResponse) -> bytes:
        """The decoded body. Closes the connection unless the whole of it was read."""
        chunks = []
        size = 0
        with contextlib.closing(raw):
            for chunk in raw.stream(CHUNK, decode_content=True):
                size += len(chunk)
                if size > self._account.max_body_bytes:
                    raise Permanent(f"the response is larger than {self._account.max_body_bytes} bytes")
                chunks.append(chunk)
        return b"".join(chunks)

    def _judged(self, response: Response) -> Exception | None:
        """The error that a response stands for; None when it is a good one."""
        if not 200 <= response.status < 300:  # redacted before anything is cut, which could leave half a secret
            headers = {name: self._redacted(value) for name, value in response.headers.items()}
            body = self._redacted(response.body.decode(errors="replace")).encode()
            response = Response(response.status, headers, body)
        now = time.time()
        error = (self._source.classify(response) if self._source.classify else None) or error_for(response, now)
        if isinstance(error, Throttled) and error.retry_after is None:
            error.retry_after = retry_after(response.headers, now)
        return error

    def _redacted(self, text: str) -> str:
        """`text` without the secret, plain, as in a URL, or as the auth headers carry it."""
        secret = self._account.secret
        words = {word for value in self._auth.values() for word in value.split() if len(word) >= SHORTEST_SECRET_WORD}
        words |= {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
        for word in sorted(words - {""}, key=len, reverse=True):
            text = text.replace(word, "***")
        return text


def _hosts(connections: int) -> int:
    """How many hosts' connections may be kept open within half of the process's limit of open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, MOST_HOSTS if files == resource.RLIM_INFINITY else min(MOST_HOSTS, files // 2 // connections))


def _origin(url: str) -> str:
    """scheme://host:port of a URL, without user and default port; "" for anything but HTTP."""
    ports = {"http": 80, "https": 443}
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ports or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, ports[parts.scheme]) else "")
