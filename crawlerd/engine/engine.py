"""The engine assembled: one frontier, its store and dispatcher, the sinks, the workers, and the runs."""

from __future__ import annotations

import gc
import logging
import math
import resource
import time
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.errors import FrontierRefused, SyncFailed
from crawlerd.core.reasons import Reason
from crawlerd.core.task import PART
from crawlerd.engine.account_names import AccountNames
from crawlerd.engine.allocator import free_large_buffers
from crawlerd.engine.clock import Clock
from crawlerd.engine.dispatcher import Dispatcher
from crawlerd.engine.dispatcher_inbox import DispatcherInbox
from crawlerd.engine.failure import Failure
from crawlerd.engine.guards import Guards
from crawlerd.engine.open_sinks import OpenSinks
from crawlerd.engine.outages import Outages
from crawlerd.engine.pausing import Pausing
from crawlerd.engine.prefetch import Prefetch
from crawlerd.engine.runs import Runs
from crawlerd.engine.safe_event import SafeEvent
from crawlerd.engine.sink_writer import SinkWriter
from crawlerd.engine.starting import Starter
from crawlerd.engine.store import Store
from crawlerd.engine.store_inbox import StoreInbox
from crawlerd.engine.wire import Setup
from crawlerd.engine.workbench import Workbench
from crawlerd.engine.worker_pool import Pool
from crawlerd.frontier import open_frontier
from crawlerd.frontier.lock import StateLock
from crawlerd.ratelimit.adaptive import Learned
from crawlerd.ratelimit.shared import SharedLimits
from crawlerd.sources.registry import place_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from crawlerd.config.load import Settings
    from crawlerd.core.reasons import Waiting

log = logging.getLogger(__name__)

MIB = 1 << 20
EXPLAIN_SECONDS = 5.0  # within which the dispatcher answers
GARBAGE_OBJECTS = 50_000  # new ones that start a collection; at the default of 700, it took a third of the time


