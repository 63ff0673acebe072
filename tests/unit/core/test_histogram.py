"""Laws of the scale on which durations are counted."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.histogram import MOST, bin_of, level_of, quantile

durations = st.floats(0.001, 1800)


@given(st.lists(durations, min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_that_of_the_durations_to_a_tenth(seconds: list[float], share: float) -> None:
    found = quantile(Counter(map(bin_of, seconds)), share)
    assert found is not None
    rank = share * len(seconds)
    below = sum(each <= found * 1.1 for each in seconds)
    above = sum(each < found / 1.1 for each in seconds)
    assert above <= rank + 1e-6
    assert below >= rank - 1e-6


@given(durations, durations)
def test_a_longer_duration_is_in_no_lower_bin(one: float, other: float) -> None:
    assert (bin_of(one) <= bin_of(other)) == (one <= other) or bin_of(one) == bin_of(other)


def test_the_bins_are_bounded_and_nothing_counted_has_no_quantile() -> None:
    assert (bin_of(0.0), bin_of(1e9)) == (0, MOST)
    assert quantile({}, 0.5) is quantile({3: 0}, 0.5) is None


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_a_longer_chain_is_on_no_lower_level_and_levels_are_few(one: int, other: int) -> None:
    assert (level_of(one) <= level_of(other)) == (one <= other) or level_of(one) == level_of(other)
    assert level_of(one) <= 45
    assert one >= 8 or level_of(one) == one
