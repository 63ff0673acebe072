"""Tasks whose worker died wait as others do for what people have paused, and go where runs go that are not served."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from support.bench_partners import Asked, Limits
from support.outages import outages

from crawlerd.core.configuration import LimitSpec
from crawlerd.core.pauses import Pausable, PauseNote, Pauses
from crawlerd.core.task import Task
from crawlerd.engine.suspects import Suspects
from crawlerd.engine.workbench import Workbench

if TYPE_CHECKING:
    from crawlerd.engine.queues import Pick

NOW = 1000.0


def suspected() -> tuple[Workbench, Suspects, Pick]:
    bench = Workbench(Limits(LimitSpec()), Asked(), outages())
    bench.add_heads(
        1, 1, "b1", 7, [Task(1, 1, 5, 7, "s.page", 0, "{}", crashes=1)], more=False, blocked_until=0.0, now=NOW
    )
    pick = bench.choose(NOW, 1)
    assert pick is not None
    suspects = Suspects()
    assert suspects.set_aside(pick).tasks == []
    return bench, suspects, pick


def next_one(suspects: Suspects) -> Any:
    worker = SimpleNamespace(alone=False, room=4, leases=0)
    return suspects.next([worker], NOW)[1]  # type: ignore[list-item]


def test_one_that_nothing_holds_up_starts_on_a_free_worker() -> None:
    _, suspects, pick = suspected()
    found = next_one(suspects)
    assert found.tasks == pick.tasks


def test_one_of_a_paused_bucket_or_account_waits_for_the_end_of_the_pause() -> None:
    kinds: tuple[tuple[Pausable, str], ...] = (("bucket", "a1/b1"), ("account", "a1"), ("source", "s"))
    for kind, name in kinds:
        bench, suspects, pick = suspected()
        note = PauseNote(kind=kind, name=name, reason="x", by="ann", since=NOW)
        bench.hold(Pauses([note], lambda account: "s"), NOW)
        assert next_one(suspects) is None
        bench.hold(Pauses([], lambda account: "s"), NOW)
        assert next_one(suspects).tasks == pick.tasks


def test_one_of_a_run_that_is_not_served_any_more_is_given_back() -> None:
    bench, suspects, pick = suspected()
    back: list[Task] = []
    bench.withdraw({7}, back.extend, NOW)
    (gone,) = suspects.take_back(bench.withdrawn)
    bench.undo(gone, NOW)
    assert back == pick.tasks
    assert next_one(suspects) is None
    account = bench.known(1)
    assert account is not None
    assert account.buckets[1].out == 0
