"""Tasks that were running when a worker died. Each is run alone to find out whether it crashes its worker."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from crawlerd.engine.queues import Pick
    from crawlerd.engine.worker_process import WorkerProcess

PATIENCE_SECONDS = 0.25  # a suspect whose limits hold it up for longer lets others go first


class Suspects:
    """The suspects that were picked and wait for a worker of their own."""

    def __init__(self) -> None:
        self._waiting: deque[Pick] = deque()

    def set_aside(self, pick: Pick) -> Pick:
        """Keeps the suspects among the picked tasks; returns the others."""
        suspects = [task for task in pick.tasks if task.crashes]
        if not suspects:
            return pick
        self._waiting += [msgspec.structs.replace(pick, tasks=[task]) for task in suspects]
        return msgspec.structs.replace(pick, tasks=[task for task in pick.tasks if not task.crashes])

    def take_back(self, runs: Container[int]) -> list[Pick]:
        """Takes out the suspects of these runs, which get no leases any more."""
        gone = [pick for pick in self._waiting if pick.tasks[0].run in runs] if runs else []
        for pick in gone:
            self._waiting.remove(pick)
        return gone

    def next_at(self, now: float) -> float:
        """When limits permit the next suspect to start. Infinity when there is none, or it waits for a worker."""
        at = self._waiting[0].free_at(now) if self._waiting else math.inf
        return at if at > now else math.inf

    def next(self, workers: Sequence[WorkerProcess], now: float) -> tuple[WorkerProcess | None, Pick | None]:
        """The worker that is kept free for a suspect, and the suspect if it may start there now."""
        if any(worker.alone for worker in workers):
            return None, None
        for _ in range(len(self._waiting)):
            suspect = self._waiting[0]
            free_at = suspect.free_at(now)
            held = suspect.bucket is not None and suspect.bucket.held is not None
            if not held and not suspect.account.stopped and not now + PATIENCE_SECONDS < free_at < math.inf:
                break
            self._waiting.rotate(-1)  # it must wait; no worker is kept free for it meanwhile
        else:
            return None, None
        worker = min((worker for worker in workers if worker.room), key=lambda each: each.leases, default=None)
        if worker is None or worker.leases or free_at > now:
            return worker, None
        return worker, self._waiting.popleft()
