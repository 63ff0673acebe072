"""Which requests are refused before they are read further, and the headers that each answer has."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection

from crawlerd.core.redaction import printable
from crawlerd.operations.problem import ProblemCode
from crawlerd.service.hosts import is_known
from crawlerd.service.web.answering import SAFE_HEADERS, problem_answer
from crawlerd.service.web.callers import FOR_MONITORING
from crawlerd.service.web.connection import HEADER_BYTES
from crawlerd.service.web.streams import EVENT_STREAM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from crawlerd.service.web.callers import Listener

log = logging.getLogger(__name__)

BODY_BYTES = 1 << 20
TARGET_BYTES = 8 << 10
HEADERS = 100  # headers of a request
REQUESTS = 30  # requests of a listener at once
# not counted: they wait for nothing, and must answer even if everything else is busy
UNCOUNTED = ("/healthz", "/readyz")
READING = ("GET", "HEAD", "OPTIONS")
METHODS = (*READING, "POST", "PUT", "DELETE", "PATCH")


def own_path(scope: Scope) -> str:
    """The path without the part that a proxy adds in front."""
    path: str = scope["path"]
    return path.removeprefix(scope["root_path"])


class Guard:
    """Wraps the application of a listener."""

    def __init__(self, app: ASGIApp, listener: Listener) -> None:
        self._app, self._listener = app, listener
        self._headers = (*SAFE_HEADERS, ("referrer-policy", _referrer_policy(listener)))
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answered = _Answer(send, self._headers, f"{scope['method'][:20]} {printable(own_path(scope)[:200])}")
        request = HTTPConnection(scope)
        if (body := await _whole_body(request.headers, receive)) is None:
            return  # the client has disconnected
        refusal = self._refusal(request, body)
        if refusal is not None:
            await refusal(scope, receive, answered.send)
            return
        counted = own_path(scope) not in UNCOUNTED
        if counted and self._under_way >= REQUESTS:
            busy = problem_answer(
                ProblemCode.TOO_MANY_REQUESTS,
                f"{REQUESTS} requests are under way; ask again in a second",
                {"Retry-After": "1"},
            )
            await busy(scope, receive, answered.send)
            return
        self._under_way += counted
        answered.at_stream = self._release if counted else None
        try:
            await self._app(scope, _Body(body, receive).receive, answered.send)
        except Exception as error:
            log.exception("cannot answer %s %s", scope["method"], scope["path"][:200])
            if not answered.is_begun:
                text = f"{type(error).__name__}; the daemon's log says more"
                await problem_answer(ProblemCode.INTERNAL, text)(scope, receive, answered.send)
        finally:
            if answered.at_stream is not None:
                self._release()

    def _release(self) -> None:
        self._under_way -= 1

    def _refusal(self, request: HTTPConnection, body: bytes | bool) -> Response | None:
        headers, listener = request.headers, self._listener
        if not is_known(headers.getlist("host"), listener.names, remote=listener.is_remote):
            return problem_answer(
                ProblemCode.WRONG_HOST, "this daemon is not known by the host name of your request; see allowed_hosts"
            )
        if not listener.is_open and own_path(request.scope) not in FOR_MONITORING:
            return problem_answer(
                ProblemCode.NOT_FOUND, f"without daemon.admin_token, there are only {', '.join(FOR_MONITORING)}"
            )
        if len(request.scope["raw_path"]) + len(request.scope["query_string"]) > TARGET_BYTES:
            return problem_answer(ProblemCode.URL_TOO_LONG, f"the path and query may have {TARGET_BYTES} bytes at most")
        if len(headers.raw) > HEADERS:
            return problem_answer(ProblemCode.HEADERS_TOO_LARGE, f"a request may have {HEADERS} headers at most")
        if request.scope["method"] not in METHODS:
            return problem_answer(ProblemCode.UNKNOWN_METHOD, f"there is no method {request.scope['method'][:50]}")
        if sum(len(name) + len(value) + 4 for name, value in headers.raw) > HEADER_BYTES:
            return problem_answer(
                ProblemCode.HEADERS_TOO_LARGE, f"the headers of a request may have {HEADER_BYTES} bytes at most"
            )
        if isinstance(body, bool):
            return problem_answer(ProblemCode.BODY_TOO_LARGE, "the body of a request may have 1 MiB at most")
        if len(headers.getlist("idempotency-key")) > 1:
            return problem_answer(ProblemCode.INVALID, "a request may have only one Idempotency-Key")
        if request.scope["method"] not in READING and not _is_own(headers, is_private=listener.is_private):
            text = "send this with `Content-Type: application/json`, or from the page itself"
            return problem_answer(ProblemCode.FOREIGN_SITE, text)
        return None


def _referrer_policy(listener: Listener) -> str:
    """The referrer policy of the page. Over http from another machine, only `Origin` says where a form comes from, and
    browsers leave its value out if pages have the policy `no-referrer`."""
    return "same-origin" if listener.is_remote else "no-referrer"


def _is_own(headers: Headers, *, is_private: bool) -> bool:
    """Whether this change cannot come from another web site."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    if origin is not None:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
    # browsers do not send JSON to another site without asking it first
    return is_private or headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


async def _whole_body(headers: Headers, receive: Receive) -> bytes | bool | None:
    """The body; False if it is too long, None if the client has disconnected."""
    said = headers.get("content-length", "")
    if said.isdecimal() and (len(said) > len(str(BODY_BYTES)) or int(said) > BODY_BYTES):
        return False
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES:
            return False
        if not message.get("more_body", False):
            return b"".join(parts)


class _Body:
    """Gives the application a body that was read already, then whatever follows."""

    def __init__(self, body: bytes | bool, receive: Receive) -> None:
        self._message: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._receive = receive

    async def receive(self) -> Message:
        message, self._message = self._message, None
        return message if message is not None else await self._receive()


class _Answer:
    """Adds headers to an answer unless it has them already.

    at_stream: called if the answer turns out to be a stream.
    """

    def __init__(self, send: Send, headers: Sequence[tuple[str, str]], request: str) -> None:
        """request: the request, for the log."""
        self._send, self._headers, self._request = send, headers, request
        self.is_begun = False
        self.at_stream: object = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_begun = True
            log.debug("%s: %d", self._request, message["status"])
            headers = MutableHeaders(scope=message)
            for name, value in self._headers:
                headers.setdefault(name, value)
            if headers.get("content-type", "").startswith(EVENT_STREAM) and callable(self.at_stream):
                self.at_stream()
                self.at_stream = None
        await self._send(message)
