"""How long an API asks us to wait, in any form that APIs use: seconds, a duration, or a time. Pure."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime

LONGEST = 1e10  # seconds; longer waits are cut to this
LONGEST_TEXT = 64  # characters
UNIX_TIME_FROM = 1e9  # a smaller number is seconds to wait; this or a greater one is a Unix time in 2001 or later
# From these numbers on, a time is in nanoseconds, microseconds or milliseconds; and the greatest number that is a time.
UNITS, GREATEST = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3)), 1e19
NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)
DURATION = re.compile(
    r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9})ms)?", re.ASCII
)
SECONDS = (86_400, 3_600, 60, 1, 0.001)  # seconds of the units of a duration


def seconds(value: object, now: float) -> float | None:
    """The seconds to wait from `now` on, at most LONGEST; negative for a time in the past; None for other values.

    value: a number or text: seconds (`30`, `1.5`), a Unix time in seconds or smaller units, a duration (`1m30s`), an
        ISO 8601 time, or an HTTP date (RFC 9110, 10.2.3).
    now: Unix seconds.
    """
    if isinstance(value, str):
        return _of_text(value.strip(), now)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _of_number(value, now)
    return None


def _of_number(value: float | Decimal, now: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return LONGEST
    if math.isnan(number) or number < 0:
        return None
    if not UNIX_TIME_FROM <= number < GREATEST:
        return min(number, LONGEST)
    unit = next((unit for least, unit in UNITS if number >= least), 1.0)
    return min(number / unit - now, LONGEST)


def _of_text(text: str, now: float) -> float | None:
    if NUMBER.fullmatch(text):
        return _of_number(float(text), now)
    if not text or len(text) > LONGEST_TEXT:
        return None
    if parts := DURATION.fullmatch(text):
        return sum(float(part or 0) * each for part, each in zip(parts.groups(), SECONDS, strict=True))
    at = _time(text)
    return None if at is None else min(at - now, LONGEST)


def _time(text: str) -> float | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return http_date(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def http_date(text: str) -> float | None:
    """The Unix seconds of an HTTP date; None for other texts."""
    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
