"""Leases: who may settle what, and for whom a lost worker is evidence."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.outages import outages

from crawlerd.core.configuration import LimitSpec
from crawlerd.core.task import Task
from crawlerd.engine.leases import Leases
from crawlerd.engine.queues import AccountQueue, Pick
from crawlerd.ratelimit.limiter import Limiter
from crawlerd.ratelimit.window import Stamp, StartLog

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW, SECONDS = 1000.0, 60.0
ACCOUNT = AccountQueue(1, "acme", LimitSpec(), Limiter("1", [], StartLog(), [].append), outages().usual(1))


def picked(*numbers: int) -> Pick:
    return Pick(ACCOUNT, None, [Task(number, 1, 5, 1, "s.page", 0, "{}") for number in numbers])


def issued(leases: Leases[str], worker: str, *numbers: int, now: float = NOW) -> list[int]:
    """The tokens, by the tasks' order."""
    token = leases.issue(picked(*numbers), Stamp(now), worker, now).token
    return list(range(token, token + len(numbers)))


def settled(leases: Leases[str], tokens: Iterable[int]) -> list[int | None]:
    """The tasks' numbers; None for what is fenced off."""
    found = [(token, leases.settle(token)) for token in tokens]
    return [lease.task(token).seq if lease else None for token, lease in found]


@pytest.fixture
def leases() -> Leases[str]:
    return Leases(SECONDS)


def test_each_task_of_a_pick_has_a_token_of_its_own(leases: Leases[str]) -> None:
    first, second = issued(leases, "a", 10, 11, 12), issued(leases, "b", 13)
    assert len({*first, *second}) == len(leases) == 4
    assert settled(leases, [*second, *reversed(first)]) == [13, 12, 11, 10]
    assert len(leases) == 0


def test_a_token_settles_once(leases: Leases[str]) -> None:
    (token,) = issued(leases, "a", 1)
    assert settled(leases, [token, token]) == [1, None]


def test_a_token_that_was_never_issued_settles_nothing(leases: Leases[str]) -> None:
    (token,) = issued(leases, "a", 1)
    assert settled(leases, [token + 1, 0, -1]) == [None] * 3
    assert len(leases) == 1


def test_a_lease_says_who_has_what_until_when(leases: Leases[str]) -> None:
    stamp, pick = Stamp(NOW), picked(1)
    lease = leases.issue(pick, stamp, "a", NOW)
    assert (lease.worker, lease.deadline, lease.pick) == ("a", NOW + SECONDS, pick)
    assert lease.stamp is stamp


def test_the_oldest_lease_expires_first_and_not_before_its_time(leases: Leases[str]) -> None:
    assert leases.expired(NOW) is None
    old, _ = issued(leases, "a", 1, 2)
    (young,) = issued(leases, "b", 3, now=NOW + 1)
    assert leases.expired(NOW + SECONDS - 0.001) is None
    token, lease = leases.expired(NOW + SECONDS) or (0, None)
    assert (token, lease and lease.worker) == (old, "a")
    leases.take_back("a", old)
    assert leases.expired(NOW + SECONDS) is None
    assert (leases.expired(NOW + SECONDS + 1) or (0, None))[0] == young


def test_what_is_settled_does_not_expire(leases: Leases[str]) -> None:
    settled(leases, issued(leases, "a", 1))
    assert leases.expired(NOW + 2 * SECONDS) is None


def test_what_was_taken_back_from_a_worker_does_not_settle_and_others_do(leases: Leases[str]) -> None:
    lost, kept = issued(leases, "a", 1, 2), issued(leases, "b", 3)
    lost += issued(leases, "a", 4)
    assert [each.task.seq for each in leases.take_back("a")] == [1, 2, 4]
    assert settled(leases, [*lost, *kept]) == [None, None, None, 3]
    assert leases.take_back("a") == []


def test_a_task_that_is_leased_again_settles_under_its_new_token_only(leases: Leases[str]) -> None:
    (before,) = issued(leases, "a", 1)
    leases.take_back("a")
    (after,) = issued(leases, "b", 1)
    assert settled(leases, [before, after, before]) == [None, 1, None]


def test_any_task_of_a_worker_that_died_may_have_killed_it(leases: Leases[str]) -> None:
    issued(leases, "a", 1, 2)
    assert [(each.task.seq, each.crashed) for each in leases.take_back("a")] == [(1, True), (2, True)]


def test_a_worker_that_is_killed_for_one_task_is_evidence_against_that_one_alone(leases: Leases[str]) -> None:
    _, guilty, _ = issued(leases, "a", 1, 2, 3)
    found = leases.take_back("a", guilty)
    assert [(each.task.seq, each.crashed) for each in found] == [(1, False), (2, True), (3, False)]


class Machine(RuleBasedStateMachine):
    """Any order of leasing, results (late and repeated ones too), expiry and deaths, against what must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.leases: Leases[str] = Leases(SECONDS)
        self.now, self.tasks = NOW, 0
        self.out: dict[int, tuple[str, int, float]] = {}  # worker, task and deadline by token
        self.gone: set[int] = set()  # tokens that were settled, or taken back
        self.ends: Counter[int] = Counter()  # by task

    @rule(worker=st.sampled_from("abc"), count=st.integers(1, 4), later=st.floats(0, 40))
    def lease(self, worker: str, count: int, later: float) -> None:
        self.now += later
        numbers = range(self.tasks, self.tasks + count)
        self.tasks += count
        tokens = issued(self.leases, worker, *numbers, now=self.now)
        assert not {*tokens} & (self.out.keys() | self.gone), "a token is issued once"
        deadline = self.now + SECONDS
        self.out |= {token: (worker, number, deadline) for token, number in zip(tokens, numbers, strict=True)}

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.out)))
        worker, number, _ = self.out.pop(token)
        lease = self.leases.settle(token)
        assert lease is not None
        assert (lease.worker, lease.task(token).seq) == (worker, number)
        self.gone.add(token)
        self.ends[number] += 1

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def a_late_result_settles_nothing(self, data: st.DataObject) -> None:
        assert self.leases.settle(data.draw(st.sampled_from(sorted(self.gone)))) is None

    @rule(worker=st.sampled_from("abc"))
    def a_worker_dies(self, worker: str) -> None:
        self.taken_back(worker, None)

    @rule(later=st.floats(0, 2 * SECONDS))
    def time_passes(self, later: float) -> None:
        self.now += later
        while expired := self.leases.expired(self.now):
            token, lease = expired
            assert self.out[token][2] == lease.deadline == min(deadline for _, _, deadline in self.out.values())
            self.taken_back(lease.worker, token)
        assert all(deadline > self.now for _, _, deadline in self.out.values())

    def taken_back(self, worker: str, guilty: int | None) -> None:
        theirs = {token: number for token, (of, number, _) in self.out.items() if of == worker}
        found = self.leases.take_back(worker, guilty)
        assert [each.task.seq for each in found] == list(theirs.values())
        evidence = [each.task.seq for each in found if each.crashed]
        assert evidence == (list(theirs.values()) if guilty is None else [theirs[guilty]])
        for token, number in theirs.items():
            del self.out[token]
            self.gone.add(token)
            self.ends[number] += 1

    @invariant()
    def each_task_ends_at_most_once(self) -> None:
        assert len(self.leases) == len(self.out)
        assert max(self.ends.values(), default=0) <= 1


TestAnyOrder = Machine.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
