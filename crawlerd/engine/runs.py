"""Starts, resumes, ends and cancels the runs of the configured imports."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from crawlerd.core.errors import CrawlerdError, FrontierRefused, SyncFailed
from crawlerd.core.log_events import Event, tell
from crawlerd.engine.pausing import ImportPaused
from crawlerd.engine.starting import Started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import ImportSpec
    from crawlerd.core.schedule_rules import ScheduleNote
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.deadlines import Deadlines
    from crawlerd.engine.failure import Failure
    from crawlerd.engine.open_sinks import OpenSinks
    from crawlerd.engine.pausing import Pausing
    from crawlerd.engine.safe_event import SafeEvent
    from crawlerd.engine.sink_writer import SinkWriter
    from crawlerd.engine.starting import Starter, Submission
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.acts_contract import Promise
    from crawlerd.frontier.contract import Frontier, Run
    from crawlerd.frontier.reports import Act

START_SLICE = 0.05  # seconds for which starting imports may hold up the runs under way
PRUNED = 200  # most runs to forget in one transaction
T = TypeVar("T")

Result = tuple[str, "Started | CrawlerdError"]  # an import's name, and what came of its start


class Runs:
    """Starts, cancels and observes runs. To be used from the main thread, unless a method says otherwise.

    free: how many tasks without a request were completed, by run under way; counted by the dispatcher.
    idle: imports whose last run under way has ended; the agenda takes them out.
    """

    def __init__(
        self,
        settings: Settings,
        frontier: Frontier,
        clock: Clock,
        starter: Starter,
        sinks: OpenSinks,
        store: StoreInbox,
        failure: Failure,
        changed: SafeEvent,
        pauses: Pausing,
        writer: SinkWriter,
        deadlines: Deadlines,
        count_ends: Callable[[Sequence[int]], None] = lambda runs: None,
    ) -> None:
        """
        changed: set when runs have ended.
        count_ends: called with runs that have ended, for metrics.
        """
        self._settings, self._frontier, self._clock = settings, frontier, clock
        self._starter, self._sinks, self._store = starter, sinks, store
        self._failure, self._changed, self._pauses, self._writer = failure, changed, pauses, writer
        self._deadlines, self._count_ends = deadlines, count_ends
        self.free: Counter[int] = Counter()
        self.idle: SimpleQueue[str] = SimpleQueue()
        self._ended: SimpleQueue[int] = SimpleQueue()
        self._active: dict[str, set[int]] = {}  # the runs under way, by import
        self._registering = threading.Lock()
        self._import_of: dict[int, str] = {}

    def under_way(self, name: str) -> bool:
        """Whether a run of the import is under way. From any thread."""
        return name in self._active

    def start_import(
        self,
        name: str,
        *,
        full: bool = False,
        allow_shrink: bool = False,
        began: str = "",
        specs: Mapping[str, ImportSpec] | None = None,
        promise: Promise | None = None,
    ) -> Started:
        """Resumes the unfinished runs of an import, or else begins a new one; credentials are checked first. Raises the
        error that kept it from starting. For the parameters see `start_imports`."""
        ((_, result),) = self.start_imports(
            [name], full=full, allow_shrink=allow_shrink, began=began, specs=specs, promise=promise
        )
        if isinstance(result, CrawlerdError):
            raise result
        return result

    def start_imports(
        self,
        names: Iterable[str],
        *,
        full: bool = False,
        allow_shrink: bool = False,
        began: str = "",
        notes: Mapping[str, ScheduleNote] | None = None,
        specs: Mapping[str, ImportSpec] | None = None,
        promise: Promise | None = None,
    ) -> Iterator[Result]:
        """Starts many imports, and yields the result of each. It starts them in slices of START_SLICE, and lets the
        store commit the outcomes of other runs in between.

        full: new runs are full runs.
        allow_shrink: full runs that see far fewer records than the last ones are not doubted.
        began: who or what starts them, for people.
        notes: new notes of schedules, by import, to store with new runs.
        specs: other settings of imports for new runs; imports that are not in it run as configured.
        promise: the request to answer, when it is a single import.
        """

        def start(name: str) -> Started:
            spec, note = (specs or {}).get(name), (notes or {}).get(name)
            return self._starter.start(name, full=full, allow_shrink=allow_shrink, began=began, spec=spec, note=note)

        waiting = deque(names)
        while waiting:
            results = self._store.call(partial(self._start_some, waiting, start, promise)).result()
            yield from results

    def abandoned(self, runs: Iterable[int]) -> bool:
        """Whether any of these runs was abandoned, so that its import must be started again."""
        return not self._sinks.abandoned.isdisjoint(runs)

    def ended(self) -> list[int]:
        """Runs that have ended since the last call."""
        runs = []
        while not self._ended.empty():
            runs.append(self._ended.get())
        for run in runs:
            self.free.pop(run, None)
            with self._registering:
                name = self._import_of.pop(run, None)
                if name is not None:
                    self._active[name].discard(run)
                    if not self._active[name]:
                        del self._active[name]
                        self.idle.put(name)
            if name is not None:
                self._prune(name)
        return runs

    def _prune(self, name: str) -> None:
        """Forgets old runs of an import in slices, between the commits of other runs."""
        if (spec := self._settings.imports.get(name)) is None:
            return
        keep = spec.keep_runs

        def step() -> None:
            before = self._clock.now() - keep.seconds
            if self._frontier.prune_runs(name, keep.count, before, PRUNED):
                self._store.call(step)

        self._store.call(step)

    def run_now(
        self,
        name: str,
        *,
        full: bool,
        allow_shrink: bool,
        by: str,
        spec: ImportSpec | None = None,
        promise: Promise | None = None,
    ) -> Started:
        """Starts a run of a configured import. If one is under way, returns that one unchanged. From any thread."""
        if (note := self._pauses.current.of_import(name)) is not None:
            raise ImportPaused(note)

        def look() -> list[int]:
            runs = self._frontier.running_runs(name)
            if allow_shrink and (not full or all(self._frontier.run(run).full for run in runs)):
                self._frontier.let_shrink(runs)
            return runs

        under_way = self._store.call(look).result()
        if self.under_way(name) and under_way:
            return Started(under_way, True, [])
        return self.start_import(
            name,
            full=full,
            allow_shrink=allow_shrink,
            began=f"by {by}",
            specs={name: spec} if spec else None,
            promise=promise,
        )

    def cancel(self, run: int, act: Act, promise: Promise | None = None, *, forget: bool = False) -> bool:
        """Cancels a run; the outcomes of its leased tasks are ignored. Returns whether it was under way. From any
        thread.

        forget: see `Frontier.cancel_run`.
        """

        def cancel() -> bool:
            with self._frontier.answering(promise):
                done = self._frontier.cancel_run(run, act, forget=forget)
            if done:
                self._writer.abandon([run])
            return done

        return self._store.call(cancel).result()

    def with_frontier(self, work: Callable[[Frontier], T]) -> T:
        """Calls `work` with the frontier, between two commits, and returns its result. From any thread."""
        return self._store.call(lambda: work(self._frontier)).result()

    def facts(self, numbers: Sequence[int]) -> list[Run]:
        """What these runs have done so far."""
        return self._store.call(lambda: [self._frontier.run(number) for number in numbers]).result()

    def retry_dead(self, numbers: Sequence[int], act: Act | None = None, promise: Promise | None = None) -> int:
        """Makes dead letters ready again, and resumes their runs if their imports are configured. Returns how many
        letters. From any thread.

        act: the entry for the audit.
        """

        def retry() -> tuple[int, list[str]]:
            with self._frontier.answering(promise):
                return self._frontier.retry_dead(numbers, act)

        count, imports = self._store.call(retry).result()
        for name in imports:
            if name in self._settings.imports and not self._pauses.current.of_import(name):
                self.start_import(name)
        return count

    def resume(self, names: Sequence[str]) -> None:
        """Resumes the runs of these imports that are configured and not paused. An import that cannot start is tried
        again later. From any thread."""
        for name in names:
            if name not in self._settings.imports or self._pauses.current.of_import(name):
                continue
            try:
                self.start_import(name)
            except (SyncFailed, FrontierRefused):
                raise
            except CrawlerdError as error:
                tell(
                    Event.START_REFUSED,
                    "import %s: %s; trying again",
                    *(name, error),
                    import_name=name,
                    reason=str(error),
                )
                self._pauses.resumed.put(name)
                self._changed.set()

    def note_ended(self, runs: Sequence[int]) -> None:
        """These runs have ended, or were abandoned. On the store's thread."""
        self._count_ends(runs)
        for run in runs:
            self._ended.put(run)
        self._changed.set()

    def start_here(self, name: str, began: str, submission: Submission | None = None) -> Started:
        """Resumes the unfinished runs of an import, or begins a run of submitted tasks. On the store's thread."""
        started = self._starter.start(name, full=False, allow_shrink=False, began=began, submission=submission)
        self._note_started(name, started)
        if started.ended:
            self.note_ended(started.ended)
        return started

    def _note_started(self, name: str, started: Started) -> None:
        with self._registering:
            self._active.setdefault(name, set()).update(started.runs)
            self._import_of |= dict.fromkeys(started.runs, name)
        for run in started.runs:
            facts = self._frontier.run(run)
            if not facts.submitted:  # the submitted tasks of such a run would be lost
                self._deadlines.watch(name, run, facts.started_at)
            tell(
                Event.RUN_RESUMED if started.resumed else Event.RUN_STARTED,
                "import %s: run %d %s",
                *(name, run, "resumed" if started.resumed else "started"),
                run=run,
                import_name=name,
            )

    # on the store's thread

    def _start_some(
        self, waiting: deque[str], start: Callable[[str], Started], promise: Promise | None
    ) -> list[Result]:
        until = time.monotonic() + START_SLICE
        results: list[Result] = []
        while waiting and (not results or time.monotonic() < until):
            name = waiting.popleft()
            try:
                with self._frontier.answering(promise):
                    started = start(name)
                self._note_started(name, started)  # here, before the end of a run can be reported
                results.append((name, started))
                if started.ended:
                    self.note_ended(started.ended)
            except (SyncFailed, FrontierRefused) as error:  # the frontier must not be used any more
                self._failure.set(error)
                raise
            except CrawlerdError as error:
                results.append((name, error))
        return results
