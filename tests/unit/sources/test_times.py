"""Times that are none, or that could be two; and what people are told of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from crawlerd.source import Marks
from crawlerd.sources.rest.description import Incremental
from crawlerd.sources.rest.incremental import PageMarks
from crawlerd.sources.rest.times import read, unreadable

DAY_OR_MONTH = "which may have day or month first"
NO_TIME = "which is not a time that can be read"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "is missing or null"),
        ("", "is empty"),
        (" ", "is empty"),
        (True, "is true or false, which is not a time"),
        ({"seconds": 1}, "is an object, which is not a time"),
        ([1], "is a list, which is not a time"),
        (1e300, "is a number that is too small or too large for a time"),
        (0, "is a number that is too small or too large for a time"),
        (2025, "is a number that is too small or too large for a time"),
        ("2025", f'is "2025", {NO_TIME}'),
        (float("nan"), "is a number that is too small or too large for a time"),
        pytest.param(10**5000, "is a number that is too small or too large for a time", id="5,000 digits"),
        ("10/02/2025 12:00:00", f'is "10/02/2025 12:00:00", {DAY_OR_MONTH}'),
        ("1.2.25", f'is "1.2.25", {DAY_OR_MONTH}'),
        ("soon", f'is "soon", {NO_TIME}'),
        ("1" * 200, f'is "{"1" * 40}…", {NO_TIME}'),
        ("31 Jan 2025 09:30:00 CET", f'is "31 Jan 2025 09:30:00 CET", {NO_TIME}'),  # an unknown zone is not UTC
        ("2025-01-31T09:30:00 Europe/Berlin", f'is "2025-01-31T09:30:00 Europe/Berlin", {NO_TIME}'),
        ("31 Foo 2025", f'is "31 Foo 2025", {NO_TIME}'),
        ("2025-02-30", f'is "2025-02-30", {NO_TIME}'),
        ("2025-01-31 25:00:00", f'is "2025-01-31 25:00:00", {NO_TIME}'),
        ("2025-01-31 09:30:61 UTC", f'is "2025-01-31 09:30:61 UTC", {NO_TIME}'),
        ("2025-01-31 13:30 PM", f'is "2025-01-31 13:30 PM", {NO_TIME}'),
        ("0000-00-00 00:00:00", f'is "0000-00-00 00:00:00", {NO_TIME}'),
        ("9999-12-31T23:59:59-12:00", f'is "9999-12-31T23:59:59-12:00", {NO_TIME}'),
    ],
)
def test_what_is_no_time_is_told(value: Any, why: str) -> None:
    assert read(value) is None
    assert unreadable(value) == why


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (20250131, (2025, 1, 31)),
        ("20250131", (2025, 1, 31)),
        (20250131.0, (2025, 1, 31)),
        ("202501310930", (2025, 1, 31, 9, 30)),
        ("20250131093000123", (2025, 1, 31, 9, 30, 0, 123000)),
        (20251399, (1970, 8, 23, 9, 23, 19)),  # no date, so seconds
        ("2025-1-31 9:05", (2025, 1, 31, 9, 5)),
        ("2025-01-31 12:00 AM", (2025, 1, 31)),
        ("2025-01-31 12:00 pm", (2025, 1, 31, 12)),
        ("2025-01-31T24:00:00Z", (2025, 2, 1)),
        ("2016-12-31T23:59:60Z", (2017, 1, 1)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", (1994, 11, 6, 8, 49, 37)),
        ("31 Jan 2025 09:30:00 PST", (2025, 1, 31, 17, 30)),
        ("Sept. 3, 2025", (2025, 9, 3)),
        ("2025-W05-5", (2025, 1, 31)),
        (-86_400_000, (1967, 4, 7)),
        ("-86400000.0000001", (1967, 4, 6, 23, 59, 59, 999999)),  # cut off as in text
    ],
)
def test_odd_notations_are_read(value: Any, parts: tuple[int, ...]) -> None:
    assert read(value) == datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_a_page_counts_the_marks_that_can_be_read() -> None:
    marks = PageMarks(Incremental(field="at"), latest=2e9)
    values = (86_400_000, "soon", None, "1972-09-27")
    found = [marks.of(number, {"at": value}) for number, value in enumerate(values)]
    assert found == ["1972-09-27T00:00:00.000000Z", None, None, "1972-09-27T00:00:00.000000Z"]
    assert list(marks.told("items", range(4), kept=False)) == [Marks("items", 2, 2, f'"at" is "soon", {NO_TIME}')]
    assert list(marks.told("items", [3, 2], kept=False)) == [Marks("items", 1, 1, '"at" is missing or null')]
    assert list(marks.told("items", [], kept=True)) == []  # all were on the page before
    assert list(PageMarks(Incremental(field="at"), latest=2e9).told("items", [0], kept=True)) == []


def test_a_number_that_grows_may_be_text() -> None:
    marks = PageMarks(Incremental(field="n", format="number", overlap=0), latest=2e9)
    assert marks.of(0, {"n": "12"}) == marks.of(1, {"n": 12}) == f"{12:020}"
    assert marks.of(2, {"n": 1.5}) is None
    (told,) = marks.told("items", range(3), kept=True)
    assert told == Marks("items", 2, 1, '"n" is 1.5, not a whole number of at most 20 digits', kept=True)


def test_a_list_that_is_not_incremental_has_no_marks() -> None:
    marks = PageMarks(None, latest=2e9)
    assert marks.of(0, {"at": "soon"}) is None
    assert list(marks.told("items", [0], kept=False)) == []
