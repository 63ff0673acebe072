"""Finds and moves the times in sync points, which each source writes in its own form."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:(?P<mark>[T ])(?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?P<part>\.[0-9]{1,9})?"
    r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_SECONDS = re.compile(r"[1-9][0-9]{8,9}(\.[0-9]{1,9})?")
_FIRST, _LAST = 1e8, 1e10  # numbers between these count as Unix seconds: 1973 to 2286
_MILLI = 1000


def times_of(value: str) -> list[float]:
    """The times in a sync point, in Unix seconds. The sync point may be a time, or a JSON object with times in its
    fields. A time without a zone is in UTC."""
    found: list[float] = []

    def note(at: float) -> float:
        found.append(at)
        return at

    _each(value, note)
    return found


def earlier(value: str, seconds: float) -> str | None:
    """The sync point with all its times moved back, otherwise unchanged; None when it has no time. Raises OverflowError
    when the result is out of range."""
    count = 0

    def move(at: float) -> float:
        nonlocal count
        count += 1
        return at - seconds

    moved = _each(value, move)
    return moved if count else None


def shape(value: str) -> str:
    """A description of the form of a value, for people who replace it by another one."""
    fields = _object(value)
    if fields is not None:
        return f"a JSON object with {', '.join(sorted(fields)) or 'no field'}"
    if _TIME.fullmatch(value) and times_of(value):
        return "a time" if "T" in value or " " in value else "a date"
    if _SECONDS.fullmatch(value) or _is_milli(value):
        return "a time in Unix seconds" if _SECONDS.fullmatch(value) else "a time in Unix milliseconds"
    return "a number" if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) else "text"


def _object(value: str) -> dict[str, Any] | None:
    if not value.startswith("{"):
        return None
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except msgspec.DecodeError:
        return None


def _each(value: str, change: Any) -> str:
    """The value with each of its times changed. change: a function from Unix seconds to Unix seconds."""
    fields = _object(value)
    if fields is None:
        return _text(value, change)
    return msgspec.json.encode({name: _field(each, change) for name, each in fields.items()}).decode()


def _field(value: Any, change: Any) -> Any:
    """Changes the time in a field of an object. Leaves a date unchanged, since it may be the version of an API."""
    if isinstance(value, str) and ("T" in value or " " in value):
        return _text(value, change)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if _FIRST <= value < _LAST:
        return type(value)(change(value))
    if isinstance(value, int) and _FIRST <= value / _MILLI < _LAST:
        return round(change(value / _MILLI) * _MILLI)
    return value


def _text(value: str, change: Any) -> str:
    if _SECONDS.fullmatch(value):
        return f"{change(float(value)):.{len(value.partition('.')[2])}f}"
    if _is_milli(value):
        return str(round(change(int(value) / _MILLI) * _MILLI))
    parts = _TIME.fullmatch(value)
    if not parts:
        return value
    try:
        local = datetime.fromisoformat(f"{parts['date']}T{parts['clock'] or '00:00'}").replace(tzinfo=UTC)
        before = (
            datetime.fromisoformat(value).replace(tzinfo=UTC) if not parts["zone"] else datetime.fromisoformat(value)
        )
    except ValueError:
        return value
    at = before.timestamp()
    local -= timedelta(seconds=at - change(at))
    date = local.strftime("%Y-%m-%d").rjust(10, "0")
    if not parts["clock"]:
        return date
    clock = local.strftime("%H:%M:%S")[: len(parts["clock"])]
    return f"{date}{parts['mark']}{clock}{parts['part'] or ''}{parts['zone'] or ''}"


def _is_milli(value: str) -> bool:
    return bool(re.fullmatch(r"[1-9][0-9]{11,12}", value))
