"""Until when a pause lasts, and since when a list is meant: times that people write."""

from __future__ import annotations

import math

import pytest

from crawlerd.core.pauses import parse_time


@pytest.mark.parametrize("text", ["", "tomorrow", "-5", "0s", "2026-13-01", "2026-11-30T99:00", "9" * 14])
def test_what_is_no_time_is_said_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r'" is not a date or time, such as 2026-01-31 or 2026-01-31T09:30:00Z$'):
        parse_time(text, -math.inf)


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert parse_time("1970-01-02", 0) == parse_time("1970-01-02T01:00+01:00", 0) == 86_400
    with pytest.raises(ValueError, match="is over"):
        parse_time("1970-01-02", 86_400)
