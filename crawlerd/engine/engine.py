"""The engine assembled: one frontier, its store and dispatcher, the sinks, and the runs of the configured imports."""

from __future__ import annotations

import gc
import logging
import math
import resource
import time
from collections import deque
from functools import partial
from heapq import heapify, heappop, heappush
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from crawlerd.core.errors import CrawlerdError, FrontierError, FrontierRefused, Permanent, SyncFailed
from crawlerd.core.schedule import next_fire
from crawlerd.engine.accounts import Accounts
from crawlerd.engine.attempt import begin
from crawlerd.engine.clock import Clock
from crawlerd.engine.dispatcher import Dispatcher
from crawlerd.engine.fullness import believed, fullness, setup
from crawlerd.engine.memory import give_back_large
from crawlerd.engine.open_sinks import OpenSinks
from crawlerd.engine.pool import Pool
from crawlerd.engine.sink_writer import Target
from crawlerd.engine.store import Store
from crawlerd.engine.wake import Wake
from crawlerd.engine.wire import Setup
from crawlerd.engine.workbench import Workbench
from crawlerd.frontier import open_frontier
from crawlerd.frontier.lock import StateLock
from crawlerd.ratelimit.adaptive import Learned
from crawlerd.ratelimit.shared import SharedLimits
from crawlerd.source import RunPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from crawlerd.config.load import Settings
    from crawlerd.core.account import ImportSpec

log = logging.getLogger(__name__)

STORAGE_SECONDS = 5.0  # between tries to start an import whose sink cannot be opened, or while the disk is full
START_SLICE = 0.05  # seconds that starting imports may hold up what runs already
START_MOST = 256  # imports that are started before signals are looked at again
START_SECONDS = 60.0  # between tries to start an import whose source raises an error at once
MIB = 1 << 20
GARBAGE_OBJECTS = 50_000  # new ones that start a collection; at the default of 700, it took a third of the time


class Started(NamedTuple):
    """The runs of an import that are now under way. resumed: they were begun before."""

    runs: list[int]
    resumed: bool


