"""How long an API asks to wait, in whichever way it says so: seconds, a duration, or the time when it is over. Pure."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime

LONGEST = 1e10  # seconds: what is more is as absurd
LONGEST_TEXT = 64  # characters
UNIX_TIME_FROM = 1e9  # a number below is seconds to wait; from here on it is a time, in 2001 or later
# From these numbers on, a time is in milliseconds, in microseconds, in nanoseconds; the greatest number that is a time.
UNITS, GREATEST = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3)), 1e19
NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)
DURATION = re.compile(
    r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9})ms)?", re.ASCII
)
SECONDS = (86_400, 3_600, 60, 1, 0.001)  # of the parts of a duration


def seconds(value: object, now: float) -> float | None:
    """Seconds from `now` (Unix) on, at most LONGEST; below 0 for a time that is over; None for what says no time.

    value: a number or text: seconds (`30`, `1.5`), Unix time in seconds or smaller units, a duration (`1m30s`), an ISO
    8601 time, an HTTP date (RFC 9110, 10.2.3).
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
    """Unix time of an HTTP date; None when it is not one."""
    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
