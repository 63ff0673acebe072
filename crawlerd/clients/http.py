"""Calls an account's HTTP API: one request for each task, with limits of time and size, and no secrets in errors."""

from __future__ import annotations

import contextlib
import re
import resource
import time
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import msgspec
import requests
import urllib3.exceptions
from requests.models import PreparedRequest

from crawlerd.clients.deadline import Deadline, DeadlineAdapter, Deadlines
from crawlerd.clients.http_error import complete_wait, error_for, failure_error
from crawlerd.clients.oauth2 import MAX_TOKEN_BYTES, Token, Tokens, token_of, token_request
from crawlerd.core import urls
from crawlerd.core.errors import CrawlerdError, Permanent, Throttled, Transient, Unauthorized
from crawlerd.core.lenient_json import parsed
from crawlerd.core.listing import listing
from crawlerd.core.redaction import cut
from crawlerd.core.urls import target
from crawlerd.core.version import __version__
from crawlerd.source import ClientCredentials, KeyInQuery, Response, Sending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crawlerd.core.configuration import AccountSpec
    from crawlerd.core.errors import Fault
    from crawlerd.source import Classifier, Listing, Source

CHUNK = 64 * 1024  # bytes to read, and at most to decode, at once
PLAIN_CHUNK = 1 << 20  # the same for a body that is not compressed, whose size the server has said
USUAL_HEADERS = {
    "User-Agent": f"crawlerd/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
}
MOST_HOSTS = 256  # a process keeps the connections of this many hosts open
SHOWN_BODY = 16_384  # bytes of a body from which an excerpt is made
SHORTEST_SECRET_WORD = 8  # characters; a shorter word of an auth header is not a credential

_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+")  # the path of a URL that needs no encoding
_DIGITS = re.compile(r"/[^/]*\d[^/]*")  # parts of a path that are ids: the lists below them have the same fields


class Exchange(NamedTuple):
    """The result of a request: any complete response, or why there is none.

    sent_at, done_at: monotonic seconds, 0.0 when no request was sent.
    status, received: see `Deadline`.
    """

    answer: Response | CrawlerdError
    sent_at: float = 0.0
    done_at: float = 0.0
    status: int = 0
    received: int = 0


class HttpClient:
    """The HTTP connections of a worker process, shared by all its threads and accounts.

    It sends through the transport adapter of `requests` and not through a Session, which would keep cookies, follow
    redirects, and read proxies and .netrc from the environment.

    connections: most kept open a host.
    """

    def __init__(self, *, connections: int) -> None:
        self._adapter = DeadlineAdapter(connections, most_hosts(connections))
        self._deadlines = Deadlines()
        self.tokens = Tokens()

    def open(self, source: Source, account: AccountSpec) -> HttpApi:
        """The account's API, for one attempt at one task."""
        return HttpApi(self, source, account)

    def send(
        self, prepare: Callable[[PreparedRequest], None], *, seconds: float, max_body_bytes: int, origin: str
    ) -> Exchange:
        """Sends the request that `prepare` fills in. seconds: the time for all of it. Never raises an Exception."""
        deadline = Deadline(seconds)
        prepared = PreparedRequest()
        self._deadlines.start(deadline)
        try:
            prepare(prepared)
            deadline.target = target(prepared.url or "")
            raw = self._adapter.send(prepared, stream=True, timeout=None).raw  # `deadline` limits the time
            body = read_body(raw, max_body_bytes)
            deadline.answered(raw.status, raw.tell() or len(body))
        except CrawlerdError as error:
            answer: Response | CrawlerdError = error.with_traceback(None)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            answer = failure_error(error, origin=origin, connected=deadline.sent_at > 0)
        else:
            headers = {name.lower(): value for name, value in raw.headers.itermerged()}
            answer = Response(raw.status, headers, body, prepared.url or "")
        finally:
            self._deadlines.stop(deadline)
        if deadline.expired:
            fault: Fault = "answer" if deadline.sent_at else "connection"
            answer = Transient(f"no complete response from {origin} within {seconds:g} s", fault=fault)
        done_at = time.monotonic() if deadline.sent_at else 0.0
        return Exchange(answer, deadline.sent_at, done_at, deadline.status, deadline.received)

    def close(self) -> None:
        """Closes all connections. No request may be under way."""
        self._deadlines.close()
        self._adapter.close()


