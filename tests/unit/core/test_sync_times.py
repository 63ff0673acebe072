"""Times in sync points, as sources write them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crawlerd.core.sync_times import earlier, shape, times_of

DAY = 86_400.0


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        ("2026-03-01T12:00:00Z", "2026-02-27T12:00:00Z"),
        ("2026-03-01T12:00:00.123456Z", "2026-02-27T12:00:00.123456Z"),
        ("2026-03-01T12:00:00.1234567+01:00", "2026-02-27T12:00:00.1234567+01:00"),
        ("2026-03-01 12:00", "2026-02-27 12:00"),
        ("2026-03-01", "2026-02-27"),
        ("1772366400", "1772193600"),
        ("1772366400.25", "1772193600.25"),
        ("1772366400123", "1772193600123"),
        ('{"since":"2026-03-01T12:00:00+00:00"}', '{"since":"2026-02-27T12:00:00+00:00"}'),
        (
            '{"event":1772366400,"noted":1772366400.5,"version":"2025-09-30","parents":true}',
            '{"event":1772193600,"noted":1772193600.5,"version":"2025-09-30","parents":true}',
        ),
    ],
)
def test_all_times_are_moved_and_all_else_stays(value: str, moved: str) -> None:
    assert earlier(value, 2 * DAY) == moved
    assert shape(moved) == shape(value)


@pytest.mark.parametrize(
    "value", ["", "evt_123", "00000000001772366400", "12", "2026-13-01", '{"page":7}', "{", "[1772366400]", "null"]
)
def test_what_is_no_time_is_not_moved(value: str) -> None:
    assert earlier(value, DAY) is None
    assert times_of(value) == []


@given(
    at=st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001 - made aware below
    seconds=st.integers(1, 365 * 86_400),
    digits=st.sampled_from([0, 3, 6]),
)
def test_moving_back_is_exact_in_every_form(at: datetime, seconds: int, digits: int) -> None:
    at = at.replace(microsecond=at.microsecond // 10 ** (6 - digits) * 10 ** (6 - digits), tzinfo=UTC)
    unix = at.timestamp()
    assume(unix - seconds > 2e8)
    text = at.isoformat(timespec={0: "seconds", 3: "milliseconds", 6: "microseconds"}[digits]).replace("+00:00", "Z")
    for value, per_second in (
        (text, None), (json.dumps({"since": text}), None), (str(int(unix)), 1), (str(int(unix * 1000)), 1000)
    ):  # fmt: skip
        moved = earlier(value, seconds)
        assert moved is not None
        if per_second:
            assert moved == str(int(value) - seconds * per_second)
        else:
            assert len(moved.replace(" ", "")) == len(value.replace(" ", ""))
        ((before,), (after,)) = times_of(value), times_of(moved)
        assert before - after == pytest.approx(seconds, abs=0.001)


@given(st.text(max_size=40) | st.from_regex(r"[0-9T:.Z{}\"+-]{1,30}", fullmatch=True))
def test_no_text_is_too_odd(value: str) -> None:
    shape(value)
    times_of(value)
    try:
        earlier(value, 3650 * DAY)
    except OverflowError:
        assert value
