"""How far an incremental stream has come: times and numbers as text that sorts, and back into parameters. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crawlerd.sources.rest.description import Incremental
    from crawlerd.sources.rest.expressions import Scalar

MILLISECONDS_FROM = 1e11  # a Unix time above this is in milliseconds: as seconds, it would be the year 5138


def mark(rule: Incremental, value: Any, *, latest: float) -> str | None:
    """A record's time or number as text that sorts; None when it has none that can be read.

    latest: Unix seconds; a later time counts as this one. What changes after the run's start is asked for again, and
    a record from the future does not hide what changes until then.
    """
    if rule.format == "number":
        whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**20
        return f"{value:020d}" if whole else None
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            at = datetime.fromtimestamp(value / 1000 if value > MILLISECONDS_FROM else value, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return _text(min(at, datetime.fromtimestamp(latest, UTC)))


def bound(rule: Incremental, cursor: str) -> str:
    """The mark from which on the next run asks: the cursor less the overlap."""
    if rule.format == "number":
        return f"{max(0, int(cursor) - int(rule.overlap)):020d}"
    try:
        return _text(datetime.fromisoformat(cursor) - timedelta(seconds=rule.overlap))
    except OverflowError:
        return cursor


def known_up_to(rule: Incremental, since: str) -> str:
    """The cursor that `bound` made `since` of, or an earlier one."""
    if rule.format == "number":
        return f"{int(since) + int(rule.overlap):020d}" if int(since) else since
    try:
        return _text(datetime.fromisoformat(since) + timedelta(seconds=rule.overlap))
    except OverflowError:
        return since


def parameter(rule: Incremental, since: str) -> Scalar:
    """A mark as the API wants it."""
    if rule.format == "number":
        return int(since)
    at = datetime.fromisoformat(since)
    match rule.format:
        case "unix":
            return int(at.timestamp())
        case "unix_ms":
            return int(at.timestamp() * 1000)
        case "date":
            return since[:10]
    return f"{since[:19]}Z"


def mark_of(at: datetime) -> str:
    """A time, in UTC, as a mark."""
    return _text(at)


def _text(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="microseconds").rjust(26, "0") + "Z"
