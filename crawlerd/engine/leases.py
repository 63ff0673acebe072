"""Leases: a worker's temporary, fenced right to tasks. Pure: monotonic seconds come as arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import msgspec

from crawlerd.engine.queues import Pick
from crawlerd.ratelimit.window import Stamp

if TYPE_CHECKING:
    from crawlerd.core.task import Task

Worker = TypeVar("Worker")


class Lease(msgspec.Struct, Generic[Worker], frozen=True):
    """Tasks that were given to a worker together. Times are monotonic seconds.

    token: of the first task; each further task has the next number.
    pick: the tasks, with their account and bucket.
    stamp: when their requests reached the server.
    worker: the worker that performs them.
    deadline: when the lease expires.
    issued_at: when it was issued.
    """

    token: int
    pick: Pick
    stamp: Stamp
    worker: Worker
    deadline: float
    issued_at: float

    def task(self, token: int) -> Task:
        return self.pick.tasks[token - self.token]


class TakenBack(NamedTuple, Generic[Worker]):
    """A task whose worker was lost.

    crashed: the loss counts as evidence that the task kills its worker.
    token: of this task.
    """

    lease: Lease[Worker]
    task: Task
    crashed: bool
    token: int


class Leases(Generic[Worker]):
    """The leases that have not ended. A token is issued once and ends once: it is settled, or its worker is lost.

    seconds: how long each lease lasts.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._out: dict[int, Lease[Worker]] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._out)

    def issue(self, pick: Pick, stamp: Stamp, worker: Worker, now: float) -> Lease[Worker]:
        """Leases the picked tasks to a worker, each under a token of its own."""
        token = self._next
        self._next += len(pick.tasks)
        lease = Lease(token, pick, stamp, worker, now + self.seconds, now)
        self._out.update(dict.fromkeys(range(token, self._next), lease))
        return lease

    def settle(self, token: int) -> Lease[Worker] | None:
        """Ends a lease because its outcome has arrived. None when the outcome must be ignored: its token was settled
        already, or its task was taken back and may run in another worker."""
        return self._out.pop(token, None)

    def of_run(self, run: int) -> int:
        """How many tasks of a run are leased."""
        return sum(lease.task(token).run == run for token, lease in self._out.items())

    def held(self, token: int) -> Lease[Worker] | None:
        """The lease of a token, None when it has ended."""
        return self._out.get(token)

    def renew(self, token: int, now: float) -> None:
        """Gives the task of a token its full time again, but not the other tasks of the same lease."""
        self._out[token] = msgspec.structs.replace(self._out.pop(token), deadline=now + self.seconds)

    def expired(self, now: float) -> tuple[int, Lease[Worker]] | None:
        """The oldest token and its lease, if its deadline has passed."""
        for token, lease in self._out.items():  # the first has the earliest deadline, since all last equally long
            return (token, lease) if lease.deadline <= now else None
        return None

    def take_back(self, worker: Worker, guilty: int | None = None) -> list[TakenBack[Worker]]:
        """Ends all leases of a lost worker.

        guilty: the token of the task that is known to be the cause. Without it, the loss counts as evidence against
            each of the worker's tasks.
        """
        tokens = [token for token, lease in self._out.items() if lease.worker is worker]
        leases = [(token, self._out.pop(token)) for token in tokens]
        return [TakenBack(lease, lease.task(token), guilty in (None, token), token) for token, lease in leases]
