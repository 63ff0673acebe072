"""What the limits of an account permit a second."""

from __future__ import annotations

import pytest

from crawlerd.ratelimit.limiter import permitted


@pytest.mark.parametrize(
    ("limits", "rate"),
    [
        (["4/second", "50/day"], 4.0),  # a quota caps, and sets no pace
        (["120/minute", "10/second"], 2.0),
        (["50/day"], None),
        (["auto"], None),
        ([], None),
    ],
)
def test_quotas_set_no_pace(limits: list[str], rate: float | None) -> None:
    assert permitted(limits) == rate
