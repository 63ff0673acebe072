"""Worker processes as the dispatcher sees them: started, written to, read from, watched, killed, replaced."""

from __future__ import annotations

import logging
import math
import os
import selectors
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.outcome import Portion
from crawlerd.core.task import PART
from crawlerd.engine.restarts import Restarts
from crawlerd.engine.wire import OF_THE_GROUP, READ_BYTES, Done, Frames, Ping, Setup, Stored, Work, frame, from_worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.core.configuration import AccountSpec
    from crawlerd.core.outcome import Result
    from crawlerd.core.task import LeaseBatch

    Added = Mapping[int, tuple[str, ...]]  # streams of extensions that runs ask for, by the number of the run

log = logging.getLogger(__name__)

HANG_SECONDS = 10.0  # a worker that owes an answer for so long is killed
PING_SECONDS = 1.0
STEADY_SECONDS = 10.0  # a worker that has lived for so long has not failed to start
GRACE_SHRINKS = 0.98  # with each lease that is started in time
GRACE_SECONDS, GRACE_MOST = 0.250, 8.0  # after its turn, within which a lease must start
START_SECONDS = 60.0  # a worker that is not up by then hangs
PREFETCH_SECONDS = 0.020  # leases waiting in a worker cover what it does in this time …
PREFETCH_MOST = 1024  # … but are no more than this, since they come back when it dies
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
TOLD_BYTES = 300  # of what a worker said last before it could not start


