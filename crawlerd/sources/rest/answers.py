"""The content of a response: its JSON, however unusual, and what the description's rules make of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core import waits
from crawlerd.core.lenient_json import parsed
from crawlerd.core.redaction import cut
from crawlerd.source import Permanent, Throttled, Transient, Unauthorized
from crawlerd.sources.rest.expressions import look

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crawlerd.source import Response
    from crawlerd.sources.rest.description import ErrorRule

SHOWN = 200  # characters of what a rule found
TOKEN_REFUSED = (400, 404, 410, 422)
SHORTEST_WAIT = 1.0  # seconds


class NoPage(Permanent):
    """A response that stands for a page without records.

    skipped: the report mentions it.
    """

    def __init__(self, reason: str, *, skipped: bool) -> None:
        super().__init__(reason)
        self.skipped = skipped


def decoded(response: Response) -> Any:
    """The body's JSON, however unusual its records. Raises Transient if it is not JSON at all."""
    try:
        return parsed(response.utf8())
    except (ValueError, RecursionError):
        kind = cut(response.headers.get("content-type", "no content type"), 60)
        raise Transient(f"HTTP {response.status}, {kind}, is not JSON", fault="answer") from None


def judged(rules: Iterable[ErrorRule], response: Response) -> Exception | None:
    """The error that the first matching rule makes of a response; None if no rule matches."""
    rule = next((each for each in rules if _fits(each, response)), None)
    if rule is None:
        return None
    told = f"HTTP {response.status}, by the description: {rule.action}"
    match rule.action:
        case "skip" | "empty":
            return NoPage(told, skipped=rule.action == "skip")
        case "retry":
            return Transient(told)
        case "throttle":
            seconds, said = _wait(rule, response)
            return Throttled(told, retry_after=seconds, scope=rule.scope, least=rule.wait or 0.0, said=said)
        case "pause":
            return Unauthorized(f"{told}{_because(rule, response)}")
    return Permanent(told)


def _because(rule: ErrorRule, response: Response) -> str:
    """What the rule has found. It is all that people see of the response while the account is paused. It is never cut,
    since part of a secret would not be recognized as one."""
    found: Any = None
    if rule.body is not None:
        found = look(rule.body, msgspec.json.decode(response.body))
    elif rule.header is not None:
        found = response.headers.get(rule.header.lower())
    where = rule.body or rule.header
    if not where:
        return ""
    return f", {where}: {found}" if isinstance(found, str) and len(found) <= SHOWN else f", {where}"


def spent(response: Response, error: Exception | None) -> bool:
    """Whether a page's token may have expired.

    error: what the rules make of the response.
    """
    return response.status in TOKEN_REFUSED and (error is None or isinstance(error, Permanent))


def _fits(rule: ErrorRule, response: Response) -> bool:
    if response.status not in rule.status:
        return False
    if rule.header is not None:
        value = response.headers.get(rule.header.lower())
        if value is None or (rule.equals is not None and value.strip() != rule.equals):
            return False
    if rule.body is None:
        return True
    try:
        return bool(look(rule.body, parsed(response.utf8())))
    except (ValueError, RecursionError, Permanent):
        return False


def _wait(rule: ErrorRule, response: Response) -> tuple[float | None, str]:
    """The seconds for which the response asks to wait, at the place that the rule names, and its text there; None if it
    has none, and then `Retry-After` is used."""
    sent = waits.http_date(response.headers.get("date", ""))  # by the API's own clock, if it is known
    for where, value in _waits(rule, response):
        seconds = waits.seconds(value, time.time() if sent is None else sent)
        if seconds is not None:
            return max(seconds, SHORTEST_WAIT), f"{where}: {cut(str(value), 60)}"
    return None, ""


def _waits(rule: ErrorRule, response: Response) -> Iterator[tuple[str, Any]]:
    if rule.wait_header is not None:
        yield rule.wait_header, response.headers.get(rule.wait_header.lower(), "")
    if rule.wait_body is not None:
        try:
            yield rule.wait_body, look(rule.wait_body, parsed(response.utf8()))
        except (ValueError, RecursionError, Permanent):
            return
