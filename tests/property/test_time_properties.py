"""Laws of reading times: an instant has one mark, however an API writes it; marks sort as instants do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.sources.rest.description import Incremental
from crawlerd.sources.rest.incremental import mark, parameter
from crawlerd.sources.rest.times import EPOCH, microseconds, read

if TYPE_CHECKING:
    from collections.abc import Callable

LATEST = 253402300799.0  # the end of the year 9999
# From 1977 on no Unix time has the digits of a date.
INSTANTS = st.datetimes(datetime(1977, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
OFFSETS = st.integers(-12 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters))

WHOLE_SECONDS: dict[str, Callable[[datetime], Any]] = {
    "Unix": lambda at: int(at.timestamp()),
    "Unix as text": lambda at: str(int(at.timestamp())),
    "RFC 2822": format_datetime,
    "RFC 2822 without zone": lambda at: at.strftime("%a, %d %b %Y %H:%M:%S"),
    "RFC 2822, short": lambda at: at.strftime("%d %b %Y %H:%M:%S +0000").lstrip("0"),
    "RFC 2822 with a comment": lambda at: format_datetime(at) + " (UTC)",
    "HTTP": lambda at: format_datetime(at, usegmt=True),
    "RFC 850": lambda at: at.strftime("%A, %d-%b-%y %H:%M:%S GMT") if at.year < 2069 else at.isoformat(),
    "asctime": lambda at: at.strftime(f"%a %b {at.day:2} %H:%M:%S %Y"),
    "date(1)": lambda at: at.strftime(f"%a %b {at.day:2} %H:%M:%S UTC %Y"),
    "Twitter": lambda at: at.strftime("%a %b %d %H:%M:%S +0000 %Y"),
    "JavaScript": lambda at: at.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)"),
    "in words": lambda at: at.strftime("%B %d, %Y %I:%M:%S %p"),
    " UTC": lambda at: at.strftime("%Y-%m-%d %H:%M:%S UTC"),
    "Ruby": lambda at: at.strftime("%Y-%m-%d %H:%M:%S +0000"),
    "slashes": lambda at: at.strftime("%Y/%m/%d %H:%M:%S"),
    "basic": lambda at: at.strftime("%Y%m%dT%H%M%SZ"),
    "digits": lambda at: at.strftime("%Y%m%d%H%M%S"),
    "digits as number": lambda at: int(at.strftime("%Y%m%d%H%M%S")),
    "LDAP": lambda at: at.strftime("%Y%m%d%H%M%SZ"),
    "Microsoft": lambda at: f"/Date({int(at.timestamp()) * 1000})/",
}
MILLISECONDS: dict[str, Callable[[datetime], Any]] = {
    "Unix ms": lambda at: microseconds(at) // 1000,
    "Unix ms as text": lambda at: str(microseconds(at) // 1000),
    "Microsoft": lambda at: f"/Date({microseconds(at) // 1000})/",
    "Microsoft with offset": lambda at: f"/Date({microseconds(at) // 1000}-0730)/",
    "digits": lambda at: at.strftime("%Y%m%d%H%M%S") + f"{at.microsecond // 1000:03}",
    "ISO": lambda at: at.isoformat(timespec="milliseconds"),
    "Slack": lambda at: f"{microseconds(at) // 1_000_000}.{at.microsecond // 1000:03}",
}
EXACT: dict[str, Callable[[datetime], Any]] = {
    "ISO": lambda at: at.isoformat(),
    "ISO, Z": lambda at: at.isoformat().replace("+00:00", "Z"),
    "ISO, lower case": lambda at: at.isoformat().replace("+00:00", "z").replace("T", "t"),
    "ISO, without zone": lambda at: at.isoformat().removesuffix("+00:00"),
    "ISO, nanoseconds": lambda at: at.isoformat(timespec="microseconds").replace("+00:00", "999Z"),
    "ISO, comma": lambda at: at.isoformat(timespec="microseconds").replace(".", ",").replace("+00:00", "+0000"),
    "Go": lambda at: at.isoformat(" ", "microseconds").replace("+00:00", "123 +0000 UTC"),
    "Java": lambda at: at.isoformat() + "[Etc/UTC]",
    "Unix µs": microseconds,
    "Unix µs as text": lambda at: str(microseconds(at)),
    "Unix ns": lambda at: microseconds(at) * 1000 + 999,
    "Unix ns as text": lambda at: f" {microseconds(at) * 1000 + 1}\n",
    "Unix, fraction": lambda at: Decimal(microseconds(at)) / 1_000_000,
    "Unix, fraction as text": lambda at: str(Decimal(microseconds(at)) / 1_000_000) + ("0" * 9),
    "Unix ms, fraction": lambda at: Decimal(microseconds(at)) / 1000,
}


def marked(value: Any) -> str | None:
    return mark(Incremental(field="at"), value, latest=LATEST)


@pytest.mark.parametrize("form", WHOLE_SECONDS)
@given(INSTANTS)
def test_a_second_has_one_mark(form: str, at: datetime) -> None:
    at = at.replace(microsecond=0)
    assert marked(WHOLE_SECONDS[form](at)) == marked(at.isoformat())


@pytest.mark.parametrize("form", MILLISECONDS)
@given(INSTANTS)
def test_a_millisecond_has_one_mark(form: str, at: datetime) -> None:
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    assert marked(MILLISECONDS[form](at)) == marked(at.isoformat())


@pytest.mark.parametrize("form", EXACT)
@given(INSTANTS)
def test_a_microsecond_has_one_mark(form: str, at: datetime) -> None:
    assert marked(EXACT[form](at)) == at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@given(INSTANTS, OFFSETS)
def test_the_zone_does_not_matter(at: datetime, offset: timedelta) -> None:
    there = at.astimezone(timezone(offset))
    whole = there.replace(microsecond=0)
    for text in (there.isoformat(), there.strftime("%Y-%m-%d %H:%M:%S.%f %z"), there.strftime("%Y%m%dT%H%M%S.%f%z")):
        assert read(text) == at
    for text in (format_datetime(there), there.strftime("%a %b %d %H:%M:%S %z %Y"), there.strftime("%FT%T GMT%z")):
        assert read(text) == whole


@given(INSTANTS, INSTANTS, st.sampled_from(sorted(EXACT)), st.sampled_from(sorted(EXACT)))
def test_marks_sort_as_instants_do_in_any_notation(one: datetime, other: datetime, first: str, second: str) -> None:
    marks = marked(EXACT[first](one)), marked(EXACT[second](other))
    assert (marks[0] < marks[1]) == (one < other)  # type: ignore[operator]


@given(st.integers(-(10**10), 10**11 - 1))
def test_a_mark_becomes_the_parameter_that_it_came_from(seconds: int) -> None:
    millis = seconds * 1000 + 7
    for format, value, sent in (("unix", seconds, seconds), ("unix_ms", f"/Date({millis})/", millis)):
        rule = Incremental(field="at", format=format)  # type: ignore[arg-type]
        found = mark(rule, value, latest=LATEST)
        if found is not None and not is_a_date(seconds):
            assert parameter(rule, found) == sent


def is_a_date(number: int) -> bool:
    return 19_000_101 <= number <= 21_991_231


@given(st.floats(1e6, 4e9))
def test_a_float_is_read_as_it_is_written(seconds: float) -> None:
    if not is_a_date(int(seconds)):
        assert read(seconds) == read(Decimal(repr(seconds)))
        assert microseconds(read(seconds)) == int(Decimal(repr(seconds)) * 1_000_000)  # type: ignore[arg-type]


@given(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()) | st.just({}),
)
def test_any_value_is_a_time_or_none(value: Any) -> None:
    found = marked(value)
    assert found is None or EPOCH.replace(year=1) <= datetime.fromisoformat(found)


@given(st.from_regex(r"[ 0-9/:.TZ+GMTUC()\-,a-z]{1,40}", fullmatch=True))
def test_any_text_is_a_time_or_none(text: str) -> None:
    assert read(text) is None or read(text).tzinfo is UTC  # type: ignore[union-attr]
