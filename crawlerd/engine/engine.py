"""Creates all parts of the engine, connects them, starts and stops them: the frontier, the store, the dispatcher, the
sinks, the workers and the runs."""

from __future__ import annotations

import gc
import logging
import math
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from crawlerd.core.errors import FrontierRefused, SyncFailed
from crawlerd.engine.account_names import AccountNames
from crawlerd.engine.agenda import Agenda
from crawlerd.engine.allocator import free_large_buffers
from crawlerd.engine.attempt_counts import AttemptCounts
from crawlerd.engine.bulk import Bulk
from crawlerd.engine.clock import Clock
from crawlerd.engine.commit_counts import RunEnds
from crawlerd.engine.deadlines import Deadlines
from crawlerd.engine.dispatcher import Dispatcher
from crawlerd.engine.dispatcher_inbox import DispatcherInbox
from crawlerd.engine.failure import Failure
from crawlerd.engine.forgetting import Forgetting, StoreCaller
from crawlerd.engine.guards import Guards
from crawlerd.engine.insight import Insight
from crawlerd.engine.joining import Joining
from crawlerd.engine.limiters import learned_of
from crawlerd.engine.live_changes import Kinds, LiveChanges
from crawlerd.engine.lowering import Lowering
from crawlerd.engine.open_files import raise_open_files
from crawlerd.engine.open_sinks import OpenSinks
from crawlerd.engine.outages import Outages
from crawlerd.engine.pausing import Pausing
from crawlerd.engine.prefetch import Prefetch
from crawlerd.engine.questions import Questions
from crawlerd.engine.rates import Rates
from crawlerd.engine.reloads import Reloads
from crawlerd.engine.renewals import Renewals
from crawlerd.engine.retention import Retention
from crawlerd.engine.runs import Runs
from crawlerd.engine.safe_event import SafeEvent
from crawlerd.engine.scheduling import Scheduling
from crawlerd.engine.shared_queues import SharedQueues
from crawlerd.engine.sink_writer import SinkWriter
from crawlerd.engine.solo_work import SoloWork
from crawlerd.engine.starting import Starter
from crawlerd.engine.store import Store
from crawlerd.engine.store_events import Events
from crawlerd.engine.store_inbox import StoreInbox
from crawlerd.engine.workbench import Workbench
from crawlerd.engine.worker_pool import Pool
from crawlerd.engine.worker_setup import worker_setup
from crawlerd.frontier import locate, open_frontier
from crawlerd.frontier.lock import StateLock
from crawlerd.ratelimit.shared import SharedLimits

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from crawlerd.config.differences import Changes, Known
    from crawlerd.config.load import Settings
    from crawlerd.engine.wire import RunTerms
    from crawlerd.frontier.acts_contract import Promise

log = logging.getLogger(__name__)

MIB = 1 << 20
# New objects between two garbage collections. With Python's default of 700, they took a third of the time.
GARBAGE_OBJECTS = 50_000


