"""Leases whose outcomes come in portions: what is on its way to the store, and who waits for an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.outcome import Complete
from crawlerd.frontier.contract import Ahead

if TYPE_CHECKING:
    from crawlerd.core.task import Task
    from crawlerd.engine.leases import Leases
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.engine.worker_process import WorkerProcess


class Portioned:
    """Used by the dispatcher's thread alone. A worker sends the next portion of a lease when the last one was answered,
    so that there is at most one of each lease in this process.

    unanswered: whether the last portion of a lease is with the store, by the token of each that has sent some.
    """

    def __init__(self, leases: Leases[WorkerProcess], store: StoreInbox) -> None:
        self._leases, self._store = leases, store
        self.unanswered: dict[int, bool] = {}

    def take(self, worker: WorkerProcess, now: float) -> None:
        """Hands what a worker has sent to the store."""
        for portion in worker.portions():
            token = portion.token
            lease = self._leases.held(token)
            if lease is None or lease.worker is not worker or lease.pick.bucket is None:
                worker.answer(token, "its lease has ended")
                continue
            self._leases.renew(token, now)
            self.unanswered[token] = True
            outcome = Complete(portion.batches, skipped=portion.skipped)
            task, account = lease.task(token), lease.pick.account.id
            self._store.ahead(Ahead(task, account, outcome, token=token, entries=portion.entries, first=portion.first))

    def answered(self, token: int, refused: str) -> WorkerProcess | None:
        """The store has done with a portion. The worker that is told of it, if it still has the lease."""
        lease = self._leases.held(token)
        if lease is None:
            return None
        self.unanswered[token] = False
        lease.worker.answer(token, refused)
        return lease.worker

    def waits(self, token: int) -> bool:
        """Whether the lease waits for the store, and not for its worker."""
        return self.unanswered.get(token, False)

    def lost(self, token: int, task: Task) -> None:
        """The lease has ended without one."""
        if self.unanswered.pop(token, None) is not None:
            self._store.void(task.seq, token)
