"""What came of a request, as an error: from a response's status, headers and body, or from why there is none. Pure."""

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
MOST_HEADER = 1_000  # characters of a header that are looked at
MESSAGE_LIMIT = 300  # characters of the API's own words


def error_for(response: Response, now: float) -> CrawlerdError | None:
    """The usual mapping of a status; None for 2xx. now: Unix seconds."""
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


def throttled(
    text: str,
    headers: Mapping[str, str],
    now: float,
    *,
    scope: Literal["bucket", "account"] = "bucket",
    concurrency: bool = False,
) -> Throttled:
    """The error of an answer that asks us to slow down, with how long. now: Unix seconds."""
    error = Throttled(text, scope=scope, concurrency=concurrency)
    complete_wait(error, headers, now)
    return error


def complete_wait(error: Throttled, headers: Mapping[str, str], now: float) -> None:
    """Adds what the answer's headers say of the time to wait, unless it is known. now: Unix seconds."""
    if error.retry_after is None:
        for name in (RETRY_AFTER, RATE_LIMIT, RATE_LIMIT_RESET):
            error.retry_after = _wait(name, headers, now)
            if error.retry_after is not None:
                error.said = f"{name.title()}: {cut(headers[name], 60)}"
                return


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that an answer's headers ask for; None when they do not say, or a time that is over. now: Unix seconds.

    `Retry-After` counts first, in seconds, as an HTTP date, or in whichever way else APIs write it (see `waits`); then
    `RateLimit` and `RateLimit-Reset` (draft-ietf-httpapi-ratelimit-headers, in the form of its versions 03 to 07 and
    that of the later ones), when nothing remains. A time is compared with the response's own Date, if it has one, so
    that our clock does not matter.
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
    """Of `limit=100, remaining=0, reset=50`, or of `"hour";r=0;t=50, "day";r=7;t=9000`: when there is something again;
    "" when that is not what it says."""
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