class WorkerProcess:
    """One worker. Its socket never blocks the dispatcher.

    leases: how many it holds.
    up: it has said that it runs.
    retiring: it is replaced once it holds nothing.
    alone: it performs a suspect, and nothing else at the same time.
    grace: seconds within which it must start what it is given, else that comes back. A worker that is late gets fewer
        leases; one that is late with a single one gets more time.
    """

    def __init__(self, setup: Setup, accounts: Mapping[str, AccountSpec], added: Added, now: float) -> None:
        """accounts: all, by name; the worker is told of each with its first lease. OSError when the system has no
        process, descriptor or memory for it."""
        with ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.enter_context(ours)
            self._said = undo.enter_context(os.fdopen(os.memfd_create("worker-start"), "rb"))
            with theirs, os.fdopen(os.dup(sys.stderr.fileno()), "wb") as shared:
                their_fd, stderr = theirs.fileno(), shared.fileno()
                # Inherited: a signal to the group that comes before the worker ignores these must not kill it.
                before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_THE_GROUP)
                undo.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
                self.process = subprocess.Popen(  # noqa: S603 - this very interpreter and module
                    # -P: else a file types.py or queue.py in the current folder is imported for Python's own
                    [sys.executable, "-P", "-m", "crawlerd.engine.worker", *map(str, (their_fd, os.getpid(), stderr))],
                    pass_fds=[their_fd, stderr],
                    stdin=subprocess.DEVNULL,
                    stdout=self._said,  # until it is up, and then stderr, since stdout belongs to the command's report
                    stderr=self._said,
                )
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            undo.pop_all()
        ours.setblocking(False)
        self.socket = ours
        self._started_at = now
        self._useful = False
        self.threads = setup.threads
        self.leases = 0
        self.up = False
        self.retiring = False
        self.alone = False
        self.grace = GRACE_SECONDS
        self._most = math.inf  # leases, as long as it is late
        self._late_at = -math.inf
        self._accounts, self._added = accounts, added
        self._told: dict[str, AccountSpec | None] = {}
        self._frames = Frames()
        self._portions: list[Portion] = []
        self._unsent = bytearray()
        self._asked_at: float | None = now
        self._heard_at = now
        self._rate = 0.0
        self._done, self._done_since = 0, now
        self.write(frame(setup))

    @property
    def room(self) -> int:
        """How many more leases it may be given: one a thread, and a few milliseconds' worth in advance."""
        if not self.up or self.retiring or self.alone:
            return 0
        return int(min(self._capacity, self._most)) - self.leases

    @property
    def _capacity(self) -> int:
        return self.threads + min(PREFETCH_MOST, int(self._rate * PREFETCH_SECONDS))

    def started(self, now: float, *, late: bool) -> None:
        """It has started a lease, or was too late for it."""
        if not late:
            if self._most < self._capacity:
                self._most += 1 / self._most
            self.grace = max(GRACE_SECONDS, self.grace * GRACE_SHRINKS)
        elif now - self._late_at > self.grace:  # what was late at the same time is one sign
            self._late_at = now
            if self._most > 1:
                self._most = max(1.0, min(self._most, self._capacity) / 2)
            else:
                self.grace = min(2 * self.grace, GRACE_MOST)

    @property
    def wants_to_write(self) -> bool:
        return bool(self._unsent)

    def give(self, leases: list[LeaseBatch]) -> None:
        self.leases += sum(len(each.tasks) for each in leases)
        names = {each.account.partition(PART)[0] for each in leases}
        news = {name: now for name in names if (now := self._accounts.get(name)) is not self._told.get(name)}
        self._told |= news  # another one when its key was renewed
        runs = {task.run for each in leases for task in each.tasks if task.run in self._added} if self._added else ()
        added = {run: self._added[run] for run in runs}
        self.write(frame(Work(leases, [each for each in news.values() if each is not None], added)))

    def write(self, data: bytes = b"") -> None:
        """Sends what the socket takes; the rest when it is writable again."""
        self._unsent += data
        try:
            sent = self.socket.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:  # it died; reading will say so
            sent = len(self._unsent)
        del self._unsent[:sent]

    def read(self, now: float) -> list[Result] | None:
        """New results; None when the process is gone, or must be, since what it says makes no sense."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            return None
        self._heard_at, self._asked_at = now, None
        results: list[Result] = []
        for body in self._frames.feed(data):
            try:
                message = from_worker.decode(body)
            except msgspec.DecodeError:
                return None
            if isinstance(message, Done):
                results += message.results
            elif isinstance(message, Portion):
                self._portions.append(message)
            if not self.up:
                self.up = True
                self._said.close()  # it has said it again where it belongs
        self._done += len(results)
        self._useful = self._useful or bool(results)
        return results

    def portions(self) -> list[Portion]:
        """Those that `read` has brought since this was last asked for."""
        if not self._portions:
            return self._portions
        portions, self._portions = self._portions, []
        return portions

    def answer(self, token: int, refused: str) -> None:
        """The next portion of a lease's outcome may come, or nothing more of it is wanted."""
        self.write(frame(Stored(token, refused)))

    def failed_to_start(self, now: float) -> bool:
        """Asked when it is lost: it was of no use, and no task is to blame."""
        return not self.up or not (
            self._useful or self.leases or self.retiring or now - self._started_at > STEADY_SECONDS
        )

    def last_words(self) -> str:
        """The last line of what it said before it was up; empty when there is none."""
        if self._said.closed:
            return ""
        fd = self._said.fileno()
        said = os.pread(fd, TOLD_BYTES, max(0, os.fstat(fd).st_size - TOLD_BYTES)).decode(errors="replace")
        lines = ["".join(filter(str.isprintable, line)).strip() for line in said.split("\n")]
        return next(filter(None, reversed(lines)), "")

    def hangs(self, now: float) -> bool:
        """Asks for a sign of life once a second, and says whether one has been owed for too long."""
        elapsed = now - self._done_since
        if elapsed > 0:
            self._rate = (self._rate + self._done / elapsed) / 2
            self._done, self._done_since = 0, now
        if self._asked_at is not None:
            return now - self._asked_at > (HANG_SECONDS if self.up else START_SECONDS)
        if now - self._heard_at >= PING_SECONDS:
            self.asked(now)
            self.write(frame(Ping()))
        return False

    def asked(self, now: float) -> None:
        self._asked_at = now

    def memory_mb(self) -> float:
        """Resident memory; 0 when the process is gone."""
        try:
            with open(f"/proc/{self.process.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * PAGE_KIB / 1024
        except OSError:
            return 0.0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.socket.close()
        self._said.close()


class Pool:
    """As many workers as there should be. Used by one thread at a time; others may read it.

    workers: those that there are.
    losses: how many have been lost, or replaced.
    selector: waits for what they say.
    restarts: when those that are missing are started, and why they cannot be.
    """

    def __init__(
        self,
        setup: Setup,
        accounts: Mapping[str, AccountSpec],
        *,
        processes: int,
        max_worker_mb: float,
        added: Added = MappingProxyType({}),
    ) -> None:
        self._setup, self._accounts, self._processes, self._max_mb = setup, accounts, processes, max_worker_mb
        self._added = added
        self.selector = selectors.DefaultSelector()
        self.restarts = Restarts()
        self.workers: list[WorkerProcess] = []
        self.losses = 0

    @property
    def working(self) -> int:
        """How many are up."""
        return sum(worker.up for worker in list(self.workers))

    def fill(self, now: float) -> None:
        """Starts those that are missing, not too often. Call a few times a second."""
        if self._processes:
            self.restarts.look(now, self.working)
        missing = self._processes - len(self.workers)
        if missing <= 0 or now < self.restarts.next_at:
            return
        self.restarts.begin(now)
        for _ in range(missing):
            try:
                self._start(now)
            except OSError as error:  # no descriptor, process or memory at the moment
                self.restarts.failed(error.strerror or str(error), self.working)
                return

    def _start(self, now: float) -> None:
        worker = WorkerProcess(self._setup, self._accounts, self._added, now)
        try:
            self.selector.register(worker.socket, selectors.EVENT_READ, worker)
        except OSError:
            worker.kill()
            raise
        self.workers.append(worker)
        self.listen(worker)

    def read(self, worker: WorkerProcess, now: float) -> list[Result] | None:
        """As `WorkerProcess.read`."""
        was_up = worker.up
        results = worker.read(now)
        if worker.up and not was_up:
            self.restarts.succeeded()
        return results

    def expect(self, now: float) -> None:
        """From now on they are heard: the time in which they must be up begins."""
        for worker in self.workers:
            worker.asked(now)

    def listen(self, worker: WorkerProcess) -> None:
        """Waits for what it has to say and, if something is unsent, until it takes more."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.wants_to_write else 0)
        self.selector.modify(worker.socket, events, worker)

    def failing(self, now: float) -> list[tuple[WorkerProcess, str]]:
        """Those to lose, and why: they hang, or were to be replaced and hold nothing more."""
        return [
            (worker, "hung" if hangs else "was replaced")
            for worker in self.workers
            if (hangs := worker.hangs(now)) or (worker.retiring and not worker.leases)
        ]

    def grown(self) -> list[tuple[WorkerProcess, str]]:
        """Those to lose, and why: they go on growing. One that has just grown is replaced once it is idle."""
        killed = []
        for worker in self.workers:
            memory = worker.memory_mb()
            if memory > 2 * self._max_mb:
                most = f"twice max_worker_memory_mb = {self._max_mb:.0f}"
                killed.append((worker, f"grew to {memory:.0f} MB, more than {most}"))
            elif memory > self._max_mb and not worker.retiring:
                log.warning("worker %d has grown to %.0f MB: replacing it", worker.process.pid, memory)
                worker.retiring = True
        return killed

    def close(self) -> None:
        """Kills them all."""
        for worker in self.workers:
            worker.kill()
        self.selector.close()

    def lose(self, worker: WorkerProcess, how: str, now: float) -> None:
        """Kills a worker; its leases are the caller's to take back."""
        self.selector.unregister(worker.socket)
        self.workers.remove(worker)
        failed, code, said = worker.failed_to_start(now), worker.process.poll(), worker.last_words()
        worker.kill()
        self.losses += 1
        if failed:
            told = how + ("" if code is None else f" with exit code {code}") + (f": {said}" if said else "")
            self.restarts.failed(told, self.working)
            return
        log.log(
            logging.INFO if worker.retiring and not worker.leases else logging.ERROR,
            "worker %d %s (exit %s); its %d leases are given out again",
            worker.process.pid,
            how,
            worker.process.returncode,
            worker.leases,
        )
