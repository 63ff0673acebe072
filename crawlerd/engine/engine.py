"""The engine assembled: one frontier, its store and dispatcher, the sinks, and the runs of the configured imports."""

from __future__ import annotations

import gc
import logging
import math
import resource
import time
from contextlib import suppress
from functools import partial
from heapq import heapify, heappop, heappush
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from crawlerd.core.errors import FrontierError, Permanent, SinkError
from crawlerd.core.schedule import next_fire
from crawlerd.core.task import PART
from crawlerd.engine.attempt import begin
from crawlerd.engine.clock import Clock
from crawlerd.engine.dispatcher import Dispatcher
from crawlerd.engine.outlet import Target
from crawlerd.engine.store import Store
from crawlerd.engine.wake import Wake
from crawlerd.engine.wire import Setup
from crawlerd.engine.workbench import Workbench
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.sqlite import Frontier
from crawlerd.ratelimit.adaptive import Learned
from crawlerd.ratelimit.shared import SharedLimits
from crawlerd.sinks import open_sink
from crawlerd.source import RunPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Self

    from crawlerd.core.account import ImportSpec, LimitSpec
    from crawlerd.settings import Settings
    from crawlerd.sink import Sink
    from crawlerd.source import Source

log = logging.getLogger(__name__)

SINK_SECONDS = 5.0  # between tries to start an import whose sink cannot be opened
PROBE_SECONDS = 300.0  # a paused account's credentials are tried again so often
START_SLICE = 0.5  # seconds that starting imports may take before signals are looked at again
CHECK_SECONDS = 60.0  # many imports of one account that start together check its credentials once
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
        self.paused: dict[str, str] = {}
        self._paused_at: dict[str, float] = {}
        self._ended: SimpleQueue[int] = SimpleQueue()
        self._active: dict[str, int] = {}  # how many runs are under way, by import
        self._import_of: dict[int, str] = {}
        self._checked_at: dict[int, float] = {}
        state_dir = settings.daemon.state_dir
        self._lock = StateLock(state_dir)
        try:
            self._frontier = Frontier(state_dir, now=self.clock.now())
        except BaseException:
            self._lock.close()
            raise
        self._account_ids = self._frontier.account_numbers(
            {name: spec.source for name, spec in settings.accounts.items()}
        )
        running = self._frontier.running_imports()
        self._agenda = [(0.0 if name in running else 1.0, name) for name in settings.imports]  # when to look at it
        heapify(self._agenda)
        self._account_names = {number: name for name, number in self._account_ids.items()}
        self._parts: dict[int, str] = {}
        self._confirmed: set[str] = set()
        self._parts_waiting: dict[str, list[int]] = {}
        self._sinks: dict[str, Sink] = {}
        self.store = Store(
            self._frontier,
            self.clock,
            on_ended=self._on_ended,
            on_borrowed=self._on_borrowed,
            on_fatal=self._on_fatal,
            beat=self._lock.beat,
            parts=self._parts,
        )
        storage = settings.daemon.limiter_storage
        self._shared = SharedLimits(storage, now=self.clock.now) if storage else None
        last_alive = self._lock.last_alive
        bench = Workbench(
            self._find_account,
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
        daemon = settings.daemon
        self.dispatcher = Dispatcher(
            bench,
            self.store,
            Setup(settings.accounts, daemon.threads_per_process, settings.descriptions),
            self.clock,
            processes=daemon.worker_processes,
            lease_seconds=daemon.visibility_seconds,
            max_worker_mb=daemon.max_worker_memory_bytes / MIB,
            on_guard=self._on_guard,
            on_pause=self._on_pause,
            on_fatal=self._on_fatal,
        )
        if self._shared:
            self._shared.reply = self.dispatcher.granted

    @property
    def trouble(self) -> str | None:
        """What holds up the imports at the moment: a full disk, a sink, a shared limiter."""
        return self.store.trouble or (self._shared.trouble if self._shared else None)

    def start(self) -> None:
        gc.freeze()  # what is here stays; and the many tasks in flight are no garbage, yet each collection walked them
        gc.set_threshold(GARBAGE_OBJECTS)
        _raise_open_files()
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
        for name, sink in self._sinks.items():
            try:
                sink.close()
            except SinkError as error:
                log.error("sinks.%s: %s", name, error)
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

    def start_import(self, name: str, *, full: bool = False) -> Started:
        """Resumes what is unfinished of the import, else begins a new run; its credentials are checked first."""
        spec = self.settings.imports[name]
        account = self.settings.accounts[spec.account]
        source = self.settings.sources[account.source]

        def run_it() -> Started:
            sink = None if spec.sink is None else self._sink(spec.sink)
            target = Target(sink, source.name, account.name, spec.priority, spec.sink)
            runs = self._frontier.running_runs(name)
            resumed = bool(runs)
            if not runs:
                plan = RunPlan(
                    spec.streams,
                    full,
                    self.clock.now(),
                    self._frontier.cursors(name),
                    spec.options,
                    account.options,
                    has_sink=sink is not None,
                    account=account.name,
                )
                first = target.prioritised(begin(source, plan, self._source_of))
                number = self._account_ids[account.name]
                started = self._frontier.start_run(
                    name, number, first.children, gathers=first.gathers, full=full, now=plan.started_at
                )
                if started.ended:
                    self._on_ended(started.ended)
                runs = [started.run]
            accounts = dict.fromkeys(number for run in runs for number in self._frontier.accounts(run))
            for number in accounts:
                self._check(number)
            for run in runs:
                self.store.serve_run(run, target)
            for number in accounts:
                self.store.offer(number)
            return Started(runs, resumed)

        started = self.store.call(run_it).result()
        self._active[name] = len(started.runs)
        self._import_of |= dict.fromkeys(started.runs, name)
        for run in started.runs:
            log.info("import %s: run %d %s", name, run, "resumed" if started.resumed else "started")
        return started

    def start_due(self) -> float:
        """Starts every import that is due, resumes interrupted ones, and tries paused accounts again.
        Returns the seconds until it wants to be called again."""
        now, started = self.clock.now(), time.monotonic()
        while self._agenda and self._agenda[0][0] <= now and time.monotonic() - started < START_SLICE:
            _, name = heappop(self._agenda)
            if name in self._active:
                continue  # it comes back when it has ended
            spec = self.settings.imports[name]
            due = self.store.call(partial(self._due, spec, now)).result()
            if due <= now:
                try:
                    self.start_import(name)
                    continue
                except Permanent as error:
                    log.error("import %s: %s", name, error)
                    due = now + START_SECONDS
                except SinkError as error:
                    log.error("import %s cannot start: sinks.%s: %s; trying again", name, spec.sink, error)
                    due = now + SINK_SECONDS
            if due < math.inf:
                heappush(self._agenda, (due, name))
        for account, since in list(self._paused_at.items()):
            if now - since >= PROBE_SECONDS:
                self._check(self._account_ids[account])
        return min(60.0, max(0.0, self._agenda[0][0] - now)) if self._agenda else 60.0

    def _due(self, spec: ImportSpec, now: float) -> float:
        if self._frontier.running_runs(spec.name):
            return now
        if spec.every is None:
            return math.inf
        last = self._frontier.latest_run(spec.name)
        return next_fire(now, last.started_at if last else None, spec.every)

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

    def _on_guard(self, account: int, identity: str | None) -> None:
        if identity is None:
            self._open(account)
        else:
            self.store.call(lambda: self._confirm(account, identity))

    def _confirm(self, account: int, identity: str) -> None:
        name = self._account_names[account]
        others = self._others(account, name, identity)
        if others is None:
            self._frontier.confirm(account, identity)
            self._frontier.resume(account)
            self._open(account)
            return
        reason = (
            f"its key belongs to {identity}, but {others}: "
            "put the right key back, or give the new one an account and an import of its own"
        )
        log.error("account %s is paused: %s", name, reason)
        self.dispatcher.pause(account, reason)
        self._on_pause(account, reason)

    def _others(self, account: int, name: str, identity: str) -> str | None:
        """Where records of another one than `identity` lie already under the account's name: here, or in a sink that
        other state directories use."""
        noted = self._frontier.identity(account)
        if noted not in (None, identity):
            return f"what was imported so far came from {noted}"
        for sink in {spec.sink for spec in self.settings.imports.values() if spec.account == name and spec.sink}:
            if sink in self._sinks:
                with suppress(SinkError):  # it will refuse the records as well, and say why
                    noted = self._sinks[sink].confirm(self.settings.accounts[name].source, name, identity)
                    if noted is not None:
                        return f"what sinks.{sink} holds under this name came from {noted}"
        return None

    def _open(self, account: int) -> None:
        """Lets tasks of an account start, and those of its parts, which its credentials are good for."""
        name = self._account_names[account]
        self._confirmed.add(name)
        for number in (account, *self._parts_waiting.pop(name, ())):
            self.dispatcher.open(number)

    def _on_pause(self, account: int, reason: str) -> None:
        if account in self._parts:  # its credentials are those of the whole account
            part, account = account, self._account_ids[self._parts[account].partition(PART)[0]]
            self._parts_waiting.setdefault(self._account_names[account], []).append(part)
            self.dispatcher.pause(account, reason)
        name = self._account_names[account]
        self._confirmed.discard(name)
        self.paused[name] = reason
        self._paused_at[name] = self.clock.now()
        self.store.call(lambda: self._frontier.pause(account, reason))
        self.changed.set()

    def _on_borrowed(self, pairs: Iterable[tuple[int, int]]) -> None:
        for _, account in pairs:
            self._check(account)

    def _check(self, number: int) -> None:
        """Lets the source's guard check the account's credentials (again), paused or not. A part waits for that of its
        account."""
        account = self._account_names.get(number)
        if account is None and PART in (part := self._frontier.account_name(number)):
            owner = part.partition(PART)[0]
            if owner in self._account_ids:
                self._parts[number] = part
                if owner in self._confirmed:
                    self.dispatcher.open(number)
                else:
                    self._parts_waiting.setdefault(owner, []).append(number)
                    self.dispatcher.pause(number, f"waits for the check of the credentials of {owner}")
                return
        source = self._source_of(account) if account else None
        if account is None or source is None:
            account, reason = (
                self._frontier.account_name(number),
                "not configured any more, but an import has tasks for it",
            )
            log.error("account %s is paused: %s", account, reason)
            self.paused[account] = reason
            self._frontier.pause(number, reason)
            self.changed.set()
            return
        now = self.clock.now()
        if account not in self.paused and now - self._checked_at.get(number, -math.inf) < CHECK_SECONDS:
            return
        self._checked_at[number] = now
        self.paused.pop(account, None)
        self._paused_at.pop(account, None)
        self._confirmed.discard(account)
        if source.guard is None:
            self._open(number)
        else:
            task = source.new_task(source.guard)
            self.dispatcher.guard(number, task.kind, task.payload)

    def _source_of(self, account: str) -> Source | None:
        spec = self.settings.accounts.get(account)
        return None if spec is None else self.settings.sources[spec.source]

    def _find_account(self, number: int) -> tuple[str, LimitSpec] | None:
        name = self._account_names.get(number) or self._parts.get(number)
        return None if name is None else (name, self.settings.limits[name.partition(PART)[0]])

    def _sink(self, name: str) -> Sink:
        sink = self._sinks.get(name)
        if sink is None:
            sink = self._sinks[name] = open_sink(self.settings.sinks[name])
        return sink


def _raise_open_files() -> None:
    """Raises the limit of open files, which the worker processes inherit, to what the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        log.info("the limit of open files was %d and is now %d, the most that the system permits", soft, hard)


def _learned(rows: Mapping[str, str]) -> dict[str, Learned]:
    learned = {}
    for key, value in rows.items():
        try:
            learned[key] = msgspec.json.decode(value, type=Learned)
        except msgspec.MsgspecError as error:
            log.warning("what was learned of the limit %s is not usable, and will be learned again: %s", key, error)
    return learned
