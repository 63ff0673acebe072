"""Chooses the task that starts next, among the accounts and buckets that are in memory, within their limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from crawlerd.core.pauses import Pauses
from crawlerd.core.reasons import ASKED, Reason
from crawlerd.engine.attempt_counts import SourceCounts
from crawlerd.engine.checks import Guard, Question
from crawlerd.engine.crowds import UNBOUNDED, Crowds
from crawlerd.engine.limiters import Limiters
from crawlerd.engine.queues import AccountQueue, BucketQueue, Pick
from crawlerd.engine.sleeping import let_sleep
from crawlerd.engine.turns import Turns
from crawlerd.engine.urgency import urgency
from crawlerd.ratelimit.outage import Origin
from crawlerd.ratelimit.shared import SharedWindow
from crawlerd.ratelimit.window import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from crawlerd.core.lowered import Lowered
    from crawlerd.core.task import Task
    from crawlerd.engine.protocols import AccountLimits, Healths, Sharing, Supplier
    from crawlerd.engine.run_queue import RunQueue
    from crawlerd.ratelimit.adaptive import Learned
    from crawlerd.ratelimit.quota import Grant


class Workbench:
    """Picks tasks for the dispatcher; used by its thread alone. Times are monotonic seconds. A pick takes
    O(log accounts), whatever the number of tasks.

    shared: the limits shared with other programs, which replace the quotas and windows of this process.
    costs: how many requests a task counts as, by kind; 1 for other kinds. The owner adds new kinds.
    wide: kinds that yield many tasks. The owner adds new kinds.
    quiet_since: see `Limiter`.
    learned: what earlier processes have learned about limits, by the keys of limiters.
    counts: the counts of an account's source, by the account's number.
    awaited: how many queues have asked the store for task heads that have not arrived yet.
    withdrawn: runs that get no leases until tasks of them are added again.
    """

    def __init__(
        self,
        accounts: AccountLimits,
        store: Supplier,
        outages: Healths,
        *,
        shared: Sharing | None = None,
        costs: Mapping[str, int] | None = None,
        wide: Collection[str] = (),
        quiet_since: float = -math.inf,
        learned: Mapping[str, Learned] | None = None,
        counts: Callable[[int], SourceCounts] = lambda account: SourceCounts(),
    ) -> None:
        self._counts = counts
        self._limits_of, self._store, self._shared = accounts, store, shared
        self._limiters = Limiters(store, learned, quiet_since)
        self._outages = outages
        self._costs = {} if costs is None else costs
        self._wide = wide
        self._unlimited = Stamp(0.0)  # shared by all starts without limits
        self._accounts: dict[int, AccountQueue] = {}
        self._turns = Turns()
        self._pauses = Pauses((), lambda account: None)
        self._crowds = Crowds(outages)
        self.withdrawn: dict[int, Callable[[list[Task]], None]] = {}
        self._served = self.awaited = 0

    # what there is

    def account(self, number: int) -> AccountQueue | None:
        """The account, made known to the workbench at the first call; None when it is not configured."""
        account = self._accounts.get(number)
        if account is None and (found := self._limits_of.limits(number)):
            name, spec = found
            limiter = self._limiters.of_account(number, name, spec)
            account = self._accounts[number] = AccountQueue(
                number, name, spec, limiter, self._outages.usual(number), self._counts(number)
            )
            account.hold(self._pauses)
            if self._shared is not None:
                account.shared = SharedWindow(number, self._shared.ask)
        return account

    def accounts(self) -> Iterator[AccountQueue]:
        return iter(self._accounts.values())

    def add_heads(
        self,
        number: int,
        account_number: int,
        name: str,
        run: int,
        tasks: Sequence[Task],
        *,
        more: bool,
        blocked_until: float,
        blocked_for: tuple[Reason, str] = (Reason.THROTTLED, ASKED),
        now: float,
    ) -> None:
        """Adds ready tasks of a run in a bucket, read from the frontier. more: the frontier has further ones."""
        self.withdrawn.pop(run, None)
        account = self.account(account_number)
        if account is None:
            return
        bucket = account.buckets.get(number)
        if bucket is None:
            limiter = self._limiters.of_bucket(account, number, name)
            limiter.block(blocked_until, *blocked_for)
            bucket = account.buckets[number] = BucketQueue(number, name, account, limiter, now)
            bucket.held = self._pauses.of_bucket(account.name, name)
        queue = bucket.queue(run)
        self.awaited -= queue.asked
        queue.more, queue.asked = more, False
        queue.add(tasks)
        bucket.place(queue)
        if more and not queue.heads:
            bucket.hungry.append(queue)
        self.place(account, now)

    def withdraw(self, runs: Collection[int], give_back: Callable[[list[Task]], None], now: float) -> None:
        """Drops the queues of these runs, until tasks of them are added again. give_back: called with the dropped
        tasks, and later with each leased task that would otherwise return to its queue."""
        self.withdrawn |= dict.fromkeys(runs, give_back)
        taken: list[Task] = []
        for account in self._accounts.values():
            for bucket in account.buckets.values():
                theirs = [run for run in runs if run in bucket.queues]
                for run in theirs:
                    queue = bucket.queues.pop(run)
                    self.awaited -= queue.asked
                    taken += queue.heads
                if theirs:
                    bucket.tidy()
                    self.place(account, now)
        give_back(taken)

    def hold(self, pauses: Pauses, now: float) -> None:
        """Starts no task that these pauses cover, and again those that no pause covers any more."""
        self._pauses = pauses
        for account in self._accounts.values():
            account.hold(pauses)
            self.place(account, now)

    def change(self, number: int, *, rekeyed: bool, now: float) -> None:
        """The account's configuration has changed. rekeyed: its key or its address is another one."""
        account, found = self._accounts.get(number), self._limits_of.limits(number)
        if account is None or found is None:
            return
        if found[1] != account.spec:
            self._limiters.change(account, found[1], now)
        if rekeyed:
            account.rekeyed_at, health = now, self._outages.usual(number)
            if account.origin != health.origin.name:
                account.origin, account.health = health.origin.name, health
        self.place(account, now)

    def lower(self, lowered: Lowered, now: float) -> None:
        """Applies the lower limits that people have set, in place of those that were applied before."""
        self._limiters.lower(lowered, self._accounts.values(), now)
        for account in self._accounts.values():
            self.place(account, now)

    def grant(self, grant: Grant, until: float, now: float) -> None:
        """The store's answer to `StoreInbox.ask_quota`. until: when the grant expires, in monotonic seconds."""
        grant.quota.receive(grant, until)
        if account := self._accounts.get(grant.quota.account):
            self.place(account, now)

    def give_back_quotas(self) -> None:
        """Returns the granted starts that will not be used, before an orderly end."""
        for account in self._accounts.values():
            account.give_back_quotas()

    def put_back(self, pick: Pick, task: Task, now: float) -> None:
        """Makes a picked task that was not performed ready again, unchanged."""
        if pick.bucket is None:
            if (check := pick.account.check_of(task)) is not None:
                check.leased = False
        elif give_back := self.withdrawn.get(task.run):
            give_back([task])
        else:
            queue = pick.bucket.queue(task.run)
            queue.add([task])
            pick.bucket.place(queue)
        self.place(pick.account, now)

    def undo(self, pick: Pick, now: float) -> None:
        """Makes all tasks of a pick ready again that were neither performed nor charged."""
        if pick.origin is not None:
            pick.origin.out -= len(pick.tasks)
        if pick.probe is not None:
            self._outages.ended(pick.probe, now)
        if pick.bucket is not None:
            pick.bucket.out -= len(pick.tasks)
        for task in pick.tasks:
            self.put_back(pick, task, now)

    # what may start

    def place(self, account: AccountQueue, now: float) -> None:
        """Puts the account into its turn again. Call after every change of when its next task may start."""
        at = self._ready_at(account, now)
        if account.shared is not None:
            at = max(at, account.shared.free_at(now))
        self._turns.place(account, at, now)

    def _ready_at(self, account: AccountQueue, now: float) -> float:
        if (check := account.next_check) is not None and (not account.stopped or check is account.question):
            return math.inf if check.leased else self._check_at(account, check, now)
        if account.stopped:
            return math.inf
        at = math.inf
        for bucket in account.buckets.values():
            if bucket.resting or bucket.held:
                continue
            if bucket.next is not None:
                at = min(at, self._free_at(bucket, now))
            if bucket.hungry:
                for queue in bucket.take_hungry():
                    self._refill(bucket, queue, now)
        return at

    def _check_at(self, account: AccountQueue, check: Guard, now: float) -> float:
        also = check.free_at(now) if isinstance(check, Question) else account.health.free_at(now)
        return max(check.at, account.limiter.free_at(now), also)

    def _free_at(self, bucket: BucketQueue, now: float) -> float:
        """When limits and outages permit the bucket's first task to start; at once for a task without a request."""
        cost = self.cost(bucket)
        if not cost:
            return -math.inf
        at = max(bucket.limiter.free_at(now, cost), bucket.account.limiter.free_at(now, cost))
        return at if bucket.health.calm else max(at, bucket.health.free_at(now))

    def cost(self, bucket: BucketQueue) -> int:
        """How many requests the bucket's first task counts as."""
        queue = bucket.next
        return self._costs.get(queue.heads[-1].kind, 1) if queue else 1

    def choose(self, now: float, most: int, threads: int = UNBOUNDED) -> Pick | None:
        """Takes tasks of one account that may start now from their queue. Call `charge` or `undo` with the result.

        most: how many, for an account without limits. With limits it is one, since each start delays the next.
        threads: how many all workers have. A single origin, which may hang, does not get all of them.
        None when no task may start.
        """
        for due in self._turns.due(now):
            self.place(due, now)
        while (account := self._turns.next()) is not None:
            pick = self._pick_of(account, now, most, threads)
            if isinstance(pick, Origin):
                self._crowds.wait(pick, account)
                continue
            self.place(account, now)
            if pick is not None:
                return pick
        return None

    def relieve(self, now: float, threads: int) -> None:
        """Call before `choose`. Accounts that wait for a crowded origin may start again when threads have become free.
        threads: see `choose`."""
        for account in self._crowds.relieve(threads):
            self.place(account, now)

    def _pick_of(self, account: AccountQueue, now: float, most: int, threads: int) -> Pick | Origin | None:
        """The account's most urgent tasks that may start; among equals, of the bucket that was served longest ago. An
        origin when all of them would go to origins that have their share of threads already."""
        if (check := account.next_check) is not None:
            if self._check_at(account, check, now) > now or not account.granted(None, 1, now):
                return None
            origin = account.health.origin
            if not self._crowds.spare(origin, threads):
                return origin
            check.leased = True
            origin.out += 1
            probe = None if account.health.calm or check is account.question else account.health.start(now)
            return Pick(account, None, [check.task], origin=origin, probe=probe)
        best: BucketQueue | None = None
        crowded: Origin | None = None
        most_urgent = (False, 0.0, 0)
        for bucket in account.buckets.values():
            first = bucket.next
            if first is None or bucket.resting or bucket.held:
                continue
            rank = (bucket.tried, urgency(bucket, first, self._wide), bucket.served)
            if best is not None and rank > most_urgent:
                continue
            if self._free_at(bucket, now) <= now:
                if self.cost(bucket) and not self._crowds.spare(bucket.health.origin, threads):
                    crowded = bucket.health.origin
                else:
                    best, most_urgent = bucket, rank
        if best is None:
            return crowded
        cost = self.cost(best)
        if cost and not account.granted(best, cost, now):
            return None
        calm = best.health.calm
        limited = cost > 0 and not (calm and best.limiter.unlimited and account.limiter.unlimited)
        origin = best.health.origin
        queue, tasks = best.take(1 if limited or not cost else min(most, self._crowds.spare(origin, threads)))
        count = len(tasks)
        account.turn += count / account.spec.weight
        self._served += 1
        best.served = queue.served = self._served
        best.place(queue)
        best.out += count
        if queue.more and not queue.asked and len(queue.heads) <= queue.want // 2:
            self._refill(best, queue, now)
        if not cost:
            return Pick(account, best, tasks, cost, limited)
        origin.out += count
        return Pick(account, best, tasks, cost, limited, origin, None if calm else best.health.start(now))

    def _refill(self, bucket: BucketQueue, queue: RunQueue, now: float) -> None:
        self.awaited += 1
        self._store.refill((bucket.id, queue.run), queue.ask(now))

    def charge(self, pick: Pick, now: float) -> Stamp:
        """Charges the start of a pick to all its limits."""
        if not pick.limited:
            return self._unlimited
        account, stamp = pick.account, Stamp(now)
        for limiter in pick.limiters:
            limiter.start(stamp, pick.cost)
        if account.shared is not None:
            account.shared.start()
        self.place(account, now)
        return stamp

    def finish(self, pick: Pick, now: float) -> None:
        """The request of one of the tasks has ended, with or without success."""
        account, bucket = pick.account, pick.bucket
        if pick.origin is not None:
            pick.origin.out -= 1
        if pick.probe is not None:
            self._outages.ended(pick.probe, now)
        if bucket is not None:
            bucket.out -= 1
        if not pick.limited:
            return
        for limiter in pick.limiters:
            limiter.finish(now, pick.cost)
        self.place(account, now)

    def next_at(self) -> float:
        """When the next waiting account may start something; infinity when none waits."""
        return self._turns.next_at()

    def tidy(self, now: float, sleep: Callable[[BucketQueue, float | None], None] | None = None) -> None:
        """Stores what limits have learned, and drops buckets that have no tasks and whose limits are back at rest.

        sleep: given while buckets on disk wait for a place in memory. Called with each bucket that may give up its
        place, and the time before which none of its tasks will start, or None if it has only had its turn. The answer
        to it is `asleep`.
        """
        for account in list(self._accounts.values()):
            self._limiters.learn(account.limiter, account.name)
            for bucket in list(account.buckets.values()):
                self._limiters.learn(bucket.limiter, account.name, bucket.name)
                bucket.tidy()
                busy = bucket.queues or bucket.out or bucket.doubts
                if not busy and bucket.limiter.quiet(now):
                    bucket.limiter.forget()
                    del account.buckets[bucket.id]
                elif sleep is not None and not account.refused and not account.guard:
                    let_sleep(bucket, now, self._free_at(bucket, now), sleep)
                elif bucket.resting and not bucket.leaving:
                    bucket.resting = False
                    self.place(account, now)
            if not (account.buckets or account.stopped or account.next_check) and account.limiter.quiet(now):
                account.limiter.forget()
                self._outages.forget(account.id)
                del self._accounts[account.id]

    def asleep(self, number: int, account: int, *, agreed: bool, now: float) -> None:
        """The store's answer to `sleep`, see `tidy`. agreed: False when more tasks of the bucket were being sent here,
        so that it stays awake."""
        queue = self._accounts.get(account)
        bucket = queue.buckets.get(number) if queue else None
        if queue is None or bucket is None:
            return
        if agreed:
            self._limiters.learn(bucket.limiter, queue.name, bucket.name)
            bucket.limiter.forget()
            del queue.buckets[number]
        else:
            bucket.resting = bucket.leaving = False
            bucket.since = now
        self.place(queue, now)

    def known(self, number: int) -> AccountQueue | None:
        """The account, if it is in memory."""
        return self._accounts.get(number)
