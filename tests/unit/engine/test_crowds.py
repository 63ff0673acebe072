"""The share of the workers' threads that an origin may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from support.outages import outages

from crawlerd.core.configuration import LimitSpec
from crawlerd.engine.crowds import UNBOUNDED, Crowds
from crawlerd.engine.queues import AccountQueue
from crawlerd.ratelimit.limiter import Limiter
from crawlerd.ratelimit.window import StartLog

if TYPE_CHECKING:
    from crawlerd.engine.outages import Outages
    from crawlerd.ratelimit.outage import Origin


def origins(known: Outages, *names: str) -> list[Origin]:
    return [known.health(name, number).origin for number, name in enumerate(names, 1)]


def test_the_only_origin_has_all_threads() -> None:
    known = outages()
    (only,) = origins(known, "a")
    only.out = 1000
    assert Crowds(known).spare(only, 16) == UNBOUNDED


@given(st.lists(st.integers(0, 40), min_size=2, max_size=6), st.integers(1, 64))
def test_hanging_origins_leave_threads_for_others(asked: list[int], threads: int) -> None:
    """Each takes what it may, one after the other, and then says nothing more."""
    known = outages()
    each_hangs = origins(known, *(f"h{number}" for number in range(len(asked))), "well")
    *hanging, well = each_hangs
    crowds = Crowds(known)
    for number, (origin, wants) in enumerate(zip(hanging, asked, strict=True)):
        origin.out += min(wants, crowds.spare(origin, threads))
        known.listen(10.0 * number)
    assert crowds.spare(well, threads) >= 1
    if threads >= 5:
        assert sum(each.out for each in hanging[:1]) <= 0.8 * threads


def test_an_origin_that_is_heard_of_leaves_others_their_share() -> None:
    known = outages()
    busy, other = origins(known, "busy", "other")
    busy.out, busy.heard_at = 12, 100.0
    known.listen(100.5)
    assert Crowds(known).spare(other, 16) == 12
    known.listen(102.0)
    assert Crowds(known).spare(other, 16) == 3


def test_accounts_wait_in_turn_until_there_is_room() -> None:
    known = outages()
    crowded, _ = origins(known, "crowded", "other")
    crowds = Crowds(known)
    queues = [
        AccountQueue(
            number, f"a{number}", LimitSpec(), Limiter(str(number), [], StartLog(), [].append), known.usual(number)
        )
        for number in range(1, 4)
    ]
    crowded.out = 12
    for queue in (*queues, queues[0]):
        crowds.wait(crowded, queue)
    assert list(crowds.relieve(16)) == []
    crowded.out = 10
    assert list(crowds.relieve(16)) == queues[:2]
    assert [queue.crowded for queue in queues] == [False, False, True]
