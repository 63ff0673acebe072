"""The dispatcher thread: gives the tasks that the workbench picks to workers, watches the workers, and handles their
results."""

from __future__ import annotations

import logging
import math
import selectors
import threading
import time
from typing import TYPE_CHECKING, get_args

from crawlerd.core.metric_labels import AttemptOutcome, WorkerLoss
from crawlerd.core.outcome import DONE, Bury, Complete, Crash, Defer, Outcome, Pause, Retry
from crawlerd.core.task import LeaseBatch
from crawlerd.engine.account_waits import of_bucket
from crawlerd.engine.attempt_counts import AttemptCounts
from crawlerd.engine.feedback import Feedback
from crawlerd.engine.leases import Leases
from crawlerd.engine.permitting import Permitting
from crawlerd.engine.portioned import Portioned
from crawlerd.engine.suspects import Suspects
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.waiting_contract import Block

if TYPE_CHECKING:
    from collections import Counter

    from crawlerd.core.outcome import Made, Result
    from crawlerd.core.task import Task
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.dispatcher_inbox import DispatcherInbox
    from crawlerd.engine.failure import Failure
    from crawlerd.engine.leases import Lease
    from crawlerd.engine.outages import Outages
    from crawlerd.engine.protocols import Credentials
    from crawlerd.engine.queues import BucketQueue, Pick
    from crawlerd.engine.rates import Rates
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.engine.workbench import Workbench
    from crawlerd.engine.worker_pool import Pool
    from crawlerd.engine.worker_process import WorkerProcess
    from crawlerd.ratelimit.window import Stamp

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25  # between two checks of workers and leases when nothing happens
TIDY_SECONDS, TIDY_SOON = 10.0, 2.0  # between two calls of `Workbench.tidy`; soon: while buckets wait to be woken
WAKE_BUCKETS = 256  # most buckets to ask for at once
TURN_LEASES = 32  # leases that an account without limits gets in one turn

NAMES = {outcome: AttemptOutcome(outcome.__name__.lower()) for outcome in get_args(Outcome)}


