"""What other threads tell the dispatcher. They never wait for it: it acts on it between two leases."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from crawlerd.core.task import Task
from crawlerd.engine.account_waits import of_account

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from concurrent.futures import Future

    from crawlerd.core.pauses import Pauses
    from crawlerd.core.reasons import Waiting
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.workbench import Workbench
    from crawlerd.frontier.waiting_contract import Bucket
    from crawlerd.ratelimit.quota import Grant


class DispatcherInbox:
    """Any thread may tell; `act` is for the dispatcher's own.

    fd: readable when there is something to act on.
    sleeping: there may be buckets that are not awake and could be leased from; set by the store.
    waking: the store is waking some of them; set by the dispatcher, reset by the store's answer.
    on_stored: does, on the dispatcher's thread, what `stored` tells.
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
        self.sleeping = False
        self.waking = False
        self.draining = False
        self.stopping = False

    def close(self) -> None:
        """Call last, when nobody has anything to tell any more."""
        os.close(self.fd)

    def act(self, bench: Workbench, now: float) -> None:
        """Does what was asked for, in its order."""
        while self._actions:
            self._actions.popleft()(bench, now)

    def clear(self) -> None:
        """`fd` was readable."""
        os.eventfd_read(self.fd)

    # from the store

    def heads(self, bucket: Bucket, run: int, tasks: Sequence[Task], *, more: bool) -> None:
        """Ready tasks of a run in a bucket."""
        blocked_until = self._clock.monotonic(bucket.blocked_until)
        self._post(
            lambda bench, now: bench.add_heads(
                bucket.id, bucket.account, bucket.name, run, tasks, more=more, blocked_until=blocked_until, now=now
            )
        )

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

    def hold(self, pauses: Pauses) -> None:
        """Lets nothing start of what is paused, and the rest again."""
        self._post(lambda bench, now: bench.hold(pauses, now))

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
