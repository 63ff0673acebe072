"""Lowering the limits of an account for a time: requests, and their checks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import msgspec

from crawlerd.core.lowered import LimitNote
from crawlerd.core.notation import BurstLimit
from crawlerd.core.task import PART
from crawlerd.operations.pause_requests import LONGEST, Names, check, reason_of
from crawlerd.operations.problem import Refused, Unknown
from crawlerd.ratelimit.limiter import AUTO, parse_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limits import RateLimitItem

    from crawlerd.core.configuration import LimitSpec
    from crawlerd.frontier.reader_contract import FrontierReader

MOST_LIMITS = 10  # limits in one request


class Limits(Names, Protocol):
    """The configured limits."""

    def limits(self, account: str) -> LimitSpec | None:
        """The limits of an account; None if it is not configured, or the configuration cannot be read."""
        ...


class LimitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to lower limits.

    limits: such as "5/second", in the notation of the configuration.
    reason: for the audit.
    bucket: "" for the whole account.
    until: Unix seconds; None: until somebody ends it.
    """

    limits: list[str]
    reason: str
    bucket: str = ""
    until: float | None = None


def note(
    account: str, request: LimitRequest, names: Limits, reader: FrontierReader | None, by: str, now: float
) -> LimitNote:
    """The lowered limits to record. Raises Unknown for an unknown name, and Refused for an invalid request."""
    reason = reason_of(request.reason)
    check("account", [account], names, reader)
    if request.bucket:
        check("bucket", [f"{account}/{request.bucket}"], names, reader)
    if request.until is not None and not now < request.until <= now + LONGEST:
        raise Refused("the end of the limit must be in the future, and at most ten years away")
    limits = _limits(request.limits)
    if spec := names.limits(account.partition(PART)[0]):
        _check_lower(limits, [*spec.limits, *(spec.of_bucket(request.bucket) if request.bucket else ())])
    return LimitNote(
        account=account,
        bucket=request.bucket,
        limits=limits,
        reason=reason,
        by=by,
        since=now,
        until=request.until,
    )


def _limits(texts: Sequence[str]) -> list[str]:
    given = [part.strip() for text in texts for part in text.replace(";", ",").replace("|", ",").split(",")]
    if not given or len(given) > MOST_LIMITS:
        raise Refused(f"give 1 to {MOST_LIMITS} limits, such as 5/second")
    for text in given:
        if text == AUTO:
            raise Refused("auto is not a lower limit: give a number, such as 5/second")
        try:
            items = parse_limits([text])
        except ValueError as error:
            raise Refused(str(error)) from None
        if any(isinstance(item, BurstLimit) for item in items):
            raise Refused(f"{text}: a lowered limit cannot have a burst; write it as 5/second")
    return given


def _check_lower(limits: Sequence[str], configured: Sequence[str]) -> None:
    """Raises Refused if the configured limits are already so strict that these would have no effect."""
    held = {text: _holder(item, configured) for text in limits for item in parse_limits([text])}
    if all(held.values()):
        also = f"; {' and '.join(dict.fromkeys(held.values()))} is configured, and applies in any case"
        raise Refused(f"{', '.join(limits)} would not lower anything{also}")


def _holder(item: RateLimitItem, configured: Sequence[str]) -> str:
    """A configured limit that permits no more than this one in its window; "" if there is none."""
    seconds = item.get_expiry()
    for text in configured:
        for each in parse_limits([text]):
            burst, every = (each.burst, False) if isinstance(each, BurstLimit) else (0, True)
            windows = math.ceil(seconds / each.get_expiry()) if every else seconds / each.get_expiry()
            if burst + each.amount * windows <= item.amount:
                return text
    return ""


def not_lowered(account: str, bucket: str) -> Unknown:
    what = f"bucket {bucket[:80]} of account {account[:80]}" if bucket else f"account {account[:80]}"
    return Unknown(f"no limits of {what} are lowered")