class Engine:
    """Runs imports, for a command or the daemon: construct it, call `start`, use `runs`, and call `stop`. To be used
    from the main thread.

    stopped: `stop` was called.
    attempt_counts: counts of attempts and requests, for metrics.
    """

    def __init__(
        self,
        settings: Settings,
        changed: SafeEvent | None = None,
        reading: Callable[[Known], Changes] | None = None,
        around_reload: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """Takes the lock of the state directory and opens the frontier. Raises FrontierLocked when another crawlerd has
        the lock, FrontierTooNew for a frontier of a newer crawlerd, and FrontierError for the rest.

        changed: set whenever a run has ended, an account was paused, or the engine has failed.
        reading, around_reload: see `Reloads`.
        """
        self.settings = settings
        self.clock = clock = Clock()
        self._changed = changed = SafeEvent() if changed is None else changed
        self.stopped = False
        self._failure = failure = Failure(changed)
        daemon = settings.daemon
        self._lock = StateLock(daemon.state_dir)
        raise_open_files()
        terms: dict[int, RunTerms] = {}
        self._rates, self.attempt_counts = Rates(), AttemptCounts()
        pool = Pool(
            worker_setup(
                {name: spec.source for name, spec in settings.accounts.items()},
                settings.sources,
                settings.descriptions,
                daemon.threads_per_process,
            ),
            settings.accounts,
            processes=daemon.worker_processes,
            max_worker_mb=daemon.max_worker_memory_bytes / MIB,
            terms=terms,
        )
        try:
            pool.fill(time.monotonic())  # workers start while the frontier is opened
            locate(daemon.state_dir, lambda: daemon.frontier)
            self._frontier = frontier = open_frontier(daemon.state_dir, now=clock.now())
        except BaseException:
            pool.close()
            self._lock.close()
            raise
        self._to_dispatcher = to_dispatcher = DispatcherInbox(clock)
        self._to_store = to_store = StoreInbox()
        self._names = names = AccountNames(settings, frontier)
        writer = SinkWriter(names.parts, frontier.expected, frontier.submitted_groups)
        prefetch = Prefetch(frontier, clock, writer.serving, to_dispatcher)
        self._sinks = sinks = OpenSinks(settings, frontier, clock, writer)
        self.accounts = Guards(settings, names, frontier, clock, sinks.by_name, to_store, to_dispatcher, changed)
        self.questions = Questions(settings, names, frontier, clock, to_store, to_dispatcher)
        self.pauses = Pausing(frontier, settings, writer, prefetch, to_store, to_dispatcher, changed)
        self.lowering = Lowering(frontier, to_store, to_dispatcher)
        scheduling = Scheduling(settings, frontier, time.time)
        deadlines = Deadlines(settings, frontier, clock, writer, to_store)
        starter = Starter(
            settings, frontier, clock, names, self.accounts, sinks, writer, prefetch, terms, self.pauses, scheduling
        )
        self.runs = Runs(
            settings,
            frontier,
            clock,
            starter,
            sinks,
            to_store,
            failure,
            changed,
            self.pauses,
            writer,
            deadlines,
            RunEnds(frontier, names.source_name, writer.counts),
        )
        self.agenda = agenda = Agenda(
            settings,
            frontier.running_imports(),
            self.runs,
            self.accounts,
            sinks,
            to_store,
            self.pauses,
            scheduling,
        )
        looks = self.pauses.look, self.lowering.look, deadlines.look, Retention(sinks.by_name, clock).look
        events = Events(self.runs, self.accounts, sinks, failure, self._lock, terms, self._rates, *looks)
        self.bulk = Bulk(daemon.state_dir, frontier, clock, to_store, failure, self.runs.resume)
        self.backups: SoloWork[Any] = SoloWork("backup")
        self.forgetting = Forgetting(frontier, StoreCaller(to_store), sinks.by_name)
        self.store = Store(frontier, clock, to_store, writer, prefetch, to_dispatcher, events)
        storage = daemon.limiter_storage
        self.joining = joining = Joining(
            *(settings, frontier, clock, to_store, self.runs, agenda, self.pauses, writer, self.store.arrived)
        )
        takes = reading is not None
        self._queues = SharedQueues(settings, frontier, to_store, joining, takes=takes)
        self._shared = SharedLimits(storage, now=clock.now, reply=to_dispatcher.granted) if storage else None
        last_alive = self._lock.last_alive
        kinds = Kinds({}, set())
        kinds.add(settings.sources.values())
        self.outages = Outages(names, to_store, clock, frontier.outages())
        bench = Workbench(
            names,
            to_store,
            self.outages,
            shared=self._shared,
            costs=kinds.costs,
            wide=kinds.wide,
            learned=learned_of(frontier.learned()),
            quiet_since=-math.inf if last_alive is None else clock.monotonic(last_alive),
            counts=lambda account: self.attempt_counts.of(names.source_name(account)),
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
            rates=self._rates,
            lease_seconds=daemon.visibility_seconds,
            counts=self.attempt_counts,
        )
        self._renewals = Renewals(settings, names, self.accounts, to_store, to_dispatcher)
        parts = (
            settings,
            frontier,
            names,
            self.accounts,
            sinks,
            writer,
            self.pauses,
            agenda,
            self._renewals,
            self._queues,
        )
        live = LiveChanges(*parts, kinds, prefetch, to_store, to_dispatcher, changed)
        self.reloads = Reloads(settings, live, reading, failure, around_reload)
        self.insight = Insight(
            settings,
            names,
            to_dispatcher,
            self.dispatcher,
            self.store,
            sinks,
            agenda,
            self.lowering,
            self.reloads,
            self._shared,
            self._rates,
            self._queues,
        )

    @property
    def changed(self) -> SafeEvent:
        """The event that the constructor was given, or else a new one."""
        return self._changed

    @property
    def failure(self) -> BaseException | None:
        """The error that has stopped the engine, if any."""
        return self._failure.error

    def keep(self, promise: Promise) -> None:
        """Stores the answer to a request whose work did not use the frontier, so that the same request gets the same
        answer when it is sent again. From any thread."""
        self._to_store.call(lambda: self._frontier.keep(promise, None)).result()

    def start(self) -> None:
        gc.freeze()  # objects made at the start live as long as the process: never collect them
        free_large_buffers()
        gc.set_threshold(GARBAGE_OBJECTS)  # each collection traverses all tasks in flight, which are not garbage
        if self._shared:
            self._shared.start()
        self.dispatcher.start()
        self.store.start()
        self.bulk.start()
        self._queues.start()
        self._renewals.look()

    def stop(self, drain_seconds: float) -> bool:
        """Stops leasing, waits for running tasks and commits their outcomes. Does nothing at a second call.

        drain_seconds: how long to wait for running tasks.
        Returns False when some were still running then: these tasks are done again after the next start.
        """
        if self.stopped:
            return False
        self.stopped = True
        self.bulk.stop()
        self._queues.stop()
        self.reloads.stop()
        self._renewals.stop()
        drained = False
        with ExitStack() as at_last:  # whatever fails here, all threads end and the lock is released
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
