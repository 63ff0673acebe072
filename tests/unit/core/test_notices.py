"""What is told: in virtual time, over crashes and failures of the hook, nothing is lost and a storm is one message."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core import notices
from crawlerd.core.notices import MOST, SETTLE_SECONDS, Condition, Ledger, Notice, retry_seconds
from crawlerd.core.notify_spec import EVENTS, USUAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOW = 1_800_000_000.0
WAIT, EVERY, LOOK = 10.0, 60.0, 5.0
HOOK = "webhook"


def conditions(names: Iterable[str], event: str = "outage") -> list[Condition]:
    return [Condition(event, name, "does not answer") for name in names]  # type: ignore[arg-type] # one of EVENTS


def ledger(now: float = NOW, hooks: Iterable[str] = (HOOK,)) -> Ledger:
    made = Ledger()
    made.configure(list(hooks), EVENTS, now)
    return made


def look(of: Ledger, names: Iterable[str], now: float, event: str = "outage") -> bool:
    return of.look(EVENTS, conditions(names, event), [], now)


def deliver(of: Ledger, now: float, hook: str = HOOK) -> dict[str, Notice]:
    batch, more = of.batch(hook)
    of.delivered(hook, batch, more, now)
    return batch


def states(batch: Mapping[str, Notice]) -> dict[str, str]:
    return {each.subject: each.state for each in batch.values()}


def reopened(of: Ledger) -> Ledger:
    """As another process finds it."""
    return msgspec.json.decode(msgspec.json.encode(of), type=Ledger)


def test_what_begins_and_what_is_over_is_told_once() -> None:
    known = ledger()
    assert look(known, ["a", "b"], NOW)
    assert states(deliver(known, NOW)) == {"a": "began", "b": "began"}
    assert not look(known, ["a", "b"], NOW + 5)
    assert known.batch(HOOK) == ({}, {})
    assert look(known, ["b"], NOW + 10)
    (over,) = deliver(known, NOW + 10).values()
    assert (over.subject, over.state, over.since, over.until) == ("a", "over", NOW, NOW + 10)
    assert not look(known, ["b"], NOW + 15)


def test_a_trouble_that_ends_before_the_hook_works_is_told_all_the_same() -> None:
    known = ledger()
    look(known, ["a"], NOW)
    look(known, [], NOW + 300)
    (notice,) = deliver(known, NOW + 400).values()
    assert (notice.state, notice.since, notice.until, notice.times) == ("over", NOW, NOW + 300, 1)


def test_what_flaps_is_one_notice_with_a_count() -> None:
    known = ledger()
    for number in range(10):
        look(known, ["a"] if number % 2 == 0 else [], NOW + LOOK * number)
    (notice,) = known.batch(HOOK)[0].values()
    assert (notice.state, notice.times, notice.since) == ("over", 5, NOW)


def test_what_changes_while_a_message_is_under_way_is_told_with_the_next() -> None:
    known = ledger()
    look(known, ["a", "b"], NOW)
    batch, more = known.batch(HOOK)
    look(known, ["b"], NOW + 5)
    known.delivered(HOOK, batch, more, NOW + 6)
    assert states(known.batch(HOOK)[0]) == {"a": "over"}


def test_a_storm_is_one_message_and_then_one_a_minute() -> None:
    known = ledger()
    sent = []
    for second in range(0, 185, 5):
        now = NOW + second
        look(known, [str(number) for number in range(second + 1)], now)
        at = known.due_at(HOOK, WAIT, EVERY, now)
        if at is not None and at <= now:
            sent.append((second, len(deliver(known, now))))
    assert [second for second, _ in sent] == [10, 70, 130]
    assert sum(count for _, count in sent) == 131


def test_more_than_can_be_kept_is_counted() -> None:
    known = ledger()
    look(known, map(str, range(3 * MOST)), NOW)
    batch, more = known.batch(HOOK)
    assert len(batch) == MOST
    assert more == {}
    for number in range(MOST + 7):
        known.look(EVENTS, [], [Condition("finished", f"run {number}", "completed")], NOW + 1)
    batch, more = known.batch(HOOK)
    assert more == {"finished": 7}
    known.delivered(HOOK, batch, more, NOW + 2)
    assert known.batch(HOOK) == ({}, {})


def test_what_only_a_running_daemon_knows_must_stay_away_for_a_while() -> None:
    """A restart forgets it, and finds it again with its first write."""
    known = ledger()
    look(known, ["crawlerd"], NOW, "disk")
    deliver(known, NOW)
    known = reopened(known)
    assert not look(known, [], NOW + SETTLE_SECONDS - 1, "disk")
    assert not look(known, ["crawlerd"], NOW + SETTLE_SECONDS, "disk")
    assert look(known, [], NOW + 2 * SETTLE_SECONDS, "disk")


def test_a_hook_that_is_new_is_told_all_that_is_wrong() -> None:
    known = ledger()
    look(known, ["a"], NOW)
    deliver(known, NOW)
    assert known.configure([HOOK, "command"], EVENTS, NOW + 9)
    assert states(known.batch("command")[0]) == {"a": "began"}
    assert known.batch(HOOK) == ({}, {})


def test_what_is_not_wanted_any_more_is_not_told_as_over() -> None:
    known = ledger()
    look(known, ["a"], NOW)
    assert known.configure([HOOK], ["disk"], NOW + 1)
    assert not known.look(["disk"], [], [], NOW + 1)
    assert known.batch(HOOK) == ({}, {})
    assert known.configure([], EVENTS, NOW + 2)
    assert known.queues == {}


def test_the_hooks_do_not_wait_for_each_other() -> None:
    known = ledger(hooks=[HOOK, "command"])
    look(known, ["a"], NOW)
    deliver(known, NOW + 10)
    assert known.due_at(HOOK, WAIT, EVERY, NOW + 10) is None
    assert known.due_at("command", WAIT, EVERY, NOW + 10) == NOW + 10


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    known = ledger()
    look(known, ["a"], NOW)
    deliver(known, NOW)
    look(known, ["a", "b"], NOW - 5000)
    at = known.due_at(HOOK, WAIT, EVERY, NOW - 5000)
    assert at is not None
    assert at <= NOW - 5000 + max(WAIT, EVERY)


@pytest.mark.parametrize(("failures", "asked", "seconds"), [(1, None, 10), (2, None, 20), (9, None, 600), (1, 30, 30)])
def test_a_hook_that_fails_is_tried_again_later_and_later(failures: int, asked: float | None, seconds: float) -> None:
    assert retry_seconds(failures, asked) == seconds
    assert retry_seconds(10**6, 1e9) == notices.LONGEST_RETRY


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wrong"), st.frozensets(st.sampled_from("abcd"))),
        st.tuples(st.just("works"), st.booleans()),
        st.tuples(st.just("crash"), st.just(None)),
    ),
    max_size=40,
)


@given(steps)
def test_whoever_reads_the_messages_knows_what_is_wrong(script: list[tuple[str, object]]) -> None:
    """A hook that works and fails as it likes, kills in between, each look 5 s after the last. What was told in the end
    is what is wrong, nothing that was seen is missing, and no two messages are closer than they may be."""
    known, now, works = ledger(), NOW, True
    wrong: frozenset[str] = frozenset()
    seen: set[str] = set()
    told: dict[str, str] = {}
    began: set[str] = set()
    sent: list[float] = []

    def tick() -> None:
        nonlocal now
        now += LOOK
        look(known, sorted(wrong), now)
        at = known.due_at(HOOK, WAIT, EVERY, now)
        if at is not None and at <= now and works:
            batch = deliver(known, now)
            assert batch
            told.update(states(batch))
            began.update(states(batch))
            sent.append(now)

    for step, value in script:
        if step == "wrong":
            wrong = frozenset(value)  # type: ignore[call-overload] # names
            seen |= wrong
        elif step == "works":
            works = bool(value)
        else:
            known = reopened(known)
        tick()
    works = True
    for _ in range(30):
        tick()
    assert {name for name, state in told.items() if state == "began"} == wrong
    assert began == seen
    assert all(later - first >= EVERY for first, later in pairwise(sent))
    assert known.batch(HOOK) == ({}, {})


def test_every_usual_event_is_one() -> None:
    assert set(USUAL) == set(EVENTS) - {"finished"}
