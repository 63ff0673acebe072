"""What runs, and what has ended: in virtual time, without a disk."""

from __future__ import annotations

import pytest
from support.virtual_runs import HOUR, World

from crawlerd.core.errors import CrawlerdError, FrontierRefused, SinkError, SyncFailed
from crawlerd.engine.failure import Failure
from crawlerd.engine.safe_event import SafeEvent
from crawlerd.engine.starting import Started


def test_an_import_on_demand_starts_when_it_is_asked_for_and_not_by_itself() -> None:
    world = World({"on_demand": None})
    assert world.due() == []
    started = world.runs.start_import("on_demand")
    assert not started.resumed
    assert world.runs.start_import("on_demand") == Started(started.runs, True)
    world.end("on_demand")
    assert world.runs.ended() == started.runs
    assert world.due() == []


def test_what_has_ended_is_said_once_and_wakes() -> None:
    world = World({"a": HOUR, "b": HOUR})
    world.due()
    assert not world.changed.wait(0)
    ended = {world.end("a"), world.end("b")}
    assert world.changed.wait(0)
    assert set(world.runs.ended()) == ended
    assert world.runs.ended() == []


def test_a_run_with_nothing_to_do_has_ended_at_once() -> None:
    world = World({"a": None})
    world.idle = {"a"}
    started = world.runs.start_import("a")
    assert world.changed.wait(0)
    assert world.runs.ended() == started.runs


def test_start_import_raises_what_start_imports_returns() -> None:
    world = World({"bad": None, "good": None})
    problem = SinkError("locked")
    world.problems = {"bad": problem}
    (bad, error), (good, started) = world.runs.start_imports(["bad", "good"])
    assert (bad, error, good) == ("bad", problem, "good")
    assert isinstance(started, Started)
    with pytest.raises(SinkError):
        world.runs.start_import("bad")


@pytest.mark.parametrize("error", [SyncFailed("the disk lies"), FrontierRefused("older than its sink")])
def test_an_error_after_which_nothing_may_go_on_stops_the_engine(error: CrawlerdError) -> None:
    world = World({"a": None})
    world.problems = {"a": error}
    with pytest.raises(type(error)):
        world.runs.start_import("a")
    assert world.failure.error is error
    assert world.changed.wait(0)


def test_what_was_counted_of_a_run_is_dropped_when_it_ends() -> None:
    world = World({"a": HOUR, "b": HOUR})
    world.due()
    for run in world.latest.values():
        world.runs.free[run.id] += 3
    ended = world.end("a")
    world.runs.ended()
    assert ended not in world.runs.free
    assert list(world.runs.free.values()) == [3]


def test_retried_dead_letters_resume_their_imports_as_far_as_they_are_configured() -> None:
    world = World({"daily": 24 * HOUR})
    assert world.runs.retry_dead([1, 2]) == 2
    assert world.starts == ["daily"]


def test_a_failure_keeps_the_first_error_and_wakes() -> None:
    changed = SafeEvent()
    failure = Failure(changed)
    first = RuntimeError("the cause")
    failure.set(first)
    failure.set(RuntimeError("what follows"))
    assert failure.error is first
    assert changed.wait(0)
