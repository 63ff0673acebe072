"""Leases whose outcomes come in portions: passes portions to the store, and answers to the workers."""

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
    """Passes portions from workers to the store, and the answers back. Used by the dispatcher's thread alone. A worker
    sends the next portion of a lease when the last one was answered, so this process holds at most one portion of each
    lease.

    unanswered: by the token of each lease that has sent portions, whether the store still has to answer the last one.
    """

    def __init__(self, leases: Leases[WorkerProcess], store: StoreInbox) -> None:
        self._leases, self._store = leases, store
        self.unanswered: dict[int, bool] = {}

    def take(self, worker: WorkerProcess, now: float) -> None:
        """Passes the portions that a worker has sent to the store."""
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
        """The store has answered a portion. Returns the worker that gets the answer, if it still has the lease."""
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
        """The lease has ended without an outcome."""
        if self.unanswered.pop(token, None) is not None:
            self._store.void(task.seq, token)
