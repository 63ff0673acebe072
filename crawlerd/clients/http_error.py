"""What came of a request, as an error: from a response's status, headers and body, or from why there is none. Pure."""

from __future__ import annotations

import http.client
import re
import ssl
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import urllib3.exceptions

from crawlerd.core.errors import CrawlerdError, Denied, Permanent, Throttled, Transient, Unauthorized
from crawlerd.core.redaction import cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crawlerd.source import Response

LONGEST_RETRY_AFTER = 86_400.0  # seconds
MESSAGE_LIMIT = 300  # characters of the API's own words
_SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)


def error_for(response: Response, now: float) -> CrawlerdError | None:
    """The usual mapping of a status; None for 2xx. now: Unix seconds."""
    status = response.status
    if 200 <= status < 300:
        return None
    said = api_message(response.body)
    text = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if status == 429 or (status == 503 and "retry-after" in response.headers):
        return Throttled(text, retry_after=retry_after(response.headers, now))
    if status == 401:
        return Unauthorized(text)
    if status == 403:
        return Denied(text)
    if status in (408, 425) or status >= 500:
        return Transient(text, fault="answer" if status >= 500 else "task")
    if 300 <= status < 400:
        return Permanent(f"HTTP {status}: redirects to {_host(response.headers)}, which is not followed")
    return Permanent(text)


def failure_error(failure: Exception, *, origin: str, connected: bool) -> CrawlerdError:
    """Why there is no response from `origin`, in few words: those of `requests` name objects and addresses of memory.

    connected: the request left, as opposed to finding nobody to take it.
    """
    reason = ""
    answering = False  # some of an answer came, or it was waited for
    for cause in _causes(failure):
        match cause:
            case ssl.SSLCertVerificationError():  # an expired certificate is renewed one day
                return Transient(f"cannot trust {origin}: {cause.verify_message}", fault="connection")
            case ssl.SSLError():
                reason = f"TLS {cause.reason or 'failure'}".lower().replace("_", " ")
            case TimeoutError():
                reason, answering = "timed out", connected
            case http.client.RemoteDisconnected():
                reason = "closed without a response"
            case http.client.IncompleteRead():  # urllib3's own are kinds of it
                reason, answering = "the response ended early", True
            case urllib3.exceptions.DecodeError():
                reason, answering = "the response's body does not decode", True
            case OSError(strerror=str(text)):  # getaddrinfo's as well
                reason = text.lower()
        if reason:
            break
    if not reason and isinstance(failure, ValueError):  # an invalid URL, header or JSON value: ours
        return Permanent(f"cannot send the request: {type(failure).__name__}")
    if connected:
        text = f"lost the connection to {origin}: {reason or 'the response is broken'}"
        return Transient(text, fault="answer" if answering else "connection")
    return Transient(f"cannot reach {origin}: {reason or type(failure).__name__}", fault="connection")


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` asks for, at most a day; None when it is missing, past or not to be understood.

    It is a number of seconds or an HTTP date (RFC 9110, 10.2.3), which is compared with the response's own Date, so
    that our clock does not matter, or else with `now`, Unix seconds.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), LONGEST_RETRY_AFTER)
    at = _http_date(value)
    if at is None:
        return None
    sent = _http_date(headers.get("date", ""))
    seconds = at - (now if sent is None else sent)
    return min(seconds, LONGEST_RETRY_AFTER) if seconds >= 0 else None


def api_message(body: bytes) -> str:
    """What the API says about an error, in the shapes that are common: {"error": {"message", "code"}},
    {"error": "…"}, {"message"}, {"detail"}. Empty when there is none; at most 300 characters."""
    try:
        said: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(said, dict):
        return ""
    error = said.get("error")
    if isinstance(error, dict):
        text, code = error.get("message"), error.get("code")
        text = f"{text} ({code})" if text and code else text or code
    else:
        text = error or said.get("message") or said.get("detail")
    return cut(text, MESSAGE_LIMIT) if isinstance(text, str) else ""


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """The failure and all that it wraps, outermost first; urllib3 keeps them in `reason` and `args` as well."""
    todo, seen = [failure], set()
    for each in todo:
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            wrapped = (getattr(each, "reason", None), *each.args, each.__cause__, each.__context__)
            todo += [inner for inner in wrapped if isinstance(inner, BaseException)]


def _host(headers: Mapping[str, str]) -> str:
    """Only the host: the rest of a redirect's target may carry credentials."""
    try:
        host = urlsplit(headers.get("location", "")).hostname
    except ValueError:
        host = None
    return cut(host, 80) if host else "another path"


def _http_date(text: str) -> float | None:
    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
