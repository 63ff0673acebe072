"""Runs in virtual time, without a disk: everything that the engine has around them is in one object."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import nullcontext
from queue import SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from crawlerd.core.configuration import ImportSpec
from crawlerd.core.errors import CrawlerdError, SinkError
from crawlerd.core.pauses import Pauses
from crawlerd.core.schedule_rules import Schedule, ScheduleNote
from crawlerd.engine.agenda import Agenda
from crawlerd.engine.deadlines import Deadlines
from crawlerd.engine.failure import Failure
from crawlerd.engine.runs import Runs
from crawlerd.engine.safe_event import SafeEvent
from crawlerd.engine.scheduling import Scheduling
from crawlerd.engine.starting import Started
from crawlerd.frontier.contract import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NOW = 1_000_000.0
HOUR = 3600.0
SPREAD = 600.0


class World:
    """A frontier, a starter, a clock and a store around `Runs` and `Agenda`.

    latest: the latest run, by import.
    problems: what starting an import raises, by import.
    idle: imports whose new runs have nothing to do.
    starts: the imports that were started, in order.
    """

    def __init__(self, every: Mapping[str, float | Schedule | None], running: Sequence[str] = ()) -> None:
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
            name: ImportSpec(
                name=name,
                account="acme",
                sink=None,
                streams=("pages",),
                schedule=None
                if asked is None
                else asked
                if isinstance(asked, Schedule)
                else Schedule(text=f"{asked}s"),
            )
            for name, asked in every.items()
        }
        self.notes: dict[str, ScheduleNote] = {}
        settings = SimpleNamespace(imports=specs, daemon=SimpleNamespace(catch_up_seconds=SPREAD))
        scheduling = Scheduling(settings, self, self.now)  # type: ignore[arg-type]
        self._scheduling = scheduling
        self.pauses = SimpleNamespace(current=Pauses((), lambda account: None), resumed=SimpleQueue())
        self.runs = Runs(
            settings,
            self,
            self,
            self,
            self,
            self,
            self.failure,
            self.changed,  # type: ignore[arg-type]
            self.pauses,
            self,
            Deadlines(settings, self, self, self, self),  # type: ignore[arg-type]
        )
        self.agenda = Agenda(
            settings, self.running_imports(), self.runs, self, self, self, self.pauses, scheduling, self.now
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

    def answering(self, promise: object) -> nullcontext[None]:
        return nullcontext()

    def running_imports(self) -> set[str]:
        return {name for name, run in self.latest.items() if run.state == "running"}

    def running_runs(self, name: str) -> list[int]:
        return [run.id for run in self.latest.values() if run.import_name == name and run.state == "running"]

    def latest_run(self, name: str) -> Run | None:
        return self.latest.get(name)

    def run(self, number: int) -> Run:
        return next(run for run in self.latest.values() if run.id == number)

    def schedule_note(self, name: str) -> ScheduleNote | None:
        return self.notes.get(name)

    def note_schedules(self, notes: Mapping[str, ScheduleNote]) -> None:
        self.notes |= notes

    def retry_dead(self, numbers: Sequence[int], act: object) -> tuple[int, list[str]]:
        return len(numbers), list(dict.fromkeys(name for number in numbers for name in self.dead[number]))

    def prune_runs(self, import_name: str, count: int, before: float, most: int) -> int:
        return 0

    # the starter

    def start(
        self,
        name: str,
        *,
        full: bool,
        allow_shrink: bool,
        began: str,
        spec: object = None,
        note: ScheduleNote | None = None,
    ) -> Started:
        if name in self.problems:
            raise self.problems[name]
        self.starts.append(name)
        if runs := self.running_runs(name):
            return Started(runs, True)
        run = self._begin(name)
        if note := self._scheduling.of_start(name, note):
            self.notes[name] = note
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
        self.agenda.start_due()
        return self.starts[before:]
