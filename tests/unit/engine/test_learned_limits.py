"""What limits were found is told when it is news: the first time, and when one has moved."""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.configuration import LimitSpec
from crawlerd.core.log_events import Event, told_by
from crawlerd.engine.limiters import MOVED, Limiters, is_news, tell_learned
from crawlerd.ratelimit.adaptive import AdaptiveLaw, Learned

rates = st.floats(0.05, 10_000)
learned = st.builds(Learned, st.none() | rates, st.none() | st.integers(1, 500))


@given(st.lists(learned, max_size=50))
def test_people_know_each_limit_nearly(found: list[Learned]) -> None:
    told = Learned()
    for each in found:
        if is_news(each, told):
            told = each
        if each.rate is not None:
            assert told.rate is not None
            assert told.rate / MOVED <= each.rate <= told.rate * MOVED
        if each.concurrency is not None:
            assert told.concurrency == each.concurrency


@given(st.lists(st.floats(0.99, 1.01), max_size=100), rates)
def test_a_rate_that_trembles_is_told_once(factors: list[float], rate: float) -> None:
    told, lines = Learned(), 0
    for factor in [1.0, *factors]:
        if is_news(Learned(rate * factor), told):
            told, lines = Learned(rate * factor), lines + 1
    assert lines == 1


@given(learned)
def test_whatever_was_found_can_be_told(found: Learned) -> None:
    tell_learned(found, "acme", "reads")


def find_a_limit(law: AdaptiveLaw, rate: float, seconds: float) -> None:
    """A server that permits so many a second, in virtual time."""
    store, at, last = rate, 0.0, 0.0
    while at < seconds:
        at = max(at, law.free_at())
        assert at < math.inf
        sent = law.start(at)
        store = min(rate, store + (at - last) * rate)
        last = at
        if store >= 1:
            store -= 1
            law.accepted(sent, at)
        else:
            law.throttled(sent, at, retry_after=None, concurrency=False)


def test_a_limit_that_was_found_is_told_with_its_rate_and_not_again(caplog: pytest.LogCaptureFixture) -> None:
    remembered: dict[str, Learned] = {}
    store: Any = SimpleNamespace(remember=remembered.__setitem__, ask_quota=None)
    limiters = Limiters(store, None, -math.inf)
    limiter = limiters.of_account(7, "acme", LimitSpec(limits=("auto",)))
    assert limiter.law is not None
    with caplog.at_level(logging.INFO):
        limiters.learn(limiter, "acme")
        assert caplog.records == []
        find_a_limit(limiter.law, 20.0, 60.0)
        limiters.learn(limiter, "acme")
        find_a_limit(limiter.law, 20.0, 90.0)
        limiters.learn(limiter, "acme")
    (record,) = caplog.records
    told = told_by(record)
    assert told is not None
    assert told.event is Event.LIMIT_LEARNED
    assert told.fields["account"] == "acme"
    assert 15 < float(str(told.fields["rate"])) < 22
    assert "account acme: its API permits about" in record.getMessage()
    # the next process knows it, and does not tell it again
    caplog.clear()
    with caplog.at_level(logging.INFO):
        later = Limiters(store, remembered, -math.inf)
        law = later.of_account(7, "acme", LimitSpec(limits=("auto",)))
        assert law.law is not None
        find_a_limit(law.law, 20.0, 30.0)
        later.learn(law, "acme")
    assert caplog.records == []


def test_what_was_learned_under_other_limits_does_not_count() -> None:
    remembered: dict[str, Learned] = {}
    store: Any = SimpleNamespace(remember=remembered.__setitem__, ask_quota=None)
    limiters = Limiters(store, None, -math.inf)
    limiter = limiters.of_account(7, "acme", LimitSpec(limits=("auto",)))
    assert limiter.law is not None
    find_a_limit(limiter.law, 3.0, 120.0)
    limiters.learn(limiter, "acme")
    assert limiter.law.rate < 10

    def rate_of_the_next_process(*limits: str) -> float:
        law = Limiters(store, remembered, -math.inf).of_account(7, "acme", LimitSpec(limits=limits)).law
        assert law is not None
        return law.rate

    assert rate_of_the_next_process("auto") == pytest.approx(limiter.law.learned().rate)
    assert rate_of_the_next_process("40/second") == pytest.approx(40, rel=0.05)
    # what an older version has stored says nothing of its limits, and counts as before
    remembered["7"] = Learned(3.0)
    assert rate_of_the_next_process("40/second") == pytest.approx(3.0)
