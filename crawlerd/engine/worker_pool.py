"""Keeps the configured number of worker processes running: starts, kills and replaces them."""

from __future__ import annotations

import selectors
from collections import Counter
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING

from crawlerd.core.log_events import Event, tell
from crawlerd.core.metric_labels import WorkerLoss
from crawlerd.engine.restarts import Restarts
from crawlerd.engine.wire import Renamed, Setup, frame
from crawlerd.engine.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from crawlerd.core.configuration import AccountSpec
    from crawlerd.core.outcome import Result
    from crawlerd.engine.worker_process import Terms


class Pool:
    """The worker processes. Used by one thread at a time; others may read it.

    workers: the present workers.
    losses: how many workers were lost or replaced, by reason.
    selector: waits for messages of the workers.
    max_mb: a worker with more resident memory, in MiB, is replaced.
    restarts: when missing workers are started, and why they cannot start.
    """

    def __init__(
        self,
        setup: Setup,
        accounts: Mapping[str, AccountSpec],
        *,
        processes: int,
        max_worker_mb: float,
        terms: Terms = MappingProxyType({}),
    ) -> None:
        self._setup, self._accounts, self._processes, self.max_mb = setup, accounts, processes, max_worker_mb
        self._terms = terms
        self._renewed: Future[None] | None = None
        self.selector = selectors.DefaultSelector()
        self.restarts = Restarts()
        self.workers: list[WorkerProcess] = []
        self.losses: Counter[WorkerLoss] = Counter()

    @property
    def working(self) -> int:
        """How many workers are running."""
        return sum(worker.up for worker in list(self.workers))

    def fill(self, now: float) -> None:
        """Starts missing workers, but not too often. Call a few times a second."""
        if self._processes:
            self.restarts.look(now, self.working)
        missing = self._processes - sum(not worker.outdated for worker in self.workers)
        if missing <= 0 or now < self.restarts.next_at:
            return
        self.restarts.begin(now)
        for _ in range(missing):
            try:
                self._start(now)
            except OSError as error:  # no file descriptor, process or memory is available now
                self.restarts.failed(error.strerror or str(error), self.working)
                return

    def _start(self, now: float) -> None:
        worker = WorkerProcess(self._setup, self._accounts, self._terms, now)
        try:
            self.selector.register(worker.socket, selectors.EVENT_READ, worker)
        except OSError:
            worker.kill()
            raise
        taken = {each.number for each in self.workers}
        worker.number = next(number for number in count(1) if number not in taken)
        self.workers.append(worker)
        self.listen(worker)

    def rename(self, setup: Setup, sources: dict[str, str | None]) -> None:
        """Accounts were added or removed. setup: for workers that start later. sources: see `Renamed`."""
        self._setup = setup
        for worker in self.workers:
            worker.write(frame(Renamed(sources)))
            self.listen(worker)

    def renew(self, setup: Setup, processes: int, renewed: Future[None], now: float) -> None:
        """Replaces all workers by `processes` workers with another setup. When the new ones are running, the old ones
        get no more tasks, and `renewed` is set."""
        self._setup, self._processes, self._renewed = setup, processes, renewed
        self.restarts.next_at = now
        for worker in self.workers:
            worker.outdated = True
        self.fill(now)

    def keep_old(self, setup: Setup, processes: int) -> None:
        """Undoes `renew` when its workers do not start."""
        if self._renewed is None:  # they have started just now
            return
        self._setup, self._processes, self._renewed = setup, processes, None
        for worker in self.workers:
            worker.retiring = worker.retiring or not worker.outdated
            worker.outdated = False

    def read(self, worker: WorkerProcess, now: float) -> list[Result] | None:
        """See `WorkerProcess.read`."""
        was_up = worker.up
        results = worker.read(now)
        if worker.up and not was_up:
            self.restarts.succeeded()
            if self._renewed and sum(each.up and not each.outdated for each in self.workers) >= self._processes:
                for each in self.workers:
                    each.retiring = each.retiring or each.outdated
                self._renewed.set_result(None)
                self._renewed = None
        return results

    def expect(self, now: float) -> None:
        """Call when the dispatcher begins to read: the time in which workers must start counts from here."""
        for worker in self.workers:
            worker.asked(now)

    def listen(self, worker: WorkerProcess) -> None:
        """Makes the selector wait for messages of the worker and, if data is unsent, until its socket accepts more."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.wants_to_write else 0)
        self.selector.modify(worker.socket, events, worker)

    def failing(self, now: float) -> list[tuple[WorkerProcess, str, WorkerLoss]]:
        """The workers to kill, each with the reason: they hang, or are to be replaced and have no more leases."""
        return [
            (worker, "hung", WorkerLoss.HUNG)
            if hangs
            else (worker, "was replaced", WorkerLoss.GREW if worker.grew else WorkerLoss.RELOAD)
            for worker in self.workers
            if (hangs := worker.hangs(now)) or (worker.retiring and not worker.leases)
        ]

    def grown(self) -> list[tuple[WorkerProcess, str]]:
        """The workers to kill because their memory has grown to twice `max_mb`, each with the reason. A worker that has
        grown beyond `max_mb` is replaced once it is idle."""
        killed = []
        for worker in self.workers:
            memory = worker.memory_mb()
            if memory > 2 * self.max_mb:
                most = f"twice max_worker_memory_mb = {self.max_mb:.0f}"
                killed.append((worker, f"grew to {memory:.0f} MB, more than {most}"))
            elif memory > self.max_mb and not worker.retiring:
                pid, text = worker.process.pid, "worker %d has grown to %.0f MB: replacing it"
                tell(Event.WORKER_GREW, text, pid, memory, pid=pid, megabytes=round(memory))
                worker.retiring = worker.grew = True
        return killed

    def close(self) -> None:
        """Kills all workers."""
        for worker in self.workers:
            worker.kill()
        self.selector.close()

    def lose(self, worker: WorkerProcess, how: str, now: float, loss: WorkerLoss) -> None:
        """Kills a worker. The caller must take back its leases."""
        self.selector.unregister(worker.socket)
        self.workers.remove(worker)
        failed, code, said = worker.failed_to_start(now), worker.process.poll(), worker.last_words()
        worker.kill()
        self.losses[loss] += 1
        if failed:
            told = how + ("" if code is None else f" with exit code {code}") + (f": {said}" if said else "")
            self.restarts.failed(told, self.working)
            return
        pid, code, left = worker.process.pid, worker.process.returncode, worker.leases
        if worker.retiring and not left:
            tell(Event.WORKER_REPLACED, "worker %d %s", pid, how, pid=pid, reason=how)
            return
        text = "worker %d %s (exit %s); its %d leases are given out again"
        tell(Event.WORKER_LOST, text, pid, how, code, left, pid=pid, exit_code=code, tasks=left, reason=how)
