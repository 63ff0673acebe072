"""Tables fit into the terminal; times, ages and counts are short."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawlerd.cli.tables import age, fitted, short_count, short_time

NAMES = st.text("abcdefgh-", min_size=1, max_size=63)


@given(st.lists(st.tuples(NAMES, NAMES, st.integers(0, 10**8), NAMES), min_size=1, max_size=5))
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, str, int, str]]) -> None:
    cells = [(first, second, short_count(count), third[:20]) for first, second, count, third in rows]
    lines = fitted([("import", "state", "records", "next"), *cells], 80, elastic=(0, 1))
    assert max(map(len, lines)) <= 80
    for line, (first, _, count, _) in zip(lines[2:], cells, strict=True):
        assert line[:7] == first[:7].ljust(7)  # enough of a name to know it by
        assert count in line


def test_nothing_is_cut_that_fits_and_empty_columns_are_left_out() -> None:
    assert fitted([("a", "b", "c"), ("x", "", "yyyy"), ("xxx", "", "z")], 80, elastic=(0,)) == [
        "",
        "a    c",
        "x    yyyy",
        "xxx  z",
    ]


def test_counts_ages_and_times_are_short() -> None:
    assert [short_count(n) for n in (0, 99_999, 100_000, 1_250_000)] == ["0", "99,999", "100k", "1.2M"]
    assert [age(each) for each in (-1.0, 119.0, 120.0, 7_200.0, 172_800.0)] == ["0 s", "119 s", "2 min", "2 h", "2 d"]
    now = 1_800_000_000.0
    assert len(short_time(now, now)) == 8
    assert len(short_time(now - 86_400 * 3, now)) == 12
    assert len(short_time(now - 86_400 * 900, now)) == 10
