"""The dispatcher thread: decides which task may start now, hands leases to workers, and judges what comes back."""

from __future__ import annotations

import logging
import math
import os
import selectors
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, get_args

import msgspec

from crawlerd.core.outcome import DONE, Complete, Crash, Outcome
from crawlerd.core.task import LeaseBatch, Task
from crawlerd.engine.feedback import Feedback
from crawlerd.engine.pool import Pool, WorkerProcess
from crawlerd.engine.queues import Guard, Pick
from crawlerd.frontier.contract import Settled
from crawlerd.ratelimit.window import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from crawlerd.core.outcome import Result
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.queues import BucketQueue
    from crawlerd.engine.store import Store
    from crawlerd.engine.workbench import Workbench
    from crawlerd.frontier.contract import Bucket
    from crawlerd.ratelimit.quota import Grant

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25  # between looks at workers and leases when nothing happens
TIDY_SECONDS, TIDY_SOON = 10.0, 2.0  # soon: while buckets sleep that could be leased from
WAKE_BUCKETS = 256  # at once
TURN_LEASES = 32  # leases that an account without limits gets before it is another's turn

NAMES = {outcome: outcome.__name__.lower() for outcome in get_args(Outcome)}


class Leased(msgspec.Struct, frozen=True):
    """What was given to a worker at once. token: the first task's, each next one's is one more. deadline: monotonic."""

    token: int
    pick: Pick
    stamp: Stamp
    worker: WorkerProcess
    deadline: float

    def task(self, token: int) -> Task:
        return self.pick.tasks[token - self.token]


