"""What the engine keeps of outages while accounts come and go; `tests/unit/ratelimit/test_outage.py` has the law."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from support.outages import ORIGIN, OneOrigin, outages

from crawlerd.core.configuration import LimitSpec
from crawlerd.core.outcome import Bury, Complete, Result, Retry
from crawlerd.core.task import Task
from crawlerd.engine.clock import Clock
from crawlerd.engine.outages import UNUSED_SECONDS, Outages
from crawlerd.engine.queues import AccountQueue, Pick
from crawlerd.frontier.contract import OutageNote
from crawlerd.ratelimit.limiter import Limiter
from crawlerd.ratelimit.window import StartLog

if TYPE_CHECKING:
    import pytest

    from crawlerd.core.outcome import Outcome

NO_CONNECTION = Retry(0.5, "refused", fault="connection")


def account(known: Outages, number: int = 1) -> AccountQueue:
    limiter = Limiter(str(number), [], StartLog(), [].append)
    return AccountQueue(number, f"a{number}", LimitSpec(), limiter, known.usual(number))


def hear(
    known: Outages, queue: AccountQueue, outcome: Outcome, now: float, *, seq: int = 1, origin: str = ""
) -> Outcome:
    """A result of a task that is not a probe."""
    task = Task(seq, 1, 5, 1, "shop.page", 0, "{}")
    result = Result(1, outcome, 0.0 if outcome is NO_CONNECTION else now, now, origin)
    return known.heard(Pick(queue, None, [task]), task, result, outcome, now - 0.1, now)


def test_a_failure_without_an_answer_costs_nothing() -> None:
    known = outages()
    heard = hear(known, account(known), NO_CONNECTION, 1.0)
    assert isinstance(heard, Retry)
    assert heard.charged == 0


def test_one_that_is_the_tasks_own_is_buried_after_its_attempts() -> None:
    known = outages()
    assert isinstance(hear(known, account(known), Retry(0.5, "odd", attempts=1), 1.0), Bury)


def test_an_outage_goes_on_in_the_next_process_with_a_probe_at_once() -> None:
    known, one = outages(), OneOrigin()
    note = OutageNote(ORIGIN, 0, Clock().now() - 60, Clock().now() + 300, 160.0, "refused")
    known = Outages(one, one, Clock(), [note])
    health = known.usual(1)
    now = time.monotonic()
    assert not health.calm
    assert health.free_at(now) <= now
    probe = health.start(now)
    assert probe is not None
    assert probe.delay == 160.0


def test_an_outage_of_one_account_goes_on_as_well() -> None:
    one = OneOrigin()
    note = OutageNote(ORIGIN, 7, Clock().now() - 60, Clock().now() + 300, 160.0, "refused")
    known = Outages(one, one, Clock(), [note])
    assert known.usual(1).calm
    assert not known.usual(7).calm


def test_what_nobody_waits_for_is_forgotten() -> None:
    one, gone = OneOrigin(), "https://gone.example.com"
    notes = [OutageNote(ORIGIN, 0, 1.0, 2.0, 5.0, "refused"), OutageNote(gone, 9, 1.0, 2.0, 5.0, "refused")]
    known = Outages(one, one, Clock(), notes)
    known.usual(1)
    known.listen(100.0)
    known.listen(100.0 + UNUSED_SECONDS + 1)
    assert one.notes == {(gone, 9): None}
    known.forget(1)
    known.listen(5000.0)
    known.listen(5000.0 + UNUSED_SECONDS + 1)
    assert one.notes[ORIGIN, 0] is None
    assert known.usual(1).calm


def test_accounts_without_an_answer_are_those_at_an_origin_that_is_down() -> None:
    known = outages()
    first, second, third = (account(known, number) for number in (1, 2, 3))
    hear(known, third, Complete(), 5.0, origin="https://other.example.com")
    for seq in range(10):
        hear(known, first, NO_CONNECTION, 10.0, seq=seq)
    assert known.without_answer(9.0) == set()
    assert known.without_answer(10.0) == {"a1", "a2", "a3"}
    hear(known, third, Complete(), 12.0, origin="https://other.example.com")
    assert known.without_answer(11.0) == {"a1", "a2"}
    assert known.without_answer(12.0) == {"a1", "a2", "a3"}
    assert second.health.free_at(10.0) == 15.0


def test_a_token_that_cannot_be_had_is_its_own_origins_outage() -> None:
    known, token = outages(), "https://login.example.com"
    queue = account(known)
    for seq in range(10):
        hear(known, queue, NO_CONNECTION, 10.0, seq=seq, origin=token)
    assert queue.health.origin.name == token
    assert queue.health.free_at(10.0) == 15.0
    assert known.usual(1).calm


def answered(known: Outages, queue: AccountQueue, times: int, now: float) -> None:
    """Good answers of requests that start when the outage permits: probes, or any after it was given up."""
    for seq in range(100, 100 + times):
        assert queue.health.free_at(now) <= now
        task = Task(seq, 1, 5, 1, "shop.page", 0, "{}")
        pick = Pick(queue, None, [task], probe=queue.health.start(now))
        known.heard(pick, task, Result(1, Complete(), now, now), Complete(), now - 0.1, now)


def test_the_end_of_an_origins_outage_is_told_once_in_the_next_process(caplog: pytest.LogCaptureFixture) -> None:
    """Its accounts' were noted as well."""
    one = OneOrigin()
    notes = [OutageNote(ORIGIN, each, Clock().now() - 60, Clock().now() + 300, 160.0, "refused") for each in (0, 1, 2)]
    known = Outages(one, one, Clock(), notes)
    first, _ = account(known, 1), account(known, 2)
    answered(known, first, 3, time.monotonic())
    (line,) = caplog.messages
    assert line.startswith(f"{ORIGIN} answers again, after 6")
    assert one.notes == {(ORIGIN, each): None for each in (0, 1, 2)}


def test_an_outage_that_was_given_up_ends_as_any_other(caplog: pytest.LogCaptureFixture) -> None:
    """Else the next one would not be known as one."""
    known = outages(give_up_seconds=60.0)
    queue = account(known)
    for seq in range(10):
        hear(known, queue, NO_CONNECTION, 10.0, seq=seq)
    assert queue.health.free_at(11.0) == 15.0
    answered(known, queue, 2, 80.0)
    assert isinstance(hear(known, queue, Retry(0.5, "reset", attempts=1, fault="connection"), 80.0), Bury)
    answered(known, queue, 2, 81.0)
    assert not any("answers again" in each for each in caplog.messages)
    answered(known, queue, 1, 82.0)
    assert "answers again, after 72 s" in caplog.messages[-1]
    assert known.without_answer(100.0) == set()
    for seq in range(10):
        hear(known, queue, NO_CONNECTION, 200.0, seq=seq)
    assert queue.health.free_at(201.0) == 205.0


def test_a_dead_letter_without_an_answer_is_none() -> None:
    known = outages()
    queue = account(known)
    late = Bury("not delivered in time", fault="connection")
    for seq in range(10):
        assert hear(known, queue, late, 1.0 + seq / 100, seq=seq) is late
    assert known.usual(1).outage is not None
    for seq in range(10, 20):
        hear(known, queue, late, 2.0, seq=seq)
    assert known.usual(1).outage is not None
