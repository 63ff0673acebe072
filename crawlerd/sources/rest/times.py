"""Times as APIs write them, read to the microsecond: every notation of the same instant gives the same result. Pure.

A Unix time may be in seconds, milli-, micro- or nanoseconds, which its size shows, and may be text. A number of 8, 12,
14 or 17 digits that is a date of the years 1900 to 2199 is that date (20250131, 20250131093000). Fractions of a
microsecond are cut off. Text without a zone is in UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_FLOOR, Context, Decimal

from crawlerd.core.redaction import cut

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LONGEST = 100  # characters of a text that may be a time
SHOWN = 40  # characters of a value in a message
LARGEST = 10**20  # nanoseconds in the year 5138, as 1e11 is in seconds, 1e14 in milli- and 1e17 in microseconds
SMALLEST = 10**6  # seconds: smaller numbers are something else (an id, a year), or 0 for "never"
UNITS = ((10**17, -3), (10**14, 0), (10**11, 3), (0, 6))  # from this size on, powers of ten to microseconds
CALENDAR = (8, 12, 14, 17)  # digits of a date, with minutes, seconds, milliseconds
CENTURY_FROM = 69  # a two-digit year below this is in the 2000s, as in POSIX
EXACT = Context(prec=200)

NAMES = re.findall("[a-z]+", "january february march april may june july august september october november december")
MONTHS = {name: number for number, full in enumerate(NAMES, 1) for name in (full, full[:3], full[:4])}
ZONES = {"z": 0, "ut": 0, "utc": 0, "gmt": 0}  # hours
ZONES |= {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}  # RFC 2822, 4.3

_CLOCK = (
    r"(?P<hour>\d{1,2}):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?(?:\s*(?P<half>am|pm)\b)?"
)
# "+0000", "UTC", "GMT+0000", each perhaps followed by the zone's name, as Go, Java and JavaScript write it.
_ZONE = (
    r"(?:(?P<zone>[a-z]{1,4})(?![a-z]))?"
    r"(?:(?P<sign>[+-])(?P<offset_hours>\d\d)(?::?(?P<offset_minutes>\d\d))?)?"
    r"(?:\s*(?:\([^()]*\)|\[[^\[\]]*\]|(?<=\d)\s[a-z]{2,5}))?"
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_FORMS = [
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        rf"(?P<year>\d{{4}})(?P<dash>[-/.])(?P<month>\d\d?)(?P=dash)(?P<day>\d\d?)(?:[t _]\s*{_CLOCK}\s*{_ZONE})?",
        rf"(?P<year>\d{{4}})(?P<month>\d\d)(?P<day>\d\d)(?:[t _]?\s*{_CLOCK}\s*{_ZONE})?",  # ISO 8601, LDAP
        rf"{_WEEKDAY}(?P<day>\d\d?)[ -](?P<name>[a-z]+)\.?,?[ -](?P<year>\d{{4}}|\d\d)(?:,?\s+{_CLOCK}\s*{_ZONE})?",
        rf"{_WEEKDAY}(?P<name>[a-z]+)\.?\s+(?P<day>\d\d?),?\s+(?P<year>\d{{4}})(?:,?\s+{_CLOCK}\s*{_ZONE})?",
        rf"{_WEEKDAY}(?P<name>[a-z]+)\.?\s+(?P<day>\d\d?)\s+{_CLOCK}\s*{_ZONE}\s+(?P<year>\d{{4}})",  # asctime, Twitter
    )
]
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,30})?", re.ASCII)
_MICROSOFT = re.compile(r"/Date\(([+-]?\d{1,17})(?:[+-]\d{4})?\)/", re.ASCII)  # the offset is only for display
_EITHER_FIRST = re.compile(r"\d\d?([/.-])\d\d?\1\d{2,4}\b.*", re.ASCII | re.DOTALL)


def read(value: object) -> datetime | None:
    """The time that a value of a record stands for, in UTC; None if it cannot be read."""
    try:
        if isinstance(value, str):
            return _of_text(value)
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return _of_number(Decimal(repr(value)) if isinstance(value, float) else value)
    except (ValueError, ArithmeticError):  # the latter covers OverflowError, and the errors of decimals
        return None
    return None


def unreadable(value: object) -> str:
    """Why `read` returns None for a value, for people: "is …"."""
    if value is None:
        return "is missing or null"
    if isinstance(value, str):
        shown = " ".join(value[: LONGEST + 1].split())
        if not shown:
            return "is empty"
        shown = f'"{cut(shown, SHOWN)}"' if len(shown) <= SHOWN else f'"{cut(shown, SHOWN)}…"'
        either = _EITHER_FIRST.fullmatch(value.strip())
        return f"is {shown}, which " + ("may have day or month first" if either else "is not a time that can be read")
    if isinstance(value, bool):
        return "is true or false, which is not a time"
    if isinstance(value, int | float | Decimal):
        return "is a number that is too small or too large for a time"
    kind = (
        "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else "neither text nor a number"
    )
    return f"is {kind}, which is not a time"


def microseconds(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - EPOCH) // MICROSECOND


def _of_number(number: int | Decimal) -> datetime | None:
    size = -number if number < 0 else number
    if not SMALLEST <= size < LARGEST:  # infinity is excluded too; for NaN, the comparison raises
        return None
    if (whole := int(number)) == number and (date := _of_digits(str(whole))) is not None:
        return date
    power = next(power for least, power in UNITS if size >= least)
    if isinstance(number, int):
        return _since(number // 1000 if power < 0 else number * 10**power)
    return _since(int(number.scaleb(power, EXACT).to_integral_value(ROUND_FLOOR, EXACT)))


def _of_digits(digits: str) -> datetime | None:
    """A date without separators."""
    if len(digits) not in CALENDAR or not "1900" <= digits[:4] < "2200":
        return None
    month, day, hour, minute, second = (int(digits[at : at + 2] or 0) for at in range(4, 14, 2))
    try:
        return datetime(int(digits[:4]), month, day, hour, minute, second, int(digits[14:] or 0) * 1000, UTC)
    except ValueError:
        return None


def _since(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def _of_text(text: str) -> datetime | None:
    if text[4:5] == "-" and len(text) <= LONGEST:  # nearly all are like this
        try:
            return _in_utc(datetime.fromisoformat(text))
        except ValueError:
            pass
    text = text.strip()
    if len(text) > LONGEST:
        return None
    if _NUMBER.fullmatch(text):
        return _of_number(Decimal(text) if "." in text else int(text))
    if found := _MICROSOFT.fullmatch(text):
        return _since(int(found[1]) * 1000)
    for form in _FORMS:
        if parts := form.fullmatch(text):
            return _of_parts(parts)
    return _in_utc(datetime.fromisoformat(text))  # weeks, and other forms of ISO 8601


def _of_parts(parts: re.Match[str]) -> datetime | None:
    named = parts.groupdict()
    month = MONTHS.get(named["name"].lower()) if "name" in named else int(named["month"])
    year = int(named["year"])
    if len(named["year"]) == 2:
        year += 2000 if year < CENTURY_FROM else 1900
    if month is None:
        return None
    if named["hour"] is None:
        return datetime(year, month, int(named["day"]), tzinfo=UTC)
    east = _offset(named)
    hour = _hour(int(named["hour"]), (named["half"] or "").lower())
    minute, second = int(named["minute"]), int(named["second"] or 0)
    if east is None or hour is None or minute > 59 or second > 60 or (hour == 24 and (minute or second)):
        return None
    fraction = int((named["fraction"] or "")[:6].ljust(6, "0"))
    day = datetime(year, month, int(named["day"]), tzinfo=timezone(east))
    # Added, since a leap second and the hour 24 are valid times too.
    return _in_utc(day + timedelta(hours=hour, minutes=minute, seconds=second, microseconds=fraction))


def _hour(hour: int, half: str) -> int | None:
    if not half:
        return hour if hour <= 24 else None
    return hour % 12 + 12 * (half == "pm") if 1 <= hour <= 12 else None


def _offset(named: dict[str, str]) -> timedelta | None:
    """The offset east of UTC; None for a zone whose name is ambiguous."""
    zone = ZONES.get((named["zone"] or "utc").lower())
    if zone is None or (zone and named["sign"]):
        return None
    hours, minutes = int(named["offset_hours"] or 0), int(named["offset_minutes"] or 0)
    if minutes > 59:
        return None
    return timedelta(hours=zone) + timedelta(hours=hours, minutes=minutes) * (-1 if named["sign"] == "-" else 1)


def _in_utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
