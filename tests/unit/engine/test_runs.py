"""When an import starts, what runs, and what has ended: in virtual time, without a disk."""

from __future__ import annotations

from concurrent.futures import Future
from queue import SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from crawlerd.core.configuration import ImportSpec
from crawlerd.core.errors import CrawlerdError, FrontierRefused, Permanent, SinkError, StorageFailed, SyncFailed
from crawlerd.core.pauses import Pauses
from crawlerd.engine.failure import Failure
from crawlerd.engine.runs import LONGEST_WAIT, START_MOST, START_SECONDS, STORAGE_SECONDS, Runs
from crawlerd.engine.safe_event import SafeEvent
from crawlerd.engine.starting import Started
from crawlerd.frontier.contract import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOW = 1_000_000.0
HOUR = 3600.0


class World:
    """A frontier, a starter, a clock and a store around `Runs`.

    latest: the latest run, by import.
    problems: what starting an import raises, by import.
    idle: imports whose new runs have nothing to do.
    starts: the imports that were started, in order.
    """

    def __init__(self, every: dict[str, float | None], running: Sequence[str] = ()) -> None:
        self.time = NOW
        self.probes = 0
        self.latest: dict[str, Run] = {}
        self.problems: dict[str, CrawlerdError] = {}
        self.broken: CrawlerdError | None = None
        self.idle: set[str] = set()
        self.starts: list[str] = []
        self.abandoned: set[int] = set()
        self.refused: dict[str, SinkError] = {}
        self.dead = {1: ["daily"], 2: ["daily", "gone"]}
        self.changed = SafeEvent()
        self.failure = Failure(self.changed)
        for name in running:
            self._begin(name)
        specs = {
            name: ImportSpec(name=name, account="acme", sink=None, streams=("pages",), every=seconds)
            for name, seconds in every.items()
        }
        self.runs = Runs(
            SimpleNamespace(imports=specs),
            self,
            self,
            self,
            self,
            self,
            self,
            self.failure,
            self.changed,  # type: ignore[arg-type]
            SimpleNamespace(current=Pauses((), lambda account: None), resumed=SimpleQueue()),
            self,
        )

    # the clock

    def now(self) -> float:
        return self.time

    # the store

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            if self.broken:
                raise self.broken
            future.set_result(function())
        except CrawlerdError as error:
            future.set_exception(error)
        return future

    # the frontier

    def running_imports(self) -> set[str]:
        return {name for name, run in self.latest.items() if run.state == "running"}

    def running_runs(self, name: str) -> list[int]:
        return [run.id for run in self.latest.values() if run.import_name == name and run.state == "running"]

    def latest_run(self, name: str) -> Run | None:
        return self.latest.get(name)

    def retry_dead(self, numbers: Sequence[int], act: object) -> tuple[int, list[str]]:
        return len(numbers), list(dict.fromkeys(name for number in numbers for name in self.dead[number]))

    def prune_runs(self, import_name: str, count: int, before: float, most: int) -> int:
        return 0

    # the starter

    def start(self, name: str, *, full: bool, allow_shrink: bool, began: str) -> Started:
        if name in self.problems:
            raise self.problems[name]
        self.starts.append(name)
        if runs := self.running_runs(name):
            return Started(runs, True)
        run = self._begin(name)
        if name in self.idle:
            self._close(name)
            return Started([run], False, [run])
        return Started([run], False)

    def _begin(self, name: str) -> int:
        number = len(self.starts) + len(self.latest) + 100
        self.latest[name] = Run(number, name, 1, False, "running", self.time, None)
        return number

    def _close(self, name: str, *, again: bool = False) -> int:
        run = self.latest[name]
        self.latest[name] = run._replace(state="completed", ended_at=self.time, again=again)
        return run.id

    # the accounts

    def probe(self) -> None:
        self.probes += 1

    # what a test does

    def end(self, name: str, *, again: bool = False) -> int:
        number = self._close(name, again=again)
        self.runs.note_ended([number])
        return number

    def due(self) -> list[str]:
        """The imports that are started now."""
        before = len(self.starts)
        self.runs.start_due()
        return self.starts[before:]


