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
    """What was given to a worker at once.

    token: the fence of the first task; each next task has the next number.
    pick: the tasks, with their account and bucket.
    stamp: when their requests reached the server.
    worker: who has them.
    deadline: until when; monotonic.
    issued_at: monotonic.
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
    """Those that are out. A token is issued once, and leaves once: it is settled, or its worker is lost.

    seconds: how long each lasts.
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
        """Ends a lease by its outcome. None for an outcome that must write nothing: the token was settled already, or
        its task has been taken back and may be with another worker."""
        return self._out.pop(token, None)

    def of_run(self, run: int) -> int:
        """How many tasks of a run are leased."""
        return sum(lease.task(token).run == run for token, lease in self._out.items())

    def held(self, token: int) -> Lease[Worker] | None:
        """The lease of a token that is out."""
        return self._out.get(token)

    def renew(self, token: int, now: float) -> None:
        """The task of a token that is out has all its time again; others of the same lease have not."""
        self._out[token] = msgspec.structs.replace(self._out.pop(token), deadline=now + self.seconds)

    def expired(self, now: float) -> tuple[int, Lease[Worker]] | None:
        """The token and lease that is out for longest, if its time is over."""
        for token, lease in self._out.items():  # in the order of deadlines, since all last equally long
            return (token, lease) if lease.deadline <= now else None
        return None

    def take_back(self, worker: Worker, guilty: int | None = None) -> list[TakenBack[Worker]]:
        """Ends all leases of a worker that is lost.

        guilty: the token of the task that is known to be the cause. Without one, each of them may be, and for each it
        counts as evidence.
        """
        tokens = [token for token, lease in self._out.items() if lease.worker is worker]
        leases = [(token, self._out.pop(token)) for token in tokens]
        return [TakenBack(lease, lease.task(token), guilty in (None, token), token) for token, lease in leases]
