"""How far an incremental stream has been read: times and numbers as text that sorts, and back into parameters. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from crawlerd.source import Marks
from crawlerd.sources.rest import times
from crawlerd.sources.rest.expressions import kind_of, look

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from crawlerd.sources.rest.description import Incremental
    from crawlerd.sources.rest.expressions import Scalar


class PageMarks:
    """The marks of a page's records, and how many records have no readable one.

    rule: None for a list that is not incremental.
    latest: see `mark`.
    """

    def __init__(self, rule: Incremental | None, *, latest: float) -> None:
        self._rule, self._latest = rule, latest
        self._read: set[int] = set()
        self._unread: dict[int, Any] = {}  # the values of unreadable marks

    def of(self, number: int, record: Mapping[str, Any]) -> str | None:
        """The mark of a record.

        number: its index on the page.
        """
        if self._rule is None:
            return None
        value = look(self._rule.field, record)
        found = mark(self._rule, value, latest=self._latest)
        if found is None:
            self._unread[number] = value
        else:
            self._read.add(number)
        return found

    def told(self, stream: str, chosen: Iterable[int], *, kept: bool) -> Iterator[Marks]:
        """The marks for the run's report.

        chosen: the records that count; others are on another page as well.
        kept: the list has a mark from an earlier run.
        """
        counting = set(chosen)
        read, unread = len(self._read & counting), [number for number in self._unread if number in counting]
        if self._rule is not None and (read or unread):
            why = f'"{self._rule.field}" {unreadable(self._rule, self._unread[unread[0]])}' if unread else ""
            yield Marks(stream, read, len(unread), why, kept=kept)


def mark(rule: Incremental, value: Any, *, latest: float) -> str | None:
    """A record's time or number as text that sorts; None if it has no readable one.

    latest: Unix seconds; a later time counts as this one. Changes after the run's start are read again, and a record
        with a time in the future must not hide changes until then.
    """
    if rule.format == "number":
        if isinstance(value, str) and re.fullmatch("[0-9]{1,20}", value):
            value = int(value)
        whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**20
        return f"{value:020d}" if whole else None
    at = times.read(value)
    return None if at is None else _text(min(at, _instant(latest)))


@lru_cache(maxsize=16)
def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def unreadable(rule: Incremental, value: Any) -> str:
    """Why `mark` returns None for a value, for people: "is …"."""
    if rule.format != "number":
        return times.unreadable(value)
    return "is missing or null" if value is None else f"is {kind_of(value)}, not a whole number of at most 20 digits"


def bound(rule: Incremental, cursor: str) -> str:
    """The mark from which on the next run reads: the cursor minus the overlap."""
    if rule.format == "number":
        return f"{max(0, int(cursor) - int(rule.overlap)):020d}"
    try:
        return _text(datetime.fromisoformat(cursor) - timedelta(seconds=rule.overlap))
    except OverflowError:
        return cursor


def known_up_to(rule: Incremental, since: str) -> str:
    """The cursor from which `bound` has made `since`, or an earlier one."""
    if rule.format == "number":
        return f"{int(since) + int(rule.overlap):020d}" if int(since) else since
    try:
        return _text(datetime.fromisoformat(since) + timedelta(seconds=rule.overlap))
    except OverflowError:
        return since


def parameter(rule: Incremental, since: str) -> Scalar:
    """A mark in the API's format."""
    if rule.format == "number":
        return int(since)
    at = datetime.fromisoformat(since)
    match rule.format:
        case "unix":
            return times.microseconds(at) // 1_000_000
        case "unix_ms":
            return times.microseconds(at) // 1000
        case "date":
            return since[:10]
    return f"{since[:19]}Z"


def mark_of(at: datetime) -> str:
    """A time, in UTC, as a mark."""
    return _text(at)


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").removesuffix("+00:00").rjust(26, "0") + "Z"
