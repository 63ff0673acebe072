"""Messages of other threads to the dispatcher. The senders do not wait; the dispatcher acts between two leases."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from crawlerd.core.reasons import Reason
from crawlerd.core.task import Task
from crawlerd.engine.account_waits import of_account
from crawlerd.frontier.reports import Told

CENSUS_SLICE = 64  # accounts that `census` handles between two leases

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
    """The messages to the dispatcher. Any thread may call its methods, except `act` and `clear`, which are for the
    dispatcher's thread.

    fd: a file descriptor that is readable when there are messages.
    sleeping: whether there may be buckets on disk whose tasks could be leased; set by the store.
    waking: whether the store is reading some of them; set by the dispatcher, reset by the store's answer.
    on_stored: handles the message `stored`, on the dispatcher's thread.
    pool: the dispatcher's pool of workers.
    on_count: returns how many tasks of a run are leased, on the dispatcher's thread.
    draining: no more tasks must be leased.
    stopping: the thread must end.
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
        """Call last, when no thread sends messages any more."""
        fd, self.fd = self.fd, -1  # a late sender gets an error, instead of writing to a reused file descriptor
        os.close(fd)

    def act(self, bench: Workbench, now: float) -> None:
        """Acts on the messages, in their order."""
        for _ in range(len(self._actions)):  # messages that these lead to wait until the next leases are given
            self._actions.popleft()(bench, now)

    def clear(self) -> None:
        """Call when `fd` was readable."""
        os.eventfd_read(self.fd)

    # from the store

    def heads(self, bucket: Bucket, run: int, tasks: Sequence[Task], *, more: bool) -> None:
        """Ready tasks of a run in a bucket. more: the frontier has further ones."""
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
        """Starts that quotas, or shared limits, have granted."""

        def receive(bench: Workbench, now: float) -> None:
            for grant in grants:
                bench.grant(grant, self._clock.monotonic(grant.until), now)

        self._post(receive)

    def stored(self, token: int, refused: str) -> None:
        """A portion of a lease's outcome is durable. refused: why no more portions of it are wanted, or empty."""
        self._post(lambda bench, now: self.on_stored(token, refused))

    def withdraw(self, runs: Collection[int], give_back: Callable[[list[Task]], None]) -> None:
        """Calls `Workbench.withdraw`; `give_back` is called on the dispatcher's thread."""
        self._post(lambda bench, now: bench.withdraw(runs, give_back, now))

    def asleep(self, bucket: Bucket, *, agreed: bool) -> None:
        """The answer to `StoreInbox.sleep`. agreed: the bucket leaves memory."""
        self._post(lambda bench, now: bench.asleep(bucket.id, bucket.account, agreed=agreed, now=now))

    def woken(self) -> None:
        """The answer to `StoreInbox.wake`. Also sent when buckets on disk may be woken again."""
        self._post(lambda bench, now: setattr(self, "waking", False))

    def has_room(self) -> None:
        """The store accepts outcomes again."""
        os.eventfd_write(self.fd, 1)

    # about accounts

    def check(self, account: int, kind: str, payload: str) -> None:
        """Starts no task of the account until this check of its credentials has passed."""
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
        """The account's credentials do not work: starts none of its tasks."""

        def refuse(bench: Workbench, now: float) -> None:
            if queue := bench.account(account):
                queue.refuse(reason)
                bench.place(queue, now)

        self._post(refuse)

    # for people

    def ask(
        self, account: int, bucket: int | None, kind: str, payload: str, answer: Future[Outcome], *, confirms: bool
    ) -> None:
        """Makes a request with the account as soon as its limits permit, see `Question`.

        bucket: the number of a bucket that `heads` has named, or None.
        confirms: the request is the source's check of credentials.
        """
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
        """The caller of `ask` does not wait any longer. A request that was sent is still finished."""

        def forget(bench: Workbench, now: float) -> None:
            queue = bench.known(account)
            if queue is not None and queue.forget(answer):
                bench.place(queue, now)

        self._post(forget)

    def hold(self, pauses: Pauses) -> None:
        """Applies these pauses: starts no task that they cover, and again those that no pause covers any more."""
        self._post(lambda bench, now: bench.hold(pauses, now))

    def change(self, accounts: Mapping[int, bool]) -> Future[None]:
        """The configuration of these accounts has changed. accounts: by number, whether the key or the address is
        another one. Pass few at once: no tasks are leased meanwhile."""
        done: Future[None] = Future()

        def change(bench: Workbench, now: float) -> None:
            for number, rekeyed in accounts.items():
                bench.change(number, rekeyed=rekeyed, now=now)
            done.set_result(None)

        self._post(change)
        return done

    def with_pool(self, function: Callable[[Pool, float], T]) -> Future[T]:
        """Calls `function` on the dispatcher's thread; it must not wait for anything."""
        answer: Future[T] = Future()

        def call(bench: Workbench, now: float) -> None:
            assert self.pool is not None  # noqa: S101 - the dispatcher has set it
            answer.set_result(function(self.pool, now))

        self._post(call)
        return answer

    def lower(self, lowered: Lowered) -> None:
        """Applies the limits that people have lowered, in place of those that were applied before."""
        self._post(lambda bench, now: bench.lower(lowered, now))

    def explain(self, account: int, answer: Future[Waiting | None]) -> None:
        """Answers why no task of the account starts; None when it has no ready tasks in memory. An error is passed on
        to the caller, so that a question does not stop the dispatcher."""

        def explain(bench: Workbench, now: float) -> None:
            try:
                queue, unix = bench.known(account), self._clock.now() - now
                answer.set_result(of_account(queue, bench.cost, now, lambda at: at + unix) if queue else None)
            except Exception as error:  # noqa: BLE001 - passed on to the caller
                answer.set_exception(error)

        self._post(explain)

    def census(self, answer: Future[list[Told]]) -> None:
        """Answers what each account with ready tasks in memory waits for; handles a slice between two leases."""
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
        """Answers how many tasks of a run are leased."""
        self._post(lambda bench, now: answer.set_result(self.on_count(run)))

    # at the end

    def drain(self) -> None:
        self._post(lambda bench, now: setattr(self, "draining", True))

    def stop(self) -> None:
        self._post(lambda bench, now: setattr(self, "stopping", True))

    def _post(self, action: Callable[[Workbench, float], None]) -> None:
        self._actions.append(action)
        os.eventfd_write(self.fd, 1)
