"""Turns a failed request into an exception: by the response's status, headers and body, or by the failure that has
prevented a response. Pure."""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import msgspec
import urllib3.exceptions

from crawlerd.core import waits
from crawlerd.core.errors import CrawlerdError, Denied, Permanent, Throttled, Transient, Unauthorized
from crawlerd.core.redaction import cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crawlerd.source import Response

RETRY_AFTER, RATE_LIMIT, RATE_LIMIT_RESET = "retry-after", "ratelimit", "ratelimit-reset"
MOST_HEADER = 1_000  # most characters of a header that are parsed
MESSAGE_LIMIT = 300  # most characters of the API's error message


def error_for(response: Response, now: float) -> CrawlerdError | None:
    """The usual exception for a response's status; None for 2xx. now: Unix seconds."""
    status = response.status
    if 200 <= status < 300:
        return None
    said = api_message(response.body)
    text = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if status == 429 or (status == 503 and "retry-after" in response.headers):
        return throttled(text, response.headers, now)
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
    """The exception for a request without a response from `origin`. Its text is our own, since that of `requests` has
    names of objects and memory addresses.

    connected: a connection was made, so the request may have been sent.
    """
    reason = ""
    answering = False  # whether a part of a response came, or a response was waited for
    for cause in _causes(failure):
        match cause:
            case ssl.SSLCertVerificationError():  # transient, since an expired certificate will be renewed
                return Transient(f"cannot trust {origin}: {cause.verify_message}", fault="connection")
            case ssl.SSLError():
                reason = f"TLS {cause.reason or 'failure'}".lower().replace("_", " ")
            case TimeoutError():
                reason, answering = "timed out", connected
            case http.client.RemoteDisconnected():
                reason = "closed without a response"
            case http.client.IncompleteRead():  # includes its subclasses in urllib3
                reason, answering = "the response ended early", True
            case urllib3.exceptions.DecodeError():
                reason, answering = "the response's body does not decode", True
            case OSError(strerror=str(text)):  # includes the errors of getaddrinfo
                reason = text.lower()
        if reason:
            break
    if not reason and isinstance(failure, ValueError):  # our own fault: an invalid URL, header or JSON value
        return Permanent(f"cannot send the request: {type(failure).__name__}")
    if connected:
        text = f"lost the connection to {origin}: {reason or 'the response is broken'}"
        return Transient(text, fault="answer" if answering else "connection")
    return Transient(f"cannot reach {origin}: {reason or type(failure).__name__}", fault="connection")


def throttled(
    text: str,
    headers: Mapping[str, str],
    now: float,
    *,
    scope: Literal["bucket", "account"] = "bucket",
    concurrency: bool = False,
) -> Throttled:
    """The exception for a response that asks us to slow down, with the time to wait. now: Unix seconds."""
    error = Throttled(text, scope=scope, concurrency=concurrency)
    complete_wait(error, headers, now)
    return error


def complete_wait(error: Throttled, headers: Mapping[str, str], now: float) -> None:
    """Adds the time to wait from the response's headers, unless the error has one. now: Unix seconds."""
    if error.retry_after is None:
        for name in (RETRY_AFTER, RATE_LIMIT, RATE_LIMIT_RESET):
            error.retry_after = _wait(name, headers, now)
            if error.retry_after is not None:
                error.said = f"{name.title()}: {cut(headers[name], 60)}"
                return


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that a response's headers ask us to wait; None when they do not say, or the time has passed. now:
    Unix seconds.

    `Retry-After` counts first: seconds, an HTTP date, or another form that APIs use (see `waits`). Then `RateLimit` and
    `RateLimit-Reset`, when no requests remain (draft-ietf-httpapi-ratelimit-headers, versions 03 to 07 and later ones).
    A time is compared with the Date of the response, if it has one, so that our clock does not matter.
    """
    error = Throttled("")
    complete_wait(error, headers, now)
    return error.retry_after


def _wait(name: str, headers: Mapping[str, str], now: float) -> float | None:
    value = headers.get(name, "")
    if name == RATE_LIMIT:
        value = _reset(value)
    elif name == RATE_LIMIT_RESET and headers.get("ratelimit-remaining", "0").strip() != "0":
        return None
    sent = waits.http_date(headers.get("date", ""))
    seconds = waits.seconds(value, now if sent is None else sent)
    return seconds if seconds is not None and seconds >= 0 else None


def _reset(value: str) -> str:
    """The reset time in a RateLimit header such as `limit=100, remaining=0, reset=50` or
    `"hour";r=0;t=50, "day";r=7;t=9000`; "" when the header has none, or requests remain."""
    times: list[str] = []
    old: dict[str, str] = {}
    for item in value[:MOST_HEADER].split(","):
        found = {key.strip(): each.strip() for key, _, each in (part.partition("=") for part in item.split(";"))}
        old |= found
        if found.get("r") == "0":
            times.append(found.get("t", ""))
    if old.get("remaining", "0") == "0":
        times.append(old.get("reset", ""))
    numbers = [each for each in times if waits.NUMBER.fullmatch(each)]
    return max(numbers, key=float, default="")


def api_message(body: bytes) -> str:
    """The API's error message in a body of a common form: {"error": {"message", "code"}}, {"error": "…"}, {"message"}
    or {"detail"}. Empty for other bodies; at most MESSAGE_LIMIT characters."""
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
    """Yields the failure and the exceptions that it wraps, outermost first; urllib3 also has them in `reason` and
    `args`."""
    todo, seen = [failure], set()
    for each in todo:
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            wrapped = (getattr(each, "reason", None), *each.args, each.__cause__, each.__context__)
            todo += [inner for inner in wrapped if isinstance(inner, BaseException)]


def _host(headers: Mapping[str, str]) -> str:
    """The host of a redirect. The rest of its target may contain credentials."""
    try:
        host = urlsplit(headers.get("location", "")).hostname
    except ValueError:
        host = None
    return cut(host, 80) if host else "another path"