class Dispatcher:
    """Leases tasks to workers and handles their results. Runs on a thread of its own, and uses neither the disk nor the
    network. Other threads talk to it through its inbox.

    progress_at: when its thread was last seen running; monotonic seconds.
    first_lease_at: when the first task was leased; monotonic seconds, 0 before that.
    drained: set when `drain` was called and no task is leased any more.
    """

    def __init__(
        self,
        bench: Workbench,
        outages: Outages,
        inbox: DispatcherInbox,
        store: StoreInbox,
        pool: Pool,
        clock: Clock,
        credentials: Credentials,
        failure: Failure,
        *,
        free: Counter[int],
        rates: Rates,
        lease_seconds: float,
        counts: AttemptCounts | None = None,
    ) -> None:
        """free: gets the count of completed tasks that made no request, by run."""
        self._counts = counts or AttemptCounts()
        self._rates = rates
        self._bench, self._inbox, self._store, self._pool, self._clock = bench, inbox, store, pool, clock
        self._failure, self._outages = failure, outages
        self._feedback = Feedback(bench, outages, store, clock, credentials, self._settle)
        pool.selector.register(inbox.fd, selectors.EVENT_READ)
        self._leases: Leases[WorkerProcess] = Leases(lease_seconds)
        self._portioned = Portioned(self._leases, store)
        inbox.pool = pool
        inbox.on_stored, inbox.on_count = self._stored, self._leases.of_run
        self._suspects, self._permitting = Suspects(), Permitting()
        self._next_watch = 0.0
        self._next_tidy = 0.0
        self._settled: list[Settled] = []
        self._thread = threading.Thread(target=self._run, name="dispatcher")
        self.drained = threading.Event()
        self.progress_at = time.monotonic()
        self._free = free
        self.first_lease_at = 0.0

    def start(self) -> None:
        self._pool.expect(time.monotonic())  # it may have taken minutes to migrate the frontier: count from now
        self._thread.start()

    def drain(self) -> None:
        """Leases no more tasks; `drained` is set when no task is leased any more."""
        self._inbox.drain()

    def stop(self) -> None:
        """Kills the workers and ends the thread. Outcomes of tasks that are still leased are lost."""
        self._inbox.stop()
        if self._thread.ident is None:  # the thread was never started
            self._pool.close()
        else:
            self._thread.join()

    @property
    def leased(self) -> int:
        return len(self._leases)

    @property
    def draining(self) -> bool:
        """Whether no more tasks are leased because the engine is stopping."""
        return self._inbox.draining

    @property
    def worker_pids(self) -> dict[int, int]:
        """The process ids of the workers, by worker number. A new worker gets the lowest number that is free."""
        return {worker.number: worker.process.pid for worker in list(self._pool.workers)}

    @property
    def worker_losses(self) -> dict[WorkerLoss, int]:
        return dict(self._pool.losses)

    def without_workers(self) -> tuple[str, float] | None:
        """Why no worker is running, and for how many seconds. None while one is running, or is starting normally."""
        return self._pool.restarts.down(time.monotonic())

    # the thread

    def _run(self) -> None:
        try:
            while not self._inbox.stopping:
                self._step()
        except BaseException as error:  # noqa: BLE001 - top of a thread
            self._failure.set(error)
        finally:
            self._pool.close()
            self._bench.tidy(time.monotonic())
            self._bench.give_back_quotas()

    def _step(self) -> None:
        now = time.monotonic()
        self.progress_at = now
        self._inbox.act(self._bench, now)
        if now >= self._next_watch:
            self._next_watch = now + TICK_SECONDS
            self._watch(now)
        next_at = self._dispatch(now)
        if self._inbox.draining and not self._leases:
            self._feedback.refused.let_go(now)
        if self._settled:
            self._store.commit(self._settled)
            self._settled = []
        if self._inbox.draining and not self._leases:
            self.drained.set()
        wake_at = min(next_at, now + TICK_SECONDS)
        for key, events in self._pool.selector.select(max(0.0, wake_at - time.monotonic())):
            if key.data is None:
                self._inbox.clear()
            else:
                self._exchange(key.data, events)

    def _exchange(self, worker: WorkerProcess, events: int) -> None:
        now = time.monotonic()
        if events & selectors.EVENT_READ:
            results = self._pool.read(worker, now)
            if results is None:
                self._lose(worker, "died", now, WorkerLoss.DIED)
                return
            self._receive(worker, results, now)
            self._portioned.take(worker, now)
        if events & selectors.EVENT_WRITE:
            worker.write()
            self._pool.listen(worker)

    # leasing

    def _dispatch(self, now: float) -> float:
        """Leases the tasks that may start now. Returns the monotonic time at which the next may start. Events that wake
        this thread anyway, such as a worker's result or a message in the inbox, do not count."""
        if self._inbox.draining or self._store.behind:
            return math.inf
        given: dict[WorkerProcess, list[LeaseBatch]] = {}
        for gone in self._suspects.take_back(self._bench.withdrawn):
            self._bench.undo(gone, now)
        reserved, suspect = self._suspects.next(self._pool.workers, now)
        if reserved is not None and suspect is not None:
            self._lease(reserved, suspect, given, now)
            reserved.alone = True
        rooms = {worker: room for worker in self._pool.workers if worker is not reserved and (room := worker.room) > 0}
        threads = sum(worker.threads for worker in self._pool.workers)
        self._bench.relieve(now, threads)
        while rooms:
            worker = max(rooms, key=rooms.__getitem__)
            pick = self._bench.choose(now, min(rooms[worker], TURN_LEASES), threads)
            if pick is None:
                break
            pick = self._suspects.set_aside(pick)
            if pick.tasks:
                self._lease(worker, pick, given, now)
            rooms[worker] -= len(pick.tasks)
            if rooms[worker] <= 0:
                del rooms[worker]
        if self._inbox.sleeping and not self._inbox.waking and self._bench.awaited < sum(rooms.values()):
            self._inbox.waking = True
            self._store.wake(WAKE_BUCKETS)
        for worker, batches in given.items():
            worker.give(batches)
            if worker.wants_to_write:
                self._pool.listen(worker)
        return min(self._bench.next_at() if rooms else math.inf, self._suspects.next_at(now))

    def _lease(
        self, worker: WorkerProcess, pick: Pick, given: dict[WorkerProcess, list[LeaseBatch]], now: float
    ) -> None:
        lease = self._leases.issue(pick, self._bench.charge(pick, now), worker, now)
        if pick.cost and pick.bucket is not None:
            self._rates.started[pick.tasks[0].run] += len(pick.tasks)  # a pick has tasks of one run
            self._rates.lately[pick.account.name] += len(pick.tasks)
        latest = now + worker.grace if pick.limited and pick.cost else 0.0
        given.setdefault(worker, []).append(LeaseBatch(lease.token, pick.account.name, pick.tasks, latest))
        if not self.first_lease_at:
            self.first_lease_at = now

    def _let_sleep(self, bucket: BucketQueue, until: float | None) -> None:
        if until is None:
            self._store.sleep(bucket.id, bucket.heads, None)
            return
        now = time.monotonic()
        reason, text = of_bucket(bucket, self._bench.cost(bucket), now)
        self._store.sleep(bucket.id, bucket.heads, Block(until - now + self._clock.now(), reason, text))

    # results

    def _receive(self, worker: WorkerProcess, results: list[Result], now: float) -> None:
        issued = begun = requested = 0.0  # sums of times over all attempts that have ended
        ended, completed = len(results), 0
        last: Lease[WorkerProcess] | None = None  # consecutive completed tasks of one lease are counted together
        settle, unanswered = self._leases.settle, self._portioned.unanswered
        for result in results:
            lease = settle(result.token)
            if lease is None:
                self._counts.late += 1
                ended -= 1
                continue
            worker.leases -= 1
            if unanswered:
                unanswered.pop(result.token, None)
            pick, task, outcome = lease.pick, lease.task(result.token), result.outcome or DONE
            if result.unsent:
                pick.account.counts.outcomes[AttemptOutcome.UNSENT] += 1
                worker.started(now, late=True)
                ended -= 1
                self._feedback.unknown(pick, task, lease.stamp, now)
                continue
            made = result.made
            begun += result.begun or now
            if outcome is not DONE or made is not None:
                seconds = pick.account.counts.heard(outcome, made)
                if seconds is not None:
                    pick.account.permit.sent()
                    requested += seconds
            if result.sent_at:
                worker.started(now, late=False)
            if result.sent_at or type(outcome) is Retry:
                outcome = self._feedback.heard(pick, task, result, outcome, lease.issued_at, now)
            if type(outcome) is Pause and pick.bucket is not None and lease.issued_at < pick.account.rekeyed_at:
                self._feedback.unknown(pick, task, lease.stamp, now)  # the refused key has been replaced meanwhile
                issued += lease.issued_at
                continue
            if not pick.limited and pick.bucket is not None and type(outcome) is Complete and not pick.bucket.doubts:
                # fast path: unlimited tasks need no limiter feedback
                if lease is last:
                    completed += 1
                else:
                    issued += self._completed(last, completed)
                    last, completed = lease, 1
                pick.bucket.out -= 1
                if pick.origin is not None:
                    pick.origin.out -= 1
                if not pick.cost:
                    self._free[task.run] += 1
                self._settled.append(Settled(task, pick.account.id, outcome, made))
            else:
                issued += lease.issued_at
                if result.sent_at:
                    arrived = pick.account.arrival(pick.bucket, result.sent_at, result.done_at)
                    lease.stamp.at = max(lease.stamp.at, arrived)
                self._conclude(pick, task, lease.stamp, outcome, now, sent_at=result.sent_at, made=made)
        issued += self._completed(last, completed)
        self._counts.spent(begun - issued, requested, ended * now - begun - requested)
        worker.alone = worker.alone and worker.leases > 0

    def _completed(self, lease: Lease[WorkerProcess] | None, count: int) -> float:
        """Counts `count` completed tasks of a lease. Returns the sum of the times at which they were issued."""
        if lease is None:
            return 0.0
        lease.pick.account.counts.outcomes[AttemptOutcome.COMPLETE] += count
        return count * lease.issued_at

    def _conclude(
        self,
        pick: Pick,
        task: Task,
        stamp: Stamp,
        outcome: Outcome,
        now: float,
        *,
        sent_at: float = 0.0,
        made: Made | None = None,
    ) -> None:
        pick.account.counts.outcomes[NAMES[type(outcome)]] += 1
        self._feedback.ended(pick, task, stamp, outcome, now, sent_at, made)
        if pick.bucket is not None and not isinstance(outcome, Defer):
            self._settled.append(Settled(task, pick.account.id, outcome, made))

    def _settle(self, settled: Settled) -> None:
        """Commits the final outcome of a task that a limit had refused."""
        if isinstance(settled.outcome, Bury) and (account := self._bench.known(settled.account)):
            account.counts.outcomes[AttemptOutcome.BURY] += 1
        self._settled.append(settled)

    def _stored(self, token: int, refused: str) -> None:
        """The store has written a portion of a lease's outcome, or refused it. refused: why, or empty."""
        worker = self._portioned.answered(token, refused)
        if worker is not None and worker.wants_to_write:
            self._pool.listen(worker)

    # workers

    def _watch(self, now: float) -> None:
        self._outages.listen(now)
        self._rates.look(now)
        self._permitting.look(self._bench, now)
        for worker, how, loss in self._pool.failing(now):
            self._lose(worker, how, now, loss)
        while expired := self._leases.expired(now):
            token, lease = expired
            if self._portioned.waits(token):
                self._leases.renew(token, now)
                continue
            self._counts.expired += 1
            how = f"held a task for more than {self._leases.seconds:g} s"
            self._lose(lease.worker, how, now, WorkerLoss.EXPIRED, guilty=token)
        for worker, how in self._pool.grown():  # checked often: one page may take gigabytes within two seconds
            self._lose(worker, how, now, WorkerLoss.GREW)
        if now >= self._next_tidy:
            sleeping = self._inbox.sleeping
            self._next_tidy = now + (TIDY_SOON if sleeping else TIDY_SECONDS)
            self._bench.tidy(now, self._let_sleep if sleeping else None)
        self._feedback.refused.look(now)
        if not self._inbox.draining:
            self._pool.fill(now)

    def _lose(
        self, worker: WorkerProcess, how: str, now: float, loss: WorkerLoss, *, guilty: int | None = None
    ) -> None:
        """Kills a worker and takes its leases back: their tasks are leased again, or buried when workers have died with
        them three times.

        how: what has happened to the worker, for the log.
        guilty: the token of the task that has caused it, if that is known.
        """
        self._pool.lose(worker, how, now, loss)
        for lease, task, crashed, token in self._leases.take_back(worker, guilty):
            self._portioned.lost(token, task)
            lease.stamp.at = now  # the request may have been sent at any time until now: count it as late as possible
            if crashed:
                crash = Crash(f"worker {how}")
                lease.pick.account.counts.failed(crash)
                self._conclude(lease.pick, task, lease.stamp, crash, now)
            else:
                self._feedback.unknown(lease.pick, task, lease.stamp, now)