class Dispatcher:
    """Runs on a thread of its own; it touches neither disk nor network. Public methods may be called from any thread.

    on_guard(account, identity): a guard passed; whether that identity is the right one is for the caller to say, by
    `open` or `pause`. on_pause(account, reason): the account's credentials do not work.
    """

    def __init__(
        self,
        bench: Workbench,
        store: Store,
        pool: Pool,
        clock: Clock,
        *,
        lease_seconds: float,
        on_guard: Callable[[int, str | None], None],
        on_pause: Callable[[int, str], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._bench, self._store, self._pool, self._clock = bench, store, pool, clock
        self._lease_seconds = lease_seconds
        self._on_fatal = on_fatal
        self._feedback = Feedback(bench, store, clock, on_guard=on_guard, on_pause=on_pause)
        self._inbox: deque[Callable[[float], None]] = deque()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        pool.selector.register(self._wakeup, selectors.EVENT_READ)
        self._leases: dict[int, Leased] = {}
        self._suspects: deque[Pick] = deque()
        self._next_token = 1
        self._next_watch = 0.0
        self._next_tidy = 0.0
        self._settled: list[Settled] = []
        self._waking = False
        self._draining = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="dispatcher")
        self.drained = threading.Event()
        self.progress_at = time.monotonic()
        self.outcomes: Counter[str] = Counter()
        self.free: Counter[int] = Counter()  # tasks without a request that were completed, by run
        self.first_lease_at = 0.0

    def start(self) -> None:
        self._pool.expect(time.monotonic())  # an old frontier may have taken minutes to open
        self._thread.start()

    def stop(self) -> None:
        """Kills the workers and ends the thread; leases that are still out are void."""
        self._post(lambda _: setattr(self, "_stopping", True))
        self._thread.join()

    def close(self) -> None:
        """Call last, when nobody can post to it any more."""
        os.close(self._wakeup)

    # called by others

    def heads(self, bucket: Bucket, tasks: Sequence[Task], *, more: bool) -> None:
        """Ready tasks of a bucket, from the store."""
        blocked_until = self._clock.monotonic(bucket.blocked_until)
        self._post(
            lambda now: self._bench.add_heads(
                bucket.id, bucket.account, bucket.name, tasks, more=more, blocked_until=blocked_until, now=now
            )
        )

    def granted(self, grants: Sequence[Grant]) -> None:
        """Starts of quotas, from the store."""

        def take(now: float) -> None:
            for grant in grants:
                self._bench.grant(grant, self._clock.monotonic(grant.until), now)

        self._post(take)

    def withdraw(self, runs: Collection[int], then: Callable[[list[Task]], None]) -> None:
        """Takes back the runs' tasks that no worker has; `then` gets them, on the dispatcher's thread."""
        self._post(lambda now: then(self._bench.withdraw(runs, now)))

    def asleep(self, bucket: Bucket, *, agreed: bool) -> None:
        """The store's answer to `Store.sleep`."""
        self._post(lambda now: self._bench.asleep(bucket.id, bucket.account, agreed=agreed, now=now))

    def woken(self) -> None:
        """The store's answer to `Store.wake`; or some may be woken again."""
        self._post(lambda _: setattr(self, "_waking", False))

    def committed(self) -> None:
        """The store has room again."""
        if not self._inbox:
            self._post(lambda _: None)

    def guard(self, account: int, kind: str, payload: str) -> None:
        """Lets nothing of the account start before this check of its credentials has passed."""
        task = Task(seq=0, bucket=0, priority=0, run=0, kind=kind, attempt=0, payload=payload)

        def set_guard(now: float) -> None:
            if queue := self._bench.account(account):
                queue.guard, queue.paused = Guard(task), None
                self._bench.place(queue, now)

        self._post(set_guard)

    def open(self, account: int) -> None:
        """The account's guard has passed, or it has none."""
        self._post(lambda now: self._change(account, None, now))

    def pause(self, account: int, reason: str) -> None:
        self._post(lambda now: self._change(account, reason, now))

    def drain(self) -> None:
        """Leases nothing more; `drained` is set when no lease is out."""
        self._post(lambda _: setattr(self, "_draining", True))

    @property
    def leased(self) -> int:
        return len(self._leases)

    @property
    def worker_pids(self) -> list[int]:
        return [worker.process.pid for worker in list(self._pool.workers)]

    @property
    def worker_restarts(self) -> int:
        return self._pool.losses

    def _post(self, action: Callable[[float], None]) -> None:
        self._inbox.append(action)
        os.eventfd_write(self._wakeup, 1)

    def _change(self, account: int, paused: str | None, now: float) -> None:
        if queue := self._bench.known(account) if paused is None else self._bench.account(account):
            queue.guard, queue.paused = None, paused
            self._bench.place(queue, now)

    # the thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._step()
        except BaseException as error:  # noqa: BLE001 - top of a thread
            self._on_fatal(error)
        finally:
            self._pool.close()
            self._bench.tidy(time.monotonic())
            self._bench.give_back_quotas()

    def _step(self) -> None:
        now = time.monotonic()
        self.progress_at = now
        while self._inbox:
            self._inbox.popleft()(now)
        if now >= self._next_watch:
            self._next_watch = now + TICK_SECONDS
            self._watch(now)
        self._dispatch(now)
        if self._settled:
            self._store.settle(self._settled)
            self._settled = []
        if self._draining and not self._leases:
            self.drained.set()
        wake_at = min(self._bench.next_at(), now + TICK_SECONDS)
        if self._suspects:
            wake_at = min(wake_at, self._suspects[0].free_at(now))
        for key, events in self._pool.selector.select(max(0.0, wake_at - time.monotonic())):
            if key.data is None:
                os.eventfd_read(self._wakeup)
            else:
                self._exchange(key.data, events)

    def _exchange(self, worker: WorkerProcess, events: int) -> None:
        now = time.monotonic()
        if events & selectors.EVENT_READ:
            results = worker.read(now)
            if results is None:
                self._lose(worker, "died", now)
                return
            self._receive(worker, results, now)
        if events & selectors.EVENT_WRITE:
            worker.write()
            self._pool.listen(worker)

    # leasing

    def _dispatch(self, now: float) -> None:
        if self._draining or self._store.behind:
            return
        given: dict[WorkerProcess, list[LeaseBatch]] = {}
        reserved = self._run_suspect(given, now)
        rooms = {worker: room for worker in self._pool.workers if worker is not reserved and (room := worker.room) > 0}
        while rooms:
            worker = max(rooms, key=rooms.__getitem__)
            pick = self._bench.choose(now, min(rooms[worker], TURN_LEASES))
            if pick is None:
                break
            suspects = [task for task in pick.tasks if task.crashes]
            if suspects:
                self._suspects += [msgspec.structs.replace(pick, tasks=[task]) for task in suspects]
                pick = msgspec.structs.replace(pick, tasks=[task for task in pick.tasks if not task.crashes])
            if pick.tasks:
                self._lease(worker, pick, given, now)
            rooms[worker] -= len(pick.tasks)
            if rooms[worker] <= 0:
                del rooms[worker]
        if self._store.sleeping and not self._waking and self._bench.awaited < sum(rooms.values()):
            self._waking = True
            self._store.wake(WAKE_BUCKETS)
        for worker, leases in given.items():
            worker.give(leases)
            if worker.wants_to_write:
                self._pool.listen(worker)

    def _run_suspect(self, given: dict[WorkerProcess, list[LeaseBatch]], now: float) -> WorkerProcess | None:
        """A task that was running when a worker died is performed alone, so that the guilty one convicts itself.
        Returns the worker that is kept free for it."""
        if not self._suspects or any(worker.alone for worker in self._pool.workers):
            return None
        suspect = self._suspects[0]
        if suspect.account.paused is not None or now + TICK_SECONDS < suspect.free_at(now) < math.inf:
            self._suspects.rotate(-1)  # it must wait, and no worker with it
            return None
        worker = min((worker for worker in self._pool.workers if worker.room), key=lambda w: w.leases, default=None)
        if worker is not None and not worker.leases and self._suspects[0].free_at(now) <= now:
            self._lease(worker, self._suspects.popleft(), given, now)
            worker.alone = True
        return worker

    def _lease(
        self, worker: WorkerProcess, pick: Pick, given: dict[WorkerProcess, list[LeaseBatch]], now: float
    ) -> None:
        token = self._next_token
        self._next_token += len(pick.tasks)
        leased = Leased(token, pick, self._bench.charge(pick, now), worker, now + self._lease_seconds)
        self._leases.update(dict.fromkeys(range(token, self._next_token), leased))
        given.setdefault(worker, []).append(LeaseBatch(token, pick.account.name, pick.tasks))
        if not self.first_lease_at:
            self.first_lease_at = now

    def _sleep(self, bucket: BucketQueue, until: float | None) -> None:
        unix = None if until is None else until - time.monotonic() + self._clock.now()
        self._store.sleep(bucket.id, bucket.heads, unix)

    # results

    def _receive(self, worker: WorkerProcess, results: list[Result], now: float) -> None:
        completed = 0
        for result in results:
            leased = self._leases.pop(result.token, None)
            if leased is None:  # fenced off: the task has been given to another worker, or is settled
                self.outcomes["late"] += 1
                continue
            worker.leases -= 1
            pick, task, outcome = leased.pick, leased.task(result.token), result.outcome or DONE
            if not pick.limited and pick.bucket is not None and type(outcome) is Complete:
                completed += 1  # the short way for the many: there is no limit to tell of it
                pick.bucket.out -= 1
                if not pick.cost:
                    self.free[task.run] += 1
                self._settle(task, pick.account.id, outcome)
            else:
                if result.sent_at:
                    arrived = pick.account.arrival(pick.bucket, result.sent_at, result.done_at)
                    leased.stamp.at = max(leased.stamp.at, arrived)
                self._conclude(pick, task, leased.stamp, outcome, now, sent_at=result.sent_at)
        self.outcomes["complete"] += completed
        worker.alone = worker.alone and worker.leases > 0

    def _settle(self, task: Task, account: int, outcome: Outcome) -> None:
        self._settled.append(Settled(task, account, outcome))

    def _conclude(
        self, pick: Pick, task: Task, stamp: Stamp, outcome: Outcome, now: float, *, sent_at: float = 0.0
    ) -> None:
        self.outcomes[NAMES[type(outcome)]] += 1
        self._feedback.conclude(pick, task, stamp, outcome, now, sent_at)
        if pick.bucket is not None:
            self._settle(task, pick.account.id, outcome)

    # workers

    def _watch(self, now: float) -> None:
        for worker, how in self._pool.failing(now):
            self._lose(worker, how, now)
        while self._leases:
            token, oldest = next(iter(self._leases.items()))  # all leases last equally long
            if oldest.deadline > now:
                break
            self._lose(oldest.worker, f"held a task for more than {self._lease_seconds:g} s", now, guilty=token)
        if now >= self._next_tidy:
            sleeping = self._store.sleeping
            self._next_tidy = now + (TIDY_SOON if sleeping else TIDY_SECONDS)
            self._bench.tidy(now, self._sleep if sleeping else None)
            for worker, how in self._pool.grown():
                self._lose(worker, how, now)
        if not self._draining:
            self._pool.fill(now)

    def _lose(self, worker: WorkerProcess, how: str, now: float, *, guilty: int | None = None) -> None:
        """Kills a worker and takes its leases back: their tasks are given out again, or buried after three deaths."""
        self._pool.lose(worker, how)
        for token in [token for token, leased in self._leases.items() if leased.worker is worker]:
            leased = self._leases.pop(token)
            pick, task = leased.pick, leased.task(token)
            leased.stamp.at = now  # its request may have been sent at any time until now
            if guilty is None or token == guilty:
                self._conclude(pick, task, leased.stamp, Crash(f"worker {how}"), now)
            else:
                self._feedback.void(pick, task, leased.stamp, now)