class HttpApi:
    """The access of one attempt to an account's API: `crawlerd.source.Api`.

    sent_at, done_at: when the request was sent, and its response complete (or given up), in monotonic seconds; 0.0 when
        none was sent. A request for an access token does not count.
    status, received: see `Deadline`.
    origin: the token endpoint's if there is no access token, else "", which means that of the base URL.
    asked: its method and URL, and the status of the response, 0 without one; None when no request was sent.
    """

    def __init__(self, client: HttpClient, source: Source, account: AccountSpec) -> None:
        self.sent_at = 0.0
        self.done_at = 0.0
        self.status = self.received = 0
        self.origin = ""
        self.asked: tuple[str, str, int] | None = None
        self._client = client
        self._source = source
        self._account = account
        url = account.base_url or source.base_url or ""
        self._sending = (
            source.sending(url, account.options) if source.sending else Sending(url, source.headers, source.auth)
        )
        self._base = self._sending.base_url.rstrip("/")
        self._token: Token | None = None
        self._used = False
        self.heard: Callable[[Any, bool], None] | None = None  # called with answers, and whether they are errors

    @property
    def options(self) -> Mapping[str, Any]:
        """The account's options that its source declares."""
        return self._account.options

    @cached_property
    def _origin(self) -> str:
        return _origin_of_base(self._base)

    @cached_property
    def mode(self) -> str:
        """The mode that the credential itself shows, such as test or live; see `Source`."""
        return self._source.mode(self._account.secret) if self._source.mode else ""

    @cached_property
    def _auth(self) -> Mapping[str, str]:
        match self._sending.auth:
            case None | KeyInQuery():
                return {}
            case ClientCredentials():
                return {"Authorization": f"Bearer {self._token.value}"} if self._token else {}
            case function:
                return function(self._account.secret)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Sends a GET and returns its parsed JSON, see `parsed`. Raises the errors of `request`, and Transient when the
        body is not JSON."""
        response = self.request("GET", path, params=params)
        with contextlib.suppress(ValueError, RecursionError):
            return parsed(response.utf8())
        raise self._not_json(response)

    def listing(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        at: str | None = "",
        wanted: Sequence[str] = ("id",),
        also: Sequence[str] = (),
    ) -> Listing:
        """See `crawlerd.source.Api`."""
        response = self.request("GET", path, params=params)
        kind = f"{self._source.name} {at} {_DIGITS.sub('', path.partition('?')[0])}"
        with contextlib.suppress(ValueError, RecursionError):
            found = listing(response.utf8(), at, kind=kind, wanted=wanted, also=also)
            if found is None:
                raise Transient(f"wrong body: no list{f' {at!r}' if at else ''} of objects")
            return found
        raise self._not_json(response)

    def _not_json(self, response: Response) -> Transient:
        kind = cut(response.headers.get("content-type", "no content type"), 60)
        text = cut(response.body[:SHOWN_BODY].decode(errors="replace"), 80)
        said = f"HTTP {response.status}, {kind}, is not JSON: {text}"
        return Transient(said, fault="answer")  # for example a gateway's page about maintenance

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        classify: Classifier | None = None,
    ) -> Response:
        """Sends the task's one request and returns its 2xx response. Gets an access token before, if it needs one.

        path: below the account's base URL, or a full URL of the same scheme, host and port.
        Raises Transient, Throttled, Permanent, Denied or Unauthorized for every other status and every failure, and
        RuntimeError for a second request.
        """
        if self._used:
            raise RuntimeError("a task makes one request: yield another task for the next one")
        self._used = True

        def prepare(request: PreparedRequest) -> None:
            request.prepare_method(method)
            url = self.url(path)
            if path.startswith("/") or params:
                prepare_url(request, url, query_of(params) if params else "")
            else:  # a link that the API has sent is used unchanged, byte for byte
                request.url = url
            asked.append(request.url or "")
            if isinstance(self._sending.auth, KeyInQuery):
                request.url = _with_parameter(request.url or "", self._sending.auth.name, self._account.secret)
            request.prepare_headers(self._headers(headers or {}))
            if isinstance(json, msgspec.Raw):
                request.headers["Content-Type"] = "application/json"
                request.prepare_body(bytes(json), None)
            else:
                request.prepare_body(None, None, json)

        asked: list[str] = []
        answer = self._authorised(prepare)
        if self.sent_at:
            self.asked = method, asked[0], answer.status if isinstance(answer, Response) else 0
        if isinstance(answer, Response):
            answer = replace(answer, url=asked[0])
            error = self._judged(answer, classify or self._source.classify)
            if self.heard is not None:
                self.heard(answer.body, error is not None)
                error = error and self._judged(answer, classify or self._source.classify)  # without what was heard
            if error is None:
                if self._token:
                    self._token.worked = True
                return answer
            if self._token and isinstance(error, Unauthorized):
                error = self._client.tokens.refused(self._account.name, self._token, error)
        else:
            error = answer
        try:
            raise error  # not in an `except`, so that its context is no exception with the request's headers
        finally:
            del answer, error  # they would form a reference cycle with this frame, and keep the body in memory

    def _authorised(self, prepare: Callable[[PreparedRequest], None]) -> Response | Exception:
        """Any complete response, or why there is none. The account's time limit covers the token and the request."""
        seconds = self._account.request_seconds
        until = time.monotonic() + seconds
        grant = self._sending.auth
        if isinstance(grant, ClientCredentials):
            if (error := self._authorise(grant, seconds)) is not None:
                return error
            seconds = max(0.0, until - time.monotonic())
        sent = self._client.send(
            prepare, seconds=seconds, max_body_bytes=self._account.max_body_bytes, origin=self._origin
        )
        self.sent_at, self.done_at = sent.sent_at, sent.done_at
        self.status, self.received = sent.status, sent.received
        return sent.answer

    def _authorise(self, grant: ClientCredentials, seconds: float) -> CrawlerdError | None:
        """Gets the access token. Returns why there is none, or None."""
        found = self._client.tokens.current(self._account, lambda: self._new_token(grant, seconds), seconds)
        if not isinstance(found, Token):
            return found
        self._token, self.origin = found, ""
        return None

    def authenticate(self) -> None:
        """See `crawlerd.engine.redacting.Secretive`."""
        grant = self._sending.auth
        error = self._authorise(grant, self._account.request_seconds) if isinstance(grant, ClientCredentials) else None
        if error is not None:
            raise error

    def _new_token(self, grant: ClientCredentials, seconds: float) -> Token | CrawlerdError:
        url = self._base + grant.token_url if grant.token_url.startswith("/") else grant.token_url

        def prepare(request: PreparedRequest) -> None:
            form, headers = token_request(grant, self._account.secret)
            request.prepare_method("POST")
            request.prepare_url(url, None)
            request.prepare_headers({**USUAL_HEADERS, **headers})
            request.prepare_body(form, None)

        origin = urls.origin(url)
        answer = self._client.send(prepare, seconds=seconds, max_body_bytes=MAX_TOKEN_BYTES, origin=origin).answer
        self.origin = "" if origin == self._origin else origin
        return token_of(answer, time.time()) if isinstance(answer, Response) else answer

    def url(self, path: str) -> str:
        """The full URL of a path below the base URL, or of a URL of the same origin. Raises Permanent for any other."""
        if path.startswith("/"):
            return self._base + path
        half = any("\ud800" <= each <= "\udfff" for each in path)  # half of a character: invalid in a URL
        if not self._origin or urls.origin(path) != self._origin or half:
            raise Permanent(f"not a path, and not a URL of {self._origin or 'any base URL'}: {cut(path, 80)}")
        # Built from our own origin: two parsers may disagree about where the host of a URL ends.
        return self._origin + target(path)

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        if not all(value.isascii() and value.isprintable() for value in self._auth.values()):
            raise Unauthorized("the credential has characters that a header cannot contain")
        part = {self._source.part_header: self._account.part} if self._account.part else {}
        return {**USUAL_HEADERS, **self._sending.headers, **headers, **part, **self._auth}

    def _judged(self, response: Response, classify: Classifier | None) -> Exception | None:
        """The error for a response; None for a good one."""
        now = time.time()
        error = (classify(response) if classify else None) or error_for(response, now)
        if isinstance(error, Throttled):
            complete_wait(error, response.headers, now)
        return error

    def secrets(self) -> list[str]:
        """See `crawlerd.engine.redacting.Secretive`."""
        if isinstance(self._sending.auth, ClientCredentials):
            return [self._token.value] if self._token else self._client.tokens.known(self._account.name)
        try:
            values = self._auth.values()
        except Exception:  # noqa: BLE001 - a function of the source, whose error the request has reported
            return []
        return [word for value in values for word in value.split() if len(word) >= SHORTEST_SECRET_WORD]


