"""What a response holds: its JSON, however odd, and what the description's rules make of it."""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.lenient_json import parsed
from crawlerd.core.redaction import cut
from crawlerd.source import Permanent, Throttled, Transient, Unauthorized
from crawlerd.sources.rest.expressions import look

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crawlerd.source import Response
    from crawlerd.sources.rest.description import ErrorRule

SHOWN = 200  # characters of what a rule found
TOKEN_REFUSED = (400, 404, 410, 422)
LONGEST_WAIT = 86_400.0  # seconds
UNIX_TIME_FROM = 1e9  # what a header says: below, seconds to wait; above, a time


class NoPage(Permanent):
    """A response that stands for a page without records.

    skipped: that is to be told.
    """

    def __init__(self, reason: str, *, skipped: bool) -> None:
        super().__init__(reason)
        self.skipped = skipped


def decoded(response: Response) -> Any:
    """The body's JSON, however odd its records. Transient when it is not JSON at all."""
    try:
        return parsed(response.utf8())
    except (ValueError, RecursionError):
        kind = cut(response.headers.get("content-type", "no content type"), 60)
        raise Transient(f"HTTP {response.status}, {kind}, is not JSON", fault="answer") from None


def judged(rules: Iterable[ErrorRule], response: Response) -> Exception | None:
    """The error that the first fitting rule makes of a response; None when no rule fits."""
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
            return Throttled(told, retry_after=_wait(rule, response), scope=rule.scope)
        case "pause":
            return Unauthorized(f"{told}{_because(rule, response)}")
    return Permanent(told)


def _because(rule: ErrorRule, response: Response) -> str:
    """What the rule has found: all that people see of the answer while the account is paused. It is never cut, since
    half a secret would not be known as one."""
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
    """Whether a page's token may have come to its end. error: what the rules make of the response."""
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


def _wait(rule: ErrorRule, response: Response) -> float | None:
    """Seconds that the rule's header asks for; None when it does not say, and the usual `Retry-After` counts."""
    try:
        value = float(response.headers.get((rule.wait_header or "").lower(), ""))
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return min(max(value - _sent_at(response) if value > UNIX_TIME_FROM else value, 1.0), LONGEST_WAIT)


def _sent_at(response: Response) -> float:
    """By the API's own clock, if it says."""
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return time.time()
