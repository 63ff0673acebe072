"""What a query of the daemon's socket asks for."""

from __future__ import annotations

import pytest

from crawlerd.operations.problem import Refused
from crawlerd.service.parameters import MOST, Parameters


def test_a_list_has_a_bound_and_the_last_of_two_values_counts() -> None:
    asked = Parameters("limit=7&limit=9&after=12&since=1.5&name=a%20b")
    assert (asked.limit, asked.after, asked.since, asked["name"]) == (9, 12, 1.5, "a b")
    none = Parameters("")
    assert (none.limit, none.after, none.since) == (100, 0, 0.0)
    assert (Parameters("limit=1").limit, Parameters(f"limit={MOST}").limit) == (1, MOST)


@pytest.mark.parametrize("limit", [0, MOST + 1, 9_999_999])
def test_a_limit_out_of_range_is_an_error_and_not_cut(limit: int) -> None:
    with pytest.raises(Refused, match=rf"^limit: {limit} is not from 1 to 500"):
        _ = Parameters(f"limit={limit}").limit


@pytest.mark.parametrize("name", ["limit", "after", "since"])
@pytest.mark.parametrize("value", ["abc", "nan", "1e999", "-", "%00"])
def test_what_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(Refused, match=f"^{name}: "):
        getattr(Parameters(f"{name}={value}"), name)
    with pytest.raises(Refused, match=r"^next: 'x'"):
        Parameters("next=x").number("next", 1)