def test_an_import_starts_when_it_is_due_and_again_a_period_after_its_start() -> None:
    world = World({"hourly": HOUR, "daily": 24 * HOUR, "on_demand": None})
    assert sorted(world.due()) == ["daily", "hourly"]
    assert world.due() == []
    world.time += HOUR / 2
    world.end("hourly")
    world.end("daily")
    world.runs.ended()
    assert world.due() == []
    world.time = NOW + HOUR
    assert world.due() == ["hourly"]
    world.time = NOW + 24 * HOUR
    assert world.due() == ["daily"]  # the hourly one still runs


def test_what_was_interrupted_goes_on_before_anything_else_starts() -> None:
    world = World({"a": HOUR, "b": None, "c": HOUR}, running=["b", "c"])
    assert world.due() == ["b", "c", "a"]


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


def test_an_abandoned_run_begins_again_at_once() -> None:
    world = World({"daily": 24 * HOUR})
    world.due()
    world.abandoned.add(number := world.end("daily", again=True))
    assert world.runs.abandoned([number, 1])
    assert not world.runs.abandoned([1])
    assert world.due() == []  # its end has not been heard of yet
    world.runs.ended()
    assert world.due() == ["daily"]


@pytest.mark.parametrize(
    ("problem", "seconds"),
    [(SinkError("locked"), STORAGE_SECONDS), (Permanent("a bug in the source"), START_SECONDS)],
)
def test_an_import_that_cannot_start_is_tried_again_later_and_holds_up_no_other(
    problem: CrawlerdError, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    world = World({"bad": HOUR, "good": HOUR})
    world.problems = {"bad": problem}
    assert world.due() == ["good"]
    assert f"import bad{' cannot start' * isinstance(problem, SinkError)}: {problem}" in caplog.text
    world.problems = {}
    world.time += seconds - 1
    assert world.due() == []
    world.time += 1
    assert world.due() == ["bad"]
    assert world.failure.error is None


def test_what_keeps_imports_from_starting_is_trouble_until_they_start_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World({"one": HOUR, "two": HOUR, "other": HOUR})
    world.problems = {"one": SinkError("the disk is full"), "two": SinkError("locked"), "other": Permanent("a bug")}
    for _ in range(3):
        world.due()
        assert world.runs.trouble == "the disk is full"
        world.time += STORAGE_SECONDS
    del world.problems["one"]
    world.due()
    assert world.runs.trouble == "locked"
    world.problems["two"] = SinkError("no longer a directory")
    world.time += STORAGE_SECONDS
    world.due()
    del world.problems["two"]
    world.time += STORAGE_SECONDS
    world.due()
    assert world.runs.trouble is None
    said = [each.getMessage() for each in caplog.records if each.levelname in ("ERROR", "WARNING")]
    assert [each.partition(";")[0] for each in said if "import other" not in each] == [
        "import one cannot start: the disk is full",
        "import two cannot start: locked",
        "import two cannot start: no longer a directory",
        "imports that could not start can do so again",
    ]


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


def test_what_is_due_is_not_forgotten_when_the_store_cannot_say() -> None:
    world = World({"a": HOUR, "b": HOUR})
    world.broken = StorageFailed("full", full=True)
    with pytest.raises(StorageFailed):
        world.runs.start_due()
    world.broken = None
    assert sorted(world.due()) == ["a", "b"]


def test_it_says_when_it_wants_to_be_called_again() -> None:
    world = World({"a": HOUR})
    world.due()
    assert world.runs.start_due() == LONGEST_WAIT
    world.end("a")
    world.runs.ended()
    assert world.runs.start_due() == LONGEST_WAIT
    world.time = NOW + HOUR - 10
    assert world.runs.start_due() == pytest.approx(10)
    assert World({}).runs.start_due() == LONGEST_WAIT


def test_paused_accounts_are_tried_again_whenever_it_looks_at_what_is_due() -> None:
    world = World({"a": HOUR})
    world.due()
    world.due()
    assert world.probes == 2


def test_what_was_counted_of_a_run_is_dropped_when_it_ends() -> None:
    world = World({"a": HOUR, "b": HOUR})
    world.due()
    for run in world.latest.values():
        world.runs.free[run.id] += 3
    ended = world.end("a")
    world.runs.ended()
    assert ended not in world.runs.free
    assert list(world.runs.free.values()) == [3]


def test_many_imports_start_in_slices() -> None:
    world = World({f"i{number}": HOUR for number in range(START_MOST + 10)})
    assert len(world.due()) == START_MOST
    assert world.runs.start_due() >= 0
    assert len(set(world.starts)) == len(world.starts) == START_MOST + 10


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
