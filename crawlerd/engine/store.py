"""The store thread: the only writer of the frontier. Sinks first, then one transaction a group, then fresh heads."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from crawlerd.core.errors import CrawlerdError, FrontierError, StorageFailed, SyncFailed
from crawlerd.core.outcome import DONE, Complete
from crawlerd.engine.prefetch import HeadsReceiver, Prefetch, Sleep
from crawlerd.engine.sink_writer import SinkWriter, Target
from crawlerd.ratelimit.quota import Ask, DurableWindows, Grant, grant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from crawlerd.core.task import Task
    from crawlerd.engine.clock import Clock
    from crawlerd.frontier.contract import Committed, Settled
    from crawlerd.frontier.sqlite.frontier import Frontier
    from crawlerd.ratelimit.adaptive import Learned
    from crawlerd.sink import Sink

log = logging.getLogger(__name__)

GROUP_TASKS = 2000
GROUP_SECONDS = 0.010
BACKLOG_TASKS, BACKLOG_BYTES = 8_000, 64 << 20  # outcomes waiting to be committed, beyond which leasing stops
TROUBLE_SECONDS = 1.0  # between tries while a disk is full or a sink refuses
BEAT_SECONDS = 1.0
STOP = (0, 0)  # in the inbox: end the thread

T = TypeVar("T")


class Outcomes(NamedTuple):
    """size: bytes of the records in them."""

    group: list[Settled]
    size: int


class Dispatcher(HeadsReceiver, Protocol):
    """The dispatcher, as the store sees it. All methods may be called from another thread."""

    def committed(self) -> None: ...
    def granted(self, grants: Sequence[Grant]) -> None: ...
    def withdraw(self, runs: Collection[int], then: Callable[[list[Task]], None]) -> None: ...


class Store:
    """Runs on a thread of its own between `start` and `stop`. Methods may be called from any thread.

    on_ended: called with the ids of runs that ended. on_borrowed: called with (run, account) before the first tasks of
    a run for an account that is not its own are given out. on_fatal: called once with the error that stopped the
    store. beat: called about once a second while it works. parts: see `SinkWriter`. on_replaced: called with a sink
    whose file is gone, and again at each try, until `swap_sink` brings another one.
    """

    def __init__(
        self,
        frontier: Frontier,
        clock: Clock,
        *,
        on_ended: Callable[[Sequence[int]], None],
        on_borrowed: Callable[[Sequence[tuple[int, int]]], None],
        on_fatal: Callable[[BaseException], None],
        beat: Callable[[], None],
        parts: Mapping[int, str] | None = None,
        on_replaced: Callable[[Sink], None] = lambda _: None,
    ) -> None:
        self._frontier, self._clock = frontier, clock
        self._on_ended, self._on_borrowed, self._on_fatal, self._beat = on_ended, on_borrowed, on_fatal, beat
        self._inbox: SimpleQueue[Outcomes | Ask | Sleep | tuple[int, int] | None] = SimpleQueue()
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._failed = False
        self._writer, self._on_replaced = SinkWriter(parts, frontier.expected), on_replaced
        self._fenced: set[int] = set()  # runs that were abandoned while tasks of theirs were leased
        self._prefetch = Prefetch(frontier, clock, self._writer.serving)
        self._blocked: dict[int, float] = {}
        self._windows = DurableWindows(frontier.quota_rows)
        self._asks: list[Ask] = []
        self._learned: dict[str, Learned] = {}
        self._received = self._settled = 0
        self._received_bytes = self._settled_bytes = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store")
        self._committed_at = 0.0
        self._trouble: str | None = None
        self.dispatcher: Dispatcher
        self.progress_at = time.monotonic()
        self.commits = 0

    def start(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = self._prefetch.dispatcher = dispatcher
        self._thread.start()

    def stop(self) -> None:
        """Commits what was received, then ends the thread. In trouble, what cannot be committed is left undone."""
        self._stopping.set()
        self._inbox.put(STOP)
        self._thread.join()

    # called by others

    def settle(self, group: list[Settled]) -> None:
        """Outcomes of leased tasks, to be committed."""
        size = _size(group)
        self._received += len(group)
        self._received_bytes += size
        self._inbox.put(Outcomes(group, size))

    def ask(self, bucket: int, count: int) -> None:
        """Wants `count` more heads of a bucket; they are sent to the dispatcher."""
        self._inbox.put((bucket, count))

    def wake(self, count: int) -> None:
        """Wants up to `count` sleeping buckets; they are sent to the dispatcher, which is told when that is done."""
        self._inbox.put((0, count))

    def sleep(self, bucket: int, heads: Sequence[Task], until: float | None) -> None:
        """A bucket of which nothing is leased, and nothing will be before `until` (Unix seconds), need not be in
        memory. heads: all tasks of it that the dispatcher has. The answer is `asleep`."""
        self._inbox.put(Sleep(bucket, [task.seq for task in heads], until))

    def ask_quota(self, ask: Ask) -> None:
        """Wants starts of a quota; they are charged with the next commit, and then sent to the dispatcher."""
        self._inbox.put(ask)

    def remember(self, key: str, learned: Learned) -> None:
        """Notes, with the next commit, what a limiter has found out."""
        self._learned[key] = learned

    def block(self, bucket: int, until: float) -> None:
        """Notes, with the next commit, that a bucket may not be leased from before `until` (Unix seconds)."""
        self._blocked[bucket] = until

    @property
    def sleeping(self) -> bool:
        """There may be buckets that are not awake and could be leased from."""
        return self._prefetch.sleeping

    @property
    def records(self) -> int:
        """Written to sinks, repeats included."""
        return self._writer.records

    @property
    def trouble(self) -> str | None:
        """What holds up all runs, or else some: a full disk, a sink that refuses."""
        return self._trouble or next(iter(self.stuck.values()), None)

    @property
    def stuck(self) -> dict[int, str]:
        """Runs that are held up, with the reason."""
        return dict.fromkeys(self._writer.targets, self._trouble) if self._trouble else self._writer.stuck()

    @property
    def behind(self) -> bool:
        """Too much is waiting to be committed: lease nothing until `committed`."""
        return (
            self._received - self._settled > BACKLOG_TASKS or self._received_bytes - self._settled_bytes > BACKLOG_BYTES
        )

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Runs `function` on the store's thread, where the frontier may be used."""
        future: Future[T] = Future()
        self._calls.append((future, function))
        self._inbox.put(None)
        if self._failed:
            self._answer_calls()
        return future

    # called on the store's thread, by `call`

    def serve_run(self, run: int, target: Target) -> None:
        """From now on the run's tasks are given out and its records go to the target."""
        self._writer.serve(run, target, self._frontier.run(run).started_at)

    def abandon(self, runs: Collection[int]) -> None:
        """Runs that the frontier has ended: outcomes of theirs write nothing from now on."""
        served = [run for run in runs if run in self._writer.targets]
        if served:
            self._fenced.update(served)
            self._writer.abandon(served)
            self.dispatcher.withdraw(served, self._withdrawn)
            self._on_ended(served)

    def swap_sink(self, old: Sink, new: Sink) -> None:
        """See `SinkWriter.swap`."""
        self._writer.swap(old, new)

    def arrived(self, committed: Committed) -> None:
        """Tells the dispatcher of tasks that have become ready, and others of runs that ended."""
        if committed.borrowed:
            self._on_borrowed(committed.borrowed)
        self._prefetch.arrived(committed)
        if committed.ended:
            for run in committed.ended:
                self._writer.end(run)
            self._on_ended(committed.ended)

    def offer(self, account: int | None = None) -> None:
        """Tells the dispatcher of the account's (or all) buckets that have ready tasks, when more runs are served."""
        self._prefetch.offer(account)

    # the thread

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001 - top of a thread
            self._failed = True
            self._answer_calls()
            self._on_fatal(error)

    def _step(self) -> bool:
        group, size, going_on = self._collect()
        due = self._frontier.next_due()
        overdue = (due is not None and due <= self._clock.now()) or self._writer.due(time.monotonic())
        if group or self._blocked or self._asks or self._learned or overdue or self._frontier.chores:
            self._commit(group, size)
        self._blocked |= self._prefetch.let_sleep()
        self._prefetch.open()
        self.progress_at = time.monotonic()
        self._beat()
        return going_on

    def _collect(self) -> tuple[list[Settled], int, bool]:
        """Outcomes up to the size of a group, or until its time is over, with the bytes of their records; False behind
        the last. Questions are answered meanwhile."""
        group: list[Settled] = []
        size = 0
        due = self._frontier.next_due()
        wait = BEAT_SECONDS if due is None else min(BEAT_SECONDS, max(0.0, due - self._clock.now()))
        wait = min(wait, max(0.0, self._prefetch.opens_at - time.monotonic()))
        if self._frontier.chores:
            wait = min(wait, GROUP_SECONDS)
        while len(group) < GROUP_TASKS:
            try:
                item = self._inbox.get(timeout=wait)
            except Empty:
                break
            match item:
                case None:
                    self._answer_call()
                case Outcomes():
                    group += item.group
                    size += item.size
                case Ask():
                    self._asks.append(item)
                case Sleep():
                    self._prefetch.drowsy.append(item)
                case (0, count) if count:
                    self._prefetch.wake(count)
                case (bucket, count) if count:
                    self._prefetch.refill(bucket, count)
                case _:
                    return group, size, False
            if group or self._asks:
                wait = self._committed_at + GROUP_SECONDS - time.monotonic()
                if wait <= 0 and self._inbox.empty():
                    break
                wait = max(wait, 0.0)
        return group, size, True

    def _answer_calls(self) -> None:
        while self._calls:
            self._answer_call()

    def _answer_call(self) -> None:
        if not self._calls:
            return
        future, function = self._calls.popleft()
        try:
            if self._failed:
                raise FrontierError("the store has stopped")
            future.set_result(function())
        except SyncFailed as error:
            future.set_exception(error)
            raise
        except CrawlerdError as error:
            future.set_exception(error)
        except BaseException:
            future.set_exception(FrontierError("the store has stopped"))  # or its caller would wait for ever
            raise

    def _commit(self, group: list[Settled], size: int) -> None:
        received = len(group)
        blocked, self._blocked = self._blocked, {}
        asks, self._asks = self._asks, []
        learned, self._learned = self._learned, {}
        grants: list[Grant] = []

        def charge() -> None:
            grants[:] = [each for ask in asks if (each := grant(self._windows, ask, self._clock.now()))]

        group, late = self._fence(group) if self._fenced else (group, [])
        mark = self._frontier.mark
        group, totals, written = self._writer.deliver(group, self._clock.now(), time.monotonic(), mark)
        while True:
            try:
                committed = self._frontier.commit(
                    group,
                    now=self._clock.now(),
                    blocked=blocked,
                    learned=learned,
                    charge=charge,
                    totals=totals,
                    written=written,
                )
                break
            except StorageFailed as error:
                if not error.full:
                    raise
                if self._trouble != str(error):
                    log.error("%s; nothing is lost, trying again every second", error)
                self._trouble = str(error)
                self.progress_at = time.monotonic()
                self._beat()  # requests go out until the backlog is full
                self._answer_calls()  # they are told of the trouble, or need no disk
                if self._stopping.wait(TROUBLE_SECONDS):
                    return
        if self._trouble:
            log.warning("recovered: %s", self._trouble)
            self._trouble = None
        self._committed_at = time.monotonic()
        self.commits += 1
        self._settled += received  # what waits for a sink is bounded otherwise: nothing more of its runs is leased
        self._settled_bytes += size
        touched = self._prefetch.settled([*group, *late] if late else group)
        if grants:
            self.dispatcher.granted(grants)
        self.arrived(committed)
        self._follow_sinks()
        self._prefetch.clear(touched)
        self.dispatcher.committed()

    def _fence(self, group: list[Settled]) -> tuple[list[Settled], list[Settled]]:
        """Outcomes that count, and those of runs that were abandoned. A task of the latter that was throttled is back
        with the dispatcher, which gives it up."""
        late = [settled for settled in group if settled.task.run in self._fenced]
        if late:
            self.dispatcher.withdraw({settled.task.run for settled in late}, self._withdrawn)
            group = [settled for settled in group if settled.task.run not in self._fenced]
        return group, late

    def _follow_sinks(self) -> None:
        """Leases follow: none for runs whose sink has begun to refuse, and again when it takes records."""
        writer = self._writer
        if writer.fell_out:
            self.dispatcher.withdraw(writer.fell_out, self._withdrawn)
            writer.fell_out = set()
        for sink in writer.replaced:
            self._on_replaced(sink)
        writer.replaced = []
        if writer.came_back:
            writer.came_back = set()
            self.offer()

    def _withdrawn(self, tasks: list[Task]) -> None:
        self.call(lambda: self._take_back(tasks))

    def _take_back(self, tasks: list[Task]) -> None:
        """Tasks that the dispatcher has been given and has not leased."""
        self._prefetch.take_back(tasks)
        if any(task.run in self._writer.serving for task in tasks):  # served again meanwhile
            self.offer()


def _size(group: list[Settled]) -> int:
    """Bytes of the group's records."""
    size = 0
    for settled in group:
        outcome = settled.outcome
        if outcome is not DONE and type(outcome) is Complete and outcome.batches:
            size += sum(len(batch.rows) for batch in outcome.batches)
    return size