class Engine:
    """Everything below the commands. Construct, `start`, ask `runs`, `stop`; used from the main thread.

    stopped: it was told to stop.
    """

    def __init__(self, settings: Settings, changed: SafeEvent | None = None) -> None:
        """Takes the state directory's lock and opens the frontier. FrontierLocked, FrontierTooNew, FrontierError.

        changed: set whenever a run has ended, an account was paused, or the engine has failed.
        """
        self.settings = settings
        self.clock = clock = Clock()
        self._changed = changed = SafeEvent() if changed is None else changed
        self.stopped = False
        self._failure = failure = Failure(changed)
        daemon = settings.daemon
        self._lock = StateLock(daemon.state_dir)
        _raise_open_files()
        added: dict[int, tuple[str, ...]] = {}
        pool = Pool(
            _setup(settings),
            settings.accounts,
            processes=daemon.worker_processes,
            max_worker_mb=daemon.max_worker_memory_bytes / MIB,
            added=added,
        )
        try:
            pool.fill(time.monotonic())  # they come up while the frontier is opened
            self._frontier = frontier = open_frontier(daemon.state_dir, now=clock.now())
        except BaseException:
            pool.close()
            self._lock.close()
            raise
        self._to_dispatcher = to_dispatcher = DispatcherInbox(clock)
        self._to_store = to_store = StoreInbox()
        self._names = names = AccountNames(settings, frontier)
        writer = SinkWriter(names.parts, frontier.expected)
        prefetch = Prefetch(frontier, clock, writer.serving, to_dispatcher)
        self._sinks = sinks = OpenSinks(settings, frontier, clock, writer)
        self.accounts = Guards(settings, names, frontier, clock, sinks.by_name, to_store, to_dispatcher, changed)
        self.pauses = Pausing(frontier, clock, settings.accounts, writer, prefetch, to_store, to_dispatcher, changed)
        starter = Starter(settings, frontier, clock, names, self.accounts, sinks, writer, prefetch, added, self.pauses)
        self.runs = Runs(
            settings, frontier, clock, starter, self.accounts, sinks, to_store, failure, changed, self.pauses, writer
        )
        events = _Events(self.runs, self.accounts, sinks, failure, self._lock, added, self.pauses)
        self.store = Store(frontier, clock, to_store, writer, prefetch, to_dispatcher, events)
        storage = daemon.limiter_storage
        self._shared = SharedLimits(storage, now=clock.now, reply=to_dispatcher.granted) if storage else None
        last_alive = self._lock.last_alive
        kinds = [each for source in settings.sources.values() for each in source.kinds.items()]
        self.outages = Outages(names, to_store, clock, frontier.outages())
        bench = Workbench(
            names,
            to_store,
            self.outages,
            shared=self._shared,
            costs={name: kind.cost for name, kind in kinds if kind.cost != 1},
            wide=[name for name, kind in kinds if kind.wide],
            learned=_learned(frontier.learned()),
            quiet_since=-math.inf if last_alive is None else clock.monotonic(last_alive),
        )
        self.dispatcher = Dispatcher(
            bench,
            self.outages,
            to_dispatcher,
            to_store,
            pool,
            clock,
            self.accounts,
            failure,
            free=self.runs.free,
            lease_seconds=daemon.visibility_seconds,
        )

    @property
    def changed(self) -> SafeEvent:
        """The one that it was given, or its own."""
        return self._changed

    @property
    def failure(self) -> BaseException | None:
        """What has stopped it."""
        return self._failure.error

    @property
    def trouble(self) -> str | None:
        """What holds up imports at the moment: no workers, a full disk, a sink, a shared limiter."""
        down = self.dispatcher.without_workers()
        return (
            (down[0] if down else None)
            or self.store.trouble
            or self._sinks.trouble
            or self.runs.trouble
            or (self._shared.trouble if self._shared else None)
        )

    @property
    def otherwise(self) -> str:
        """What an account with ready tasks waits for that has nothing in memory to start."""
        return "its turn among the accounts"

    def holds(self, run: int, import_name: str) -> tuple[Reason, str] | None:
        """What holds up a run, or keeps a new one of the import from starting, beside its accounts. From any thread."""
        if down := self.dispatcher.without_workers():
            return Reason.WORKERS, down[0]
        if stuck := self.store.stuck.get(run):
            return (Reason.STORE if self.store.disk_trouble else Reason.SINK), stuck
        if refusal := self.runs.refusal(import_name):
            return Reason.SINK, f"it could not start: {refusal}"
        if self._shared and self._shared.trouble:
            return Reason.LIMIT, self._shared.trouble
        return None

    def requests_of(self, run: int) -> int:
        """How many tasks of a run workers have at the moment. From any thread. TimeoutError as of `explain`."""
        answer: Future[int] = Future()
        self._to_dispatcher.count(run, answer)
        return answer.result(EXPLAIN_SECONDS)

    def limits_of(self, account: str) -> dict[str, list[str]] | None:
        """As configured, by bucket, "" for the whole account; None when it is not configured. From any thread."""
        spec = self.settings.limits.get(account.partition(PART)[0])
        if spec is None:
            return None
        return {"": list(spec.limits), "each bucket": list(spec.bucket_limits)} | {
            bucket: list(limits) for bucket, limits in spec.by_bucket.items()
        }

    def explain(self, accounts: Sequence[str]) -> dict[str, Waiting]:
        """Why nothing of these accounts or parts starts, by name; of those that have something in memory to start. From
        any thread. TimeoutError when the dispatcher does not answer."""
        answers: dict[str, Future[Waiting | None]] = {}
        for name in accounts:
            number = self._names.number(name)
            if number is not None:
                answers[name] = Future()
                self._to_dispatcher.explain(number, answers[name])
        deadline = time.monotonic() + EXPLAIN_SECONDS
        found = {name: each.result(deadline - time.monotonic()) for name, each in answers.items()}
        return {name: waiting for name, waiting in found.items() if waiting}

    def start(self) -> None:
        gc.freeze()  # start-up objects are permanent
        free_large_buffers()
        gc.set_threshold(GARBAGE_OBJECTS)  # tasks in flight are no garbage, yet each collection walks them
        if self._shared:
            self._shared.start()
        self.dispatcher.start()
        self.store.start()

    def stop(self, drain_seconds: float) -> bool:
        """Stops leasing, waits for what is running, commits it. False when something was still running at the end:
        those tasks are done again after the next start. Does nothing when it was called before."""
        if self.stopped:
            return False
        self.stopped = True
        drained = False
        with ExitStack() as at_last:  # whatever fails, no thread is left, and the lock is free
            at_last.callback(self._lock.close)
            at_last.callback(self._frontier.close)
            at_last.callback(self._close_sinks)
            at_last.callback(self._to_dispatcher.close)
            at_last.callback(self.store.stop)
            at_last.callback(self._sinks.release)
            if self._shared:
                at_last.callback(self._shared.stop)
            at_last.callback(self.dispatcher.stop)
            if self.failure is None:
                self.dispatcher.drain()
                drained = self.dispatcher.drained.wait(drain_seconds)
        return drained

    def _close_sinks(self) -> None:
        if failed := self._sinks.close():
            self._failure.set(failed)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(self.settings.daemon.drain_seconds)

    def open_sinks(self) -> None:
        """See `OpenSinks.open_all`. FrontierRefused when the frontier is older than one of them."""
        try:
            self._to_store.call(self._sinks.open_all).result()
        except (SyncFailed, FrontierRefused) as error:
            self._failure.set(error)


class _Events:
    """Passes on what the store tells; see `StoreEvents`."""

    def __init__(
        self,
        runs: Runs,
        accounts: Guards,
        sinks: OpenSinks,
        failure: Failure,
        lock: StateLock,
        added: dict[int, tuple[str, ...]],
        pauses: Pausing,
    ) -> None:
        self._runs, self._added, self._pauses, self._lock = runs, added, pauses, lock
        self.borrowed = accounts.borrowed
        self.replaced = sinks.replaced
        self.failed = failure.set
        self.idle = sinks.idle

    def beat(self) -> None:
        self._lock.beat()
        self._pauses.look()

    def ended(self, runs: Sequence[int]) -> None:
        for run in runs:
            self._added.pop(run, None)
        self._runs.note_ended(runs)


def _raise_open_files() -> None:
    """Raises the limit of open files, which the worker processes inherit, to what the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        log.info("the limit of open files was %d and is now %d, the most that the system permits", soft, hard)


def _setup(settings: Settings) -> Setup:
    accounts, described = _by_source(settings), settings.descriptions
    entries = {described[name][0] if name in described else name for name in accounts}
    places: dict[str, tuple[str, list[str]]] = {
        entry: place for entry in entries if (place := place_of(entry)) is not None
    }
    return Setup(accounts, settings.daemon.threads_per_process, places, described)


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
