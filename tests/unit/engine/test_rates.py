"""Requests a second of each run, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.engine.rates import EVERY, SPAN, Rates


def test_nothing_is_known_before_the_first_look() -> None:
    assert Rates().by_run(5.0) == {}


@given(each=st.integers(0, 50), ticks=st.integers(8, 200))
def test_a_steady_rate_is_shown_as_it_is(each: int, ticks: int) -> None:
    """However long the run has gone on."""
    rates = Rates()
    for tick in range(ticks):
        rates.look(tick / 4)
        rates.started[7] += each
    assert rates.by_run(ticks / 4)[7] == pytest.approx(4 * each)


def test_what_a_run_did_long_ago_does_not_count() -> None:
    rates = Rates()
    rates.look(0.0)
    rates.started[7] += 1_000
    for tick in range(int(4 * (SPAN + 2 * EVERY))):
        rates.look(1.0 + tick / 4)
    assert rates.by_run(1.0 + SPAN + 2 * EVERY) == {7: 0.0}


def test_a_run_that_has_ended_is_forgotten() -> None:
    rates = Rates()
    rates.look(0.0)
    rates.started[7] += 10
    rates.forget(7)
    rates.forget(8)
    assert rates.by_run(1.0) == {}


@given(each=st.integers(1, 50), ticks=st.integers(8, 200))
def test_the_rate_of_an_account_has_that_of_its_parts(each: int, ticks: int) -> None:
    rates = Rates()
    for tick in range(ticks):
        rates.look(tick / 4)
        rates.lately["acme"] += each
        rates.lately["acme/eu"] += each
    assert rates.by_account(ticks / 4)["acme"] == pytest.approx(8 * each)


def test_of_accounts_that_are_asked_no_more_nothing_is_kept() -> None:
    rates = Rates()
    for tick in range(1_000):
        rates.look(tick / 4)
        rates.lately[f"shop-{tick}"] += 1
    assert len(rates.by_account(250.0)) <= 4 * (SPAN + 2 * EVERY)
    assert len(rates.lately) <= 4 * EVERY
