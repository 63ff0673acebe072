"""The runs of the configured imports: when one starts, what runs, and what has ended."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, deque
from functools import partial
from heapq import heapify, heappop, heappush
from queue import SimpleQueue
from typing import TYPE_CHECKING

from crawlerd.core.durations import next_fire
from crawlerd.core.errors import CrawlerdError, FrontierError, FrontierRefused, Permanent, SyncFailed
from crawlerd.engine.pausing import ImportPaused
from crawlerd.engine.starting import Started

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import ImportSpec
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.failure import Failure
    from crawlerd.engine.guards import Guards
    from crawlerd.engine.open_sinks import OpenSinks
    from crawlerd.engine.pausing import Pausing
    from crawlerd.engine.safe_event import SafeEvent
    from crawlerd.engine.sink_writer import SinkWriter
    from crawlerd.engine.starting import Starter
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.contract import Frontier, Run
    from crawlerd.frontier.reports import Act

log = logging.getLogger(__name__)

STORAGE_SECONDS = 5.0  # between tries to start an import whose sink cannot be opened, or while the disk is full
START_SLICE = 0.05  # seconds that starting imports may hold up what runs already
START_MOST = 256  # imports that are started before signals are looked at again
START_SECONDS = 60.0  # between tries to start an import whose source raises an error at once
LONGEST_WAIT = 60.0  # seconds between looks at what is due

SCHEDULE = "schedule"  # what starts a run that is due
PRUNED = 200  # runs that are forgotten in one transaction

Result = tuple[str, "Started | CrawlerdError"]  # an import's name, and what came of its start


class Runs:
    """Used from the main thread, except where something else is said.

    free: tasks without a request that were completed, by run under way; counted by the dispatcher.
    """

    def __init__(
        self,
        settings: Settings,
        frontier: Frontier,
        clock: Clock,
        starter: Starter,
        accounts: Guards,
        sinks: OpenSinks,
        store: StoreInbox,
        failure: Failure,
        changed: SafeEvent,
        pauses: Pausing,
        writer: SinkWriter,
    ) -> None:
        """changed: set when runs have ended."""
        self._settings, self._frontier, self._clock = settings, frontier, clock
        self._starter, self._accounts, self._sinks, self._store = starter, accounts, sinks, store
        self._failure, self._changed, self._pauses, self._writer = failure, changed, pauses, writer
        self.free: Counter[int] = Counter()
        self._ended: SimpleQueue[int] = SimpleQueue()
        self._active: dict[str, set[int]] = {}  # the runs under way, by import
        self._registering = threading.Lock()
        self._import_of: dict[int, str] = {}
        self._refusals: dict[str, str] = {}  # why imports could not start when they were last tried
        running = frontier.running_imports()
        self._agenda = [(0.0 if name in running else 1.0, name) for name in settings.imports]  # when to look at it
        heapify(self._agenda)

    @property
    def trouble(self) -> str | None:
        """Why an import that is due cannot start. From any thread."""
        return next(iter(list(self._refusals.values())), None)

    def refusal(self, name: str) -> str | None:
        """Why an import could not start when that was last tried. From any thread."""
        return self._refusals.get(name)

    def start_import(self, name: str, *, full: bool = False, allow_shrink: bool = False, began: str = "") -> Started:
        """Resumes what is unfinished of the import, else begins a new run; its credentials are checked first. Raises
        what kept it from starting."""
        ((_, result),) = self.start_imports([name], full=full, allow_shrink=allow_shrink, began=began)
        if isinstance(result, CrawlerdError):
            raise result
        return result

    def start_imports(
        self, names: Iterable[str], *, full: bool = False, allow_shrink: bool = False, began: str = ""
    ) -> Iterator[Result]:
        """The same for many, each with what came of it. They start a slice of time after the other, since a question to
        the store waits for the commit of what runs already.

        allow_shrink: full runs that see far less than the last ones are not doubted.
        began: who or what starts them, for people.
        """
        waiting = deque(names)
        while waiting:
            results = self._store.call(partial(self._start_some, waiting, full, allow_shrink, began)).result()
            yield from results

    def start_due(self) -> float:
        """Starts every import that is due, resumes interrupted ones, and tries paused accounts again. Returns the
        seconds after which it must be called again."""
        now = self._clock.now()
        names: list[str] = []
        while not self._pauses.resumed.empty():
            name = self._pauses.resumed.get()
            if name in self._settings.imports:  # also where another run of it is under way: dead letters were retried
                names.append(name)
        while self._agenda and self._agenda[0][0] <= now and len(names) < START_MOST:
            _, name = heappop(self._agenda)
            if name not in self._active and name not in names:  # it comes back when it has ended
                names.append(name)
        try:
            times = self._store.call(lambda: {name: self._due(self._settings.imports[name], now) for name in names})
            later = {name: at for name, at in times.result().items() if at > now}
        except FrontierError:
            self._agenda += [(now, name) for name in names]
            heapify(self._agenda)
            raise
        before = set(self._refusals.values())
        for name, result in self.start_imports((name for name in names if name not in later), began=SCHEDULE):
            self._refusals.pop(name, None)
            if isinstance(result, ImportPaused):
                later[name] = math.inf  # until it is resumed
            elif isinstance(result, Permanent):
                log.error("import %s: %s", name, result)
                later[name] = now + START_SECONDS
            elif isinstance(result, CrawlerdError):
                self._refusals[name] = str(result)
                later[name] = now + STORAGE_SECONDS
        self._tell(before)
        for name, at in later.items():
            if at < math.inf:
                heappush(self._agenda, (at, name))
        self._accounts.probe()
        longest = LONGEST_WAIT
        if self._sinks.refused:
            self._store.call(self._sinks.open_all)
            longest = STORAGE_SECONDS
        return min(longest, max(0.0, self._agenda[0][0] - now)) if self._agenda else longest

    def _tell(self, before: Collection[str]) -> None:
        """Logs why imports cannot start, once for all of a reason and not at each try. Of a sink that cannot be opened,
        it has been logged already. before: the reasons so far."""
        told = {*before, *map(str, list(self._sinks.refused.values()))}
        for reason in dict.fromkeys(self._refusals.values()):
            if reason not in told:
                first, *others = [name for name, why in self._refusals.items() if why == reason]
                more = f" and {len(others)} others" if others else ""
                log.error("import %s%s cannot start: %s; trying again", first, more, reason)
        if before and not self._refusals:
            log.warning("imports that could not start can do so again")

    def abandoned(self, runs: Iterable[int]) -> bool:
        """Whether any of these runs was given up, so that its import must be started again."""
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
                        heappush(self._agenda, (self._clock.now(), name))
            if name is not None:
                self._prune(name)
        return runs

    def _prune(self, name: str) -> None:
        """Forgets old runs of an import, a slice after the other, between the commits of what runs."""
        keep = self._settings.imports[name].keep_runs

        def step() -> None:
            before = self._clock.now() - keep.seconds
            if self._frontier.prune_runs(name, keep.count, before, PRUNED) == PRUNED:
                self._store.call(step)

        self._store.call(step)

    def run_now(self, name: str, *, full: bool, allow_shrink: bool, by: str) -> Started:
        """Starts a run of a configured import; one that is under way is the answer as it is. From any thread."""
        if (note := self._pauses.current.of_import(name)) is not None:
            raise ImportPaused(note)
        under_way = self._store.call(lambda: self._frontier.running_runs(name)).result()
        if name in self._active and under_way:
            return Started(under_way, True, [])
        return self.start_import(name, full=full, allow_shrink=allow_shrink, began=f"by {by}")

    def cancel(self, run: int, act: Act) -> bool:
        """Ends a run; what it has leased writes nothing any more. Whether it was under way. From any thread."""

        def cancel() -> bool:
            done = self._frontier.cancel_run(run, act)
            if done:
                self._writer.abandon([run])
            return done

        return self._store.call(cancel).result()

    def facts(self, numbers: Sequence[int]) -> list[Run]:
        """What runs have done so far."""
        return self._store.call(lambda: [self._frontier.run(number) for number in numbers]).result()

    def retry_dead(self, numbers: Sequence[int], act: Act | None = None) -> int:
        """Makes dead letters ready again, and resumes their runs as far as their imports are configured. From any
        thread.

        act: what the audit says of it.
        """
        count, imports = self._store.call(lambda: self._frontier.retry_dead(numbers, act)).result()
        for name in imports:
            if name in self._settings.imports and not self._pauses.current.of_import(name):
                self.start_import(name)
        return count

    def note_ended(self, runs: Iterable[int]) -> None:
        """These runs have ended, or were abandoned. From any thread."""
        for run in runs:
            self._ended.put(run)
        self._changed.set()

    def _under_way(self, name: str, started: Started) -> None:
        with self._registering:
            self._active.setdefault(name, set()).update(started.runs)
            self._import_of |= dict.fromkeys(started.runs, name)
        for run in started.runs:
            log.info("import %s: run %d %s", name, run, "resumed" if started.resumed else "started")

    # on the store's thread

    def _start_some(self, waiting: deque[str], full: bool, allow_shrink: bool, began: str) -> list[Result]:
        until = time.monotonic() + START_SLICE
        results: list[Result] = []
        while waiting and (not results or time.monotonic() < until):
            name = waiting.popleft()
            try:
                started = self._starter.start(name, full=full, allow_shrink=allow_shrink, began=began)
                self._under_way(name, started)  # here, before anybody can hear of the end of one
                results.append((name, started))
                if started.ended:
                    self.note_ended(started.ended)
            except (SyncFailed, FrontierRefused) as error:  # nothing may go on as it is
                self._failure.set(error)
                raise
            except CrawlerdError as error:
                results.append((name, error))
        return results

    def _due(self, spec: ImportSpec, now: float) -> float:
        last = self._frontier.latest_run(spec.name)
        if self._frontier.running_runs(spec.name) or (last and last.again):
            return now
        if spec.every is None:
            return math.inf
        return next_fire(now, last.started_at if last else None, spec.every)
