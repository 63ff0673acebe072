"""What other threads tell the dispatcher. They never wait for it: it acts on it between two leases."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from crawlerd.core.reasons import Reason
from crawlerd.core.task import Task
from crawlerd.engine.account_waits import of_account
from crawlerd.frontier.reports import Told

CENSUS_SLICE = 64  # accounts that are asked about between two leases

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from crawlerd.core.lowered import Lowered
    from crawlerd.core.outcome import Outcome
    from crawlerd.core.pauses import Pauses
    from crawlerd.core.reasons import Waiting
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.workbench import Workbench
    from crawlerd.engine.worker_pool import Pool
    from crawlerd.frontier.waiting_contract import Bucket
    from crawlerd.ratelimit.quota import Grant

T = TypeVar("T")


class DispatcherInbox:
    """Any thread may tell; `act` is for the dispatcher's own.

    fd: readable when there is something to act on.
    sleeping: there may be buckets that are not awake and could be leased from; set by the store.
    waking: the store is waking some of them; set by the dispatcher, reset by the store's answer.
    on_stored: does, on the dispatcher's thread, what `stored` tells.
    pool: the dispatcher's own.
    on_count: says, on the dispatcher's thread, how many tasks of a run workers have.
    draining: nothing more is to be leased.
    stopping: the thread is to end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._actions: deque[Callable[[Workbench, float], None]] = deque()
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.on_stored: Callable[[int, str], None] = lambda token, refused: None
        self.on_count: Callable[[int], int] = lambda run: 0
        self.pool: Pool | None = None
        self.sleeping = False
        self.waking = False
        self.draining = False
        self.stopping = False

    def close(self) -> None:
        """Call last, when nobody has anything to tell any more."""
        fd, self.fd = self.fd, -1  # who tells something all the same gets an error, and does not write elsewhere
        os.close(fd)

    def act(self, bench: Workbench, now: float) -> None:
        """Does what was asked for, in its order."""
        for _ in range(len(self._actions)):  # what these ask for in turn comes after the next leases
            self._actions.popleft()(bench, now)

    def clear(self) -> None:
        """`fd` was readable."""
        os.eventfd_read(self.fd)

    # from the store

    def heads(self, bucket: Bucket, run: int, tasks: Sequence[Task], *, more: bool) -> None:
        """Ready tasks of a run in a bucket."""
        blocked_until = self._clock.monotonic(bucket.blocked_until)
        why = Reason(bucket.reason), bucket.waits_for

        def add(bench: Workbench, now: float) -> None:
            bench.add_heads(
                *(bucket.id, bucket.account, bucket.name, run, tasks),
                more=more,
                blocked_until=blocked_until,
                blocked_for=why,
                now=now,
            )

        self._post(add)

    def granted(self, grants: Sequence[Grant]) -> None:
        """Starts of quotas, or of shared limits."""

        def receive(bench: Workbench, now: float) -> None:
            for grant in grants:
                bench.grant(grant, self._clock.monotonic(grant.until), now)

        self._post(receive)

    def stored(self, token: int, refused: str) -> None:
        """A portion of a lease's outcome is durable; or nothing more of it is wanted, and why."""
        self._post(lambda bench, now: self.on_stored(token, refused))

    def withdraw(self, runs: Collection[int], give_back: Callable[[list[Task]], None]) -> None:
        """Takes the runs' tasks from the workbench, see there; `give_back` is called on the dispatcher's thread."""
        self._post(lambda bench, now: bench.withdraw(runs, give_back, now))

    def asleep(self, bucket: Bucket, *, agreed: bool) -> None:
        """The answer to `StoreInbox.sleep`."""
        self._post(lambda bench, now: bench.asleep(bucket.id, bucket.account, agreed=agreed, now=now))

    def woken(self) -> None:
        """The answer to `StoreInbox.wake`; or buckets may be woken again."""
        self._post(lambda bench, now: setattr(self, "waking", False))

    def has_room(self) -> None:
        """The store can take outcomes again."""
        os.eventfd_write(self.fd, 1)

    # about accounts

    def check(self, account: int, kind: str, payload: str) -> None:
        """Lets nothing of the account start before this check of its credentials has passed."""
        task = Task(seq=0, bucket=0, priority=0, run=0, kind=kind, attempt=0, payload=payload)

        def check(bench: Workbench, now: float) -> None:
            if queue := bench.account(account):
                queue.check(task)
                bench.place(queue, now)

        self._post(check)

    def accept(self, account: int) -> None:
        """The account's check has passed, or it needs none."""

        def accept(bench: Workbench, now: float) -> None:
            if queue := bench.known(account):
                queue.accept()
                bench.place(queue, now)

        self._post(accept)

    def refuse(self, account: int, reason: str) -> None:
        """The account's credentials do not work: lets nothing of it start."""

        def refuse(bench: Workbench, now: float) -> None:
            if queue := bench.account(account):
                queue.refuse(reason)
                bench.place(queue, now)

        self._post(refuse)

    # for people

    def ask(
        self, account: int, bucket: int | None, kind: str, payload: str, answer: Future[Outcome], *, confirms: bool
    ) -> None:
        """Has the account make this request as soon as its limits permit, see `Question`. bucket: one that `heads` has
        told of, None for none."""
        task = Task(seq=0, bucket=0, priority=0, run=0, kind=kind, attempt=0, payload=payload)

        def ask(bench: Workbench, now: float) -> None:
            queue = bench.account(account)
            if queue is None:
                answer.set_exception(LookupError("the account is not configured"))
                return
            queue.ask(task, None if bucket is None else queue.buckets.get(bucket), confirms, answer)
            bench.place(queue, now)

        self._post(ask)

    def forget(self, account: int, answer: Future[Outcome]) -> None:
        """Whoever has asked waits no longer. A request that is out comes to its end."""

        def forget(bench: Workbench, now: float) -> None:
            queue = bench.known(account)
            if queue is not None and queue.forget(answer):
                bench.place(queue, now)

        self._post(forget)

    def hold(self, pauses: Pauses) -> None:
        """Lets nothing start of what is paused, and the rest again."""
        self._post(lambda bench, now: bench.hold(pauses, now))

    def change(self, accounts: Mapping[int, bool]) -> Future[None]:
        """These accounts are configured otherwise; by number, whether they have another key or address. Few at once:
        nothing is leased meanwhile."""
        done: Future[None] = Future()

        def change(bench: Workbench, now: float) -> None:
            for number, rekeyed in accounts.items():
                bench.change(number, rekeyed=rekeyed, now=now)
            done.set_result(None)

        self._post(change)
        return done

    def with_pool(self, function: Callable[[Pool, float], T]) -> Future[T]:
        """Calls it on the dispatcher's thread, which must not wait for anything."""
        answer: Future[T] = Future()

        def call(bench: Workbench, now: float) -> None:
            assert self.pool is not None  # noqa: S101 - the dispatcher has set it
            answer.set_result(function(self.pool, now))

        self._post(call)
        return answer

    def lower(self, lowered: Lowered) -> None:
        """Lets these lower limits hold as well, and those alone."""
        self._post(lambda bench, now: bench.lower(lowered, now))

    def explain(self, account: int, answer: Future[Waiting | None]) -> None:
        """Why nothing of the account starts, None when nothing of it is in memory. A question stops no dispatcher: what
        goes wrong is the answer."""

        def explain(bench: Workbench, now: float) -> None:
            try:
                queue, unix = bench.known(account), self._clock.now() - now
                answer.set_result(of_account(queue, bench.cost, now, lambda at: at + unix) if queue else None)
            except Exception as error:  # noqa: BLE001 - whoever has asked is told
                answer.set_exception(error)

        self._post(explain)

    def census(self, answer: Future[list[Told]]) -> None:
        """What each account in memory waits for that has something to start: a slice of them between two leases."""
        left: list[int] | None = None
        found: list[Told] = []

        def step(bench: Workbench, now: float) -> None:
            nonlocal left
            try:
                left = [account.id for account in bench.accounts()] if left is None else left
                unix = self._clock.now() - now
                for queue in filter(None, map(bench.known, left[-CENSUS_SLICE:])):
                    if told := of_account(queue, bench.cost, now, lambda at: at + unix):
                        found.append(Told(queue.id, told.reason, told.until or 0.0))
                del left[-CENSUS_SLICE:]
            except Exception as error:  # noqa: BLE001 - as above
                answer.set_exception(error)
                return
            if left:
                self._post(step)
            else:
                answer.set_result(found)

        self._post(step)

    def count(self, run: int, answer: Future[int]) -> None:
        """How many tasks of a run workers have."""
        self._post(lambda bench, now: answer.set_result(self.on_count(run)))

    # at the end

    def drain(self) -> None:
        self._post(lambda bench, now: setattr(self, "draining", True))

    def stop(self) -> None:
        self._post(lambda bench, now: setattr(self, "stopping", True))

    def _post(self, action: Callable[[Workbench, float], None]) -> None:
        self._actions.append(action)
        os.eventfd_write(self.fd, 1)
