"""Repeated events in virtual time: none is lost, the first is told at once, and the others once a minute."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.folding import FOLD_SECONDS, Folded, Folding

Event = tuple[str, str]  # topic and member
events = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("+-"), st.floats(0, 50)), max_size=200)


class Line(NamedTuple):
    """at_once: it is the event itself, no count of others."""

    at: float
    event: Event
    number: int
    times: int
    at_once: bool


class Play:
    """steps: topic, member, and seconds since the event before."""

    def __init__(self, steps: list[tuple[str, str, float]], most: int = 10) -> None:
        self.folding, now, self.largest = Folding[tuple[Event, int]](most=most), 0.0, 0
        self.came: list[tuple[float, Event]] = []
        self.lines: list[Line] = []
        for number, (topic, member, seconds) in enumerate(steps):
            self.pass_time(now, now + seconds)
            now += seconds
            event = topic, member
            self.came.append((now, event))
            self.note(now, self.folding.due(now))
            before = self.folding.come(topic, member, (event, number), now)
            if before is not None:
                self.note(now, before)
                self.lines.append(Line(now, event, number, 1, True))
            self.largest = max(self.largest, len(self.folding._windows))
        self.now = now

    def pass_time(self, now: float, until: float) -> None:
        """As the thread that waits for it."""
        while (at := self.folding.next_at) is not None and at <= until:
            now = max(now, at)
            self.note(now, self.folding.due(now))

    def note(self, now: float, found: list[Folded[tuple[Event, int]]]) -> None:
        self.lines += [Line(now, *each.last, each.times, False) for each in found]

    def counted(self) -> Counter[Event]:
        counted: Counter[Event] = Counter()
        for line in self.lines:
            counted[line.event] += line.times
        return counted


@given(events)
def test_each_one_is_told_or_counted(steps: list[tuple[str, str, float]]) -> None:
    play = Play(steps)
    play.note(play.now, play.folding.rest(play.now))
    assert play.counted() == Counter(event for _, event in play.came)


@given(events)
def test_after_a_quiet_minute_the_last_line_of_a_topic_is_what_has_happened_last(
    steps: list[tuple[str, str, float]],
) -> None:
    play = Play(steps)
    play.pass_time(play.now, play.now + FOLD_SECONDS)
    last = {event[0]: number for number, (_, event) in enumerate(play.came)}
    assert {line.event[0]: line.number for line in play.lines} == last


@given(st.lists(st.floats(0, 50), max_size=200))
def test_of_one_thing_there_is_a_line_a_minute(steps: list[float]) -> None:
    play = Play([("a", "+", seconds) for seconds in steps])
    assert all(later.at - line.at > FOLD_SECONDS - 1e-6 for line, later in pairwise(play.lines))


@given(events)
def test_what_has_been_quiet_for_two_minutes_is_told_at_once(steps: list[tuple[str, str, float]]) -> None:
    play = Play(steps)
    last: dict[str, float] = {}
    for number, (at, event) in enumerate(play.came):
        if at - last.get(event[0], -1e9) > 2 * FOLD_SECONDS:
            assert Line(at, event, number, 1, True) in play.lines
        last[event[0]] = at


@given(events)
def test_each_line_of_a_count_says_in_what_time(steps: list[tuple[str, str, float]]) -> None:
    folding, now = Folding[int](), 0.0
    for topic, member, seconds in steps:
        now += seconds
        found = [*folding.due(now), *(folding.come(topic, member, 0, now) or [])]
        assert all(each.times > 0 and each.seconds >= 0 for each in found)


@given(st.lists(st.tuples(st.integers(0, 30).map(str), st.just("+"), st.floats(0, 1)), max_size=200))
def test_however_many_topics_there_are_memory_is_bounded(steps: list[tuple[str, str, float]]) -> None:
    play = Play(steps, most=5)
    assert play.largest <= 6
    play.note(play.now, play.folding.rest(play.now))
    assert play.counted() == Counter(event for _, event in play.came)