def _with_parameter(url: str, name: str, value: str) -> str:
    """The URL with one more parameter, otherwise unchanged."""
    url = url.partition("#")[0]
    return f"{url}{'&' if '?' in url else '?'}{urlencode({name: value})}"


def query_of(params: Mapping[str, Any]) -> str:
    """The query as `requests` makes it: the elements of a list as one parameter each, and None left out. `requests`
    also tests whether the parameters are a file, which took a twentieth of the time of a page."""
    pairs = []
    for name, value in params.items():
        several = value if not isinstance(value, str | bytes) and hasattr(value, "__iter__") else (value,)
        pairs += [(name, each) for each in several if each is not None]
    return urlencode(pairs)


def prepare_url(request: PreparedRequest, url: str, query: str) -> None:
    """Sets the URL as `requests` does, but does not parse a URL in which there is nothing to change or to refuse."""
    base, slash, path = url.partition("://")[2].partition("/")
    if _PLAIN_PATH.fullmatch(slash + path) and _is_plain_host(url[: len(url) - len(slash + path)], base):
        request.url = f"{url}?{query}" if query else url
    else:
        request.prepare_url(url, query)


@lru_cache(maxsize=1000)
def _is_plain_host(origin: str, host: str) -> bool:
    request = PreparedRequest()
    request.prepare_url(f"{origin}/x", None)
    return bool(host) and request.url == f"{origin}/x"


def read_body(raw: urllib3.BaseHTTPResponse, most: int, *, decode: bool = True) -> bytes:
    """Reads the body, decoded if `decode`. Raises Permanent when it has more than `most` bytes. Closes the connection
    unless the whole body was read."""
    chunks = []
    size = 0
    at_once = CHUNK if decode and "content-encoding" in raw.headers else PLAIN_CHUNK
    with contextlib.closing(raw):
        for chunk in raw.stream(at_once, decode_content=decode):
            size += len(chunk)
            if size > most:
                raise Permanent(f"the response is larger than {most} bytes")
            chunks.append(chunk)
    return b"".join(chunks)


def most_hosts(connections: int) -> int:
    """The number of hosts whose connections fit into half of the process's limit of open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, MOST_HOSTS if files == resource.RLIM_INFINITY else min(MOST_HOSTS, files // 2 // connections))


@lru_cache(maxsize=1000)
def _origin_of_base(url: str) -> str:
    return urls.origin(url)
