"""The adaptive law under any server: never above its ceiling, never stopped, and always able to be put away."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlerd.core.notation import MOST_RATE
from crawlerd.ratelimit.adaptive import LATENESS, LONGEST_PAUSE, AdaptiveLaw, Learned, Sent

RATES = st.floats(0.01, 1000)
LEARNED = st.builds(Learned, rate=st.none() | RATES, concurrency=st.none() | st.integers(1, 100))
ANSWERS = st.tuples(
    st.sampled_from(["accepted", "accepted", "accepted", "throttled", "concurrency", "retry after", "failed"]),
    st.floats(0, 1),  # which of those on their way is answered
    st.floats(0, 3),  # seconds that pass before it
)


class Machine:
    """Starts whenever it may, unless it waits for the next answer; checks what must hold after each event."""

    def __init__(self, ceiling: float | None, learned: Learned | None) -> None:
        self.law = AdaptiveLaw(ceiling=ceiling, learned=learned)
        self.ceiling = ceiling or MOST_RATE
        self.now = 0.0
        self.flying: list[Sent] = []
        self.starts: list[float] = []
        self.check()

    def answer(self, what: str, which: float, wait: float) -> None:
        until = self.now + wait
        while len(self.flying) < 30 and (at := max(self.law.free_at(), self.now)) <= until:
            self.now = at
            self.starts.append(at)
            self.flying.append(self.law.start(at))
            self.check()
        self.now = until
        if not self.flying:
            return
        sent = self.flying.pop(int(which * (len(self.flying) - 1)))
        if what == "accepted":
            self.law.accepted(sent, until)
        elif what == "failed":
            self.law.failed(sent, until)
        else:
            retry_after = wait if what == "retry after" else None
            self.law.throttled(sent, until, retry_after=retry_after, concurrency=what == "concurrency")
        self.check()

    def check(self) -> None:
        law = self.law
        assert 0 < law.rate <= self.ceiling
        full = law.concurrency is not None and len(self.flying) >= law.concurrency
        assert (law.free_at() == math.inf) is full
        assert not math.isnan(law.free_at())
        learned = law.learned()
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(learned), type=Learned) == learned
        restored = AdaptiveLaw(ceiling=None if self.ceiling == MOST_RATE else self.ceiling, learned=learned)
        if learned.rate is not None:
            assert restored.rate == law.rate
        assert restored.concurrency == law.concurrency


@settings(max_examples=150, deadline=None)
@given(st.none() | RATES, st.none() | LEARNED, st.lists(ANSWERS, max_size=60))
def test_it_stays_within_its_bounds(
    ceiling: float | None, learned: Learned | None, answers: list[tuple[str, float, float]]
) -> None:
    machine = Machine(ceiling, learned)
    for answer in answers:
        machine.answer(*answer)
    if ceiling is not None:
        assert all(b - a >= 1 / ceiling - LATENESS - 1e-9 for a, b in pairwise(machine.starts))
        for n, first in enumerate(machine.starts):
            span = machine.starts[-1] - first
            assert len(machine.starts) - n <= 1 + (span + LATENESS) * ceiling + 1e-6


@settings(max_examples=75, deadline=None)
@given(st.none() | LEARNED, st.lists(ANSWERS, max_size=60))
def test_it_never_stops_for_good(learned: Learned | None, answers: list[tuple[str, float, float]]) -> None:
    machine = Machine(None, learned)
    for answer in answers:
        machine.answer(*answer)
    for sent in machine.flying:
        machine.law.failed(sent, machine.now)
    now = machine.now
    asked = max((wait for what, _, wait in answers if what == "retry after"), default=0.0)
    longest = max(LONGEST_PAUSE, 1 / machine.law.rate, 1 / (learned.rate or 1.0) if learned else 0.0, 20.0, asked)
    for _ in range(20):
        assert machine.law.free_at() - now <= longest + 1e-6
        now = max(now, machine.law.free_at())
        machine.law.accepted(machine.law.start(now), now + 0.1)
        now += 0.1


@given(rate=st.none() | st.floats(), concurrency=st.none() | st.integers())
def test_garbage_is_rejected_and_all_else_is_used(rate: float | None, concurrency: int | None) -> None:
    sound = (rate is None or 0 < rate <= MOST_RATE) and (concurrency is None or concurrency >= 1)
    if not sound:
        with pytest.raises(ValueError, match="learned"):
            Learned(rate, concurrency)
        return
    law = AdaptiveLaw(learned=Learned(rate, concurrency))
    assert law.concurrency == concurrency
    if rate is not None:
        assert law.rate == rate
