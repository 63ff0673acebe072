"""What the comparison of two commits calls worse."""

from __future__ import annotations

import pytest

from bench.compare import verdict


@pytest.mark.parametrize(
    ("old", "new", "word", "fails"),
    [
        ([10.0, 10.1, 10.2], [10.0, 10.1, 10.2], "the same", False),
        ([10.0, 10.1, 10.2], [10.2, 12.0, 13.0], "the same", False),  # they touch
        ([10.0, 10.1, 10.2], [10.25, 10.3, 10.35], "worse", False),  # by 2%
        ([10.0, 10.1, 10.2], [10.25, 10.5, 10.6], "worse", True),
        ([10.0, 10.1, 10.2], [5.0, 9.0, 9.9], "better", False),
        ([10.0, 10.1, 10.2], [1.0, 10.1, 99.0], "the same", False),
    ],
)
def test_only_what_lies_outside_both_spreads_counts(old: list[float], new: list[float], word: str, fails: bool) -> None:
    assert verdict(old, new) == (word, fails)