class Engine:
    """Everything below the commands. Construct, `start`, ask for runs, `stop`; used from the main thread.

    changed: set whenever a run has ended, an account was paused, or the engine has failed.
    """

    def __init__(self, settings: Settings) -> None:
        """Takes the state directory's lock and opens the frontier. FrontierLocked, FrontierTooNew, FrontierError."""
        self.settings = settings
        self.clock = Clock()
        self.changed = Wake()
        self.failure: BaseException | None = None
        self._ended: SimpleQueue[int] = SimpleQueue()
        self._active: dict[str, int] = {}  # how many runs are under way, by import
        self._import_of: dict[int, str] = {}
        state_dir = settings.daemon.state_dir
        self._lock = StateLock(state_dir)
        _raise_open_files()
        daemon = settings.daemon
        pool = Pool(
            Setup(_by_source(settings), daemon.threads_per_process, settings.descriptions),
            settings.accounts,
            processes=daemon.worker_processes,
            max_worker_mb=daemon.max_worker_memory_bytes / MIB,
        )
        try:
            pool.fill(time.monotonic())  # they come up while the frontier is opened
            self._frontier = open_frontier(state_dir, now=self.clock.now())
        except BaseException:
            pool.close()
            self._lock.close()
            raise
        self._sinks = OpenSinks(settings, self._frontier, self.clock)
        self.accounts = Accounts(settings, self._frontier, self.clock, self._sinks.by_name, self.changed)
        running = self._frontier.running_imports()
        self._agenda = [(0.0 if name in running else 1.0, name) for name in settings.imports]  # when to look at it
        heapify(self._agenda)
        self.store = Store(
            self._frontier,
            self.clock,
            on_ended=self._on_ended,
            on_borrowed=self.accounts.borrowed,
            on_fatal=self._on_fatal,
            beat=self._lock.beat,
            parts=self.accounts.parts,
            on_replaced=self._sinks.replaced,
        )
        self._sinks.store = self.store
        storage = daemon.limiter_storage
        self._shared = SharedLimits(storage, now=self.clock.now) if storage else None
        last_alive = self._lock.last_alive
        bench = Workbench(
            self.accounts.limits,
            self.store.ask,
            self.store.ask_quota,
            costs={
                name: kind.cost
                for source in settings.sources.values()
                for name, kind in source.kinds.items()
                if kind.cost != 1
            },
            learned=_learned(self._frontier.learned()),
            remember=self.store.remember,
            ask_shared=self._shared.ask if self._shared else None,
            wide=[name for source in settings.sources.values() for name, kind in source.kinds.items() if kind.wide],
            quiet_since=-math.inf if last_alive is None else self.clock.monotonic(last_alive),
        )
        self.dispatcher = Dispatcher(
            bench,
            self.store,
            pool,
            self.clock,
            lease_seconds=daemon.visibility_seconds,
            on_guard=self.accounts.passed,
            on_pause=self.accounts.refused,
            on_fatal=self._on_fatal,
        )
        self.accounts.connect(self.store, self.dispatcher)
        if self._shared:
            self._shared.reply = self.dispatcher.granted

    @property
    def trouble(self) -> str | None:
        """What holds up the imports at the moment: a full disk, a sink, a shared limiter."""
        return self.store.trouble or (self._shared.trouble if self._shared else None)

    def start(self) -> None:
        gc.freeze()  # what is here stays; and the many tasks in flight are no garbage, yet each collection walked them
        give_back_large()
        gc.set_threshold(GARBAGE_OBJECTS)
        if self._shared:
            self._shared.start()
        self.dispatcher.start()
        self.store.start(self.dispatcher)

    def stop(self, drain_seconds: float) -> bool:
        """Stops leasing, waits for what is running, commits it. False when something was still running at the end:
        those tasks are done again after the next start."""
        drained = False
        if self.failure is None:
            self.dispatcher.drain()
            drained = self.dispatcher.drained.wait(drain_seconds)
        self.dispatcher.stop()
        if self._shared:
            self._shared.stop()
        self.store.stop()
        self.dispatcher.close()
        if failed := self._sinks.close():
            self._on_fatal(failed)
        try:
            self._frontier.close()
        finally:
            self._lock.close()
        return drained

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(self.settings.daemon.drain_seconds)

    # runs

    def open_sinks(self) -> None:
        """See `OpenSinks.open_all`. FrontierRefused when the frontier is older than one of them."""
        try:
            self.store.call(self._sinks.open_all).result()
        except (SyncFailed, FrontierRefused) as error:
            self._on_fatal(error)

    def start_import(self, name: str, *, full: bool = False, allow_shrink: bool = False) -> Started:
        """Resumes what is unfinished of the import, else begins a new run; its credentials are checked first. Raises
        what kept it from starting."""
        ((_, result),) = self.start_imports([name], full=full, allow_shrink=allow_shrink)
        if isinstance(result, CrawlerdError):
            raise result
        return result

    def start_imports(
        self, names: Iterable[str], *, full: bool = False, allow_shrink: bool = False
    ) -> Iterator[tuple[str, Started | CrawlerdError]]:
        """The same for many, each with what came of it. allow_shrink: full runs that see far less than the last ones
        are not doubted. They start a slice of time after the other, since a question to the store
        waits for the commit of what runs already."""
        waiting = deque(names)
        while waiting:
            results = self.store.call(partial(self._start_some, waiting, full, allow_shrink)).result()
            for name, result in results:
                if isinstance(result, Started):
                    self._active[name] = len(result.runs)
                    self._import_of |= dict.fromkeys(result.runs, name)
                    for run in result.runs:
                        log.info("import %s: run %d %s", name, run, "resumed" if result.resumed else "started")
            yield from results

    def _start_some(
        self, waiting: deque[str], full: bool, allow_shrink: bool
    ) -> list[tuple[str, Started | CrawlerdError]]:
        until = time.monotonic() + START_SLICE
        results: list[tuple[str, Started | CrawlerdError]] = []
        while waiting and (not results or time.monotonic() < until):
            name = waiting.popleft()
            try:
                results.append((name, self._start(name, full, allow_shrink)))
            except (SyncFailed, FrontierRefused) as error:  # nothing may go on as it is
                self._on_fatal(error)
                raise
            except CrawlerdError as error:
                results.append((name, error))
        return results

    def _start(self, name: str, full: bool, allow_shrink: bool) -> Started:
        spec = self.settings.imports[name]
        account = self.settings.accounts[spec.account]
        source = self.settings.sources[account.source]
        sink, number = self._sinks.of(spec, self.accounts.numbers)
        target = Target(sink, source.name, account.name, spec.priority, spec.sink, number)
        runs = self._frontier.running_runs(name)
        resumed = bool(runs)
        if resumed and allow_shrink:
            self._frontier.let_shrink(runs)
        if not runs:
            doubted = self._frontier.doubted(name, number)
            cursors = believed(self._frontier.cursors(name, number), doubted, spec.streams)
            plan = RunPlan(
                spec.streams,
                full,
                self.clock.now(),
                cursors,
                spec.options,
                account.options,
                has_sink=sink is not None,
                account=account.name,
            )
            first = target.prioritised(begin(source, plan, self.accounts.source))
            whole = fullness(plan, first.full, doubted, self._frontier.news(name, number))
            started = self._frontier.start_run(
                name,
                self.accounts.numbers[account.name],
                first.children,
                gathers=first.gathers,
                full=whole.full,
                now=plan.started_at,
                sink=number,
                why=whole.why,
                streams=spec.streams,
                whole=whole.streams if sink is not None else (),
                setup=setup(spec.options, account.options, self.settings.descriptions.get(source.name)),
                shrink=allow_shrink,
            )
            if whole.why:
                log.info("import %s: run %d is full: %s", name, started.run, whole.why)
            if started.ended:
                self._on_ended(started.ended)
            runs = [started.run]
        accounts = dict.fromkeys(number for run in runs for number in self._frontier.accounts(run))
        for number in accounts:
            self.accounts.check(number)
        for run in runs:
            self.store.serve_run(run, target)
        for number in accounts:
            self.store.offer(number)
        return Started(runs, resumed)

    def start_due(self) -> float:
        """Starts every import that is due, resumes interrupted ones, and tries paused accounts again.
        Returns the seconds until it wants to be called again."""
        now = self.clock.now()
        names: list[str] = []
        while self._agenda and self._agenda[0][0] <= now and len(names) < START_MOST:
            _, name = heappop(self._agenda)
            if name not in self._active:  # it comes back when it has ended
                names.append(name)
        try:
            times = self.store.call(lambda: {name: self._due(self.settings.imports[name], now) for name in names})
            later = {name: at for name, at in times.result().items() if at > now}
        except FrontierError:
            self._agenda += [(now, name) for name in names]
            heapify(self._agenda)
            raise
        for name, result in self.start_imports(name for name in names if name not in later):
            if isinstance(result, Permanent):
                log.error("import %s: %s", name, result)
                later[name] = now + START_SECONDS
            elif isinstance(result, CrawlerdError):
                log.error("import %s cannot start: %s; trying again", name, result)
                later[name] = now + STORAGE_SECONDS
        for name, at in later.items():
            if at < math.inf:
                heappush(self._agenda, (at, name))
        self.accounts.probe()
        return min(60.0, max(0.0, self._agenda[0][0] - now)) if self._agenda else 60.0

    def _due(self, spec: ImportSpec, now: float) -> float:
        last = self._frontier.latest_run(spec.name)
        if self._frontier.running_runs(spec.name) or (last and last.again):
            return now
        if spec.every is None:
            return math.inf
        return next_fire(now, last.started_at if last else None, spec.every)

    def abandoned(self, runs: Iterable[int]) -> bool:
        """Whether any of these runs was given up, so that its import is to be started again."""
        return not self._sinks.abandoned.isdisjoint(runs)

    def ended(self) -> list[int]:
        """Runs that have ended since the last call."""
        runs = []
        while not self._ended.empty():
            runs.append(self._ended.get())
        for run in runs:
            self.dispatcher.free.pop(run, None)
            name = self._import_of.pop(run, None)
            if name is not None:
                self._active[name] -= 1
                if not self._active[name]:
                    del self._active[name]
                    heappush(self._agenda, (self.clock.now(), name))
        return runs

    def retry_dead(self, numbers: Sequence[int]) -> int:
        """Makes dead letters ready again, and resumes their runs as far as their imports are configured."""
        count, imports = self.store.call(lambda: self._frontier.retry_dead(numbers)).result()
        for name in imports:
            if name in self.settings.imports:
                self.start_import(name)
        return count

    # what the threads report

    def _on_ended(self, runs: Iterable[int]) -> None:
        for run in runs:
            self._ended.put(run)
        self.changed.set()

    def _on_fatal(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
            log.critical("%s: %s", type(error).__name__, error, exc_info=not isinstance(error, FrontierError))
        self.changed.set()


def _raise_open_files() -> None:
    """Raises the limit of open files, which the worker processes inherit, to what the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        log.info("the limit of open files was %d and is now %d, the most that the system permits", soft, hard)


def _by_source(settings: Settings) -> dict[str, str]:
    """The names of the accounts, one a line, by their source's."""
    names: dict[str, list[str]] = {source: [] for source in settings.sources}
    for name, spec in settings.accounts.items():
        names[spec.source].append(name)
    return {source: "\n".join(each) for source, each in names.items()}


def _learned(rows: Mapping[str, str]) -> dict[str, Learned]:
    learned = {}
    for key, value in rows.items():
        try:
            learned[key] = msgspec.json.decode(value, type=Learned)
        except msgspec.MsgspecError as error:
            log.warning("what was learned of the limit %s is not usable, and will be learned again: %s", key, error)
    return learned
