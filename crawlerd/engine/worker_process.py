"""One worker process as the dispatcher sees it: started, written to, read from, watched, killed."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.outcome import Portion
from crawlerd.core.task import PART
from crawlerd.engine.wire import OF_THE_GROUP, READ_BYTES, Done, Frames, Ping, Setup, Stored, Work, frame, from_worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.core.configuration import AccountSpec
    from crawlerd.core.outcome import Result
    from crawlerd.core.task import LeaseBatch
    from crawlerd.engine.wire import RunTerms

    Terms = Mapping[int, RunTerms]  # by the number of the run

HANG_SECONDS = 10.0  # a worker that does not answer for this time is killed
PING_SECONDS = 1.0
STEADY_SECONDS = 10.0  # a worker that dies after this time has not failed to start
GRACE_SHRINKS = 0.98  # factor for `grace` with each lease that is started in time
GRACE_SECONDS, GRACE_MOST = 0.250, 8.0  # least and most of `grace`
START_SECONDS = 60.0  # a worker that is not running after this time hangs
PREFETCH_SECONDS = 0.020  # a worker gets as many leases in advance as it performs in this time …
PREFETCH_MOST = 1024  # … but no more than this, since they are given out again when it dies
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
TOLD_BYTES = 300  # most bytes that are logged of the last output of a worker that could not start


class WorkerProcess:
    """One worker. Its socket never blocks the dispatcher.

    number: see `Dispatcher.worker_pids`.
    leases: how many tasks it has.
    up: it has said that it is running.
    outdated: it has an old setup, and retires when workers with the new one are running.
    retiring: it is replaced once it has no more leases.
    grew: it retires because of its memory.
    alone: it performs a suspect, and nothing else meanwhile.
    grace: seconds after its turn within which it must start a lease; otherwise it returns the lease. A worker that is
        late gets fewer leases; one that is late with a single lease gets more time.
    """

    def __init__(self, setup: Setup, accounts: Mapping[str, AccountSpec], terms: Terms, now: float) -> None:
        """Starts a worker. Raises OSError when the system has no process, file descriptor or memory for it.

        accounts: all accounts, by name; the worker gets each with its first lease.
        terms: the terms of runs; the worker gets those of its leases.
        """
        with ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.enter_context(ours)
            self._said = undo.enter_context(os.fdopen(os.memfd_create("worker-start"), "rb"))
            with theirs, os.fdopen(os.dup(sys.stderr.fileno()), "wb") as shared:
                their_fd, stderr = theirs.fileno(), shared.fileno()
                # The worker inherits this mask, so that no signal to the group kills it before it ignores them.
                before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_THE_GROUP)
                undo.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
                self.process = subprocess.Popen(  # noqa: S603 - the same interpreter, and a module of this package
                    # -P: otherwise a file such as types.py in the current folder would replace Python's own module
                    [sys.executable, "-P", "-m", "crawlerd.engine.worker", *map(str, (their_fd, os.getpid(), stderr))],
                    pass_fds=[their_fd, stderr],
                    stdin=subprocess.DEVNULL,
                    stdout=self._said,  # until it is running; then stderr, since stdout is for the command's report
                    stderr=self._said,
                )
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            undo.pop_all()
        ours.setblocking(False)
        self.socket = ours
        self._started_at = now
        self._useful = False
        self.number = 0
        self.threads = setup.threads
        self.leases = 0
        self.up = False
        self.outdated = False
        self.retiring = self.grew = False
        self.alone = False
        self.grace = GRACE_SECONDS
        self._most = math.inf  # most leases, while it is late
        self._late_at = -math.inf
        self._accounts, self._terms = accounts, terms
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
        """How many more leases it may get: one for each thread, and the work of a few milliseconds in advance."""
        if not self.up or self.retiring or self.alone:
            return 0
        return int(min(self._capacity, self._most)) - self.leases

    @property
    def _capacity(self) -> int:
        return self.threads + min(PREFETCH_MOST, int(self._rate * PREFETCH_SECONDS))

    def started(self, now: float, *, late: bool) -> None:
        """It has started a lease. late: it was too late, and has returned it."""
        if not late:
            if self._most < self._capacity:
                self._most += 1 / self._most
            self.grace = max(GRACE_SECONDS, self.grace * GRACE_SHRINKS)
        elif now - self._late_at > self.grace:  # several leases that are late at the same time count once
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
        self._told |= news  # an account with a renewed key is a new object, and is sent again
        runs = {task.run for each in leases for task in each.tasks if task.run in self._terms} if self._terms else ()
        terms = {run: self._terms[run] for run in runs}
        self.write(frame(Work(leases, [each for each in news.values() if each is not None], terms)))

    def write(self, data: bytes = b"") -> None:
        """Sends as much data as the socket accepts now, and the rest when it is writable again."""
        self._unsent += data
        try:
            sent = self.socket.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:  # the worker has died, which `read` will report
            sent = len(self._unsent)
        del self._unsent[:sent]

    def read(self, now: float) -> list[Result] | None:
        """Reads new results. None when the process is gone, or sends invalid messages and must be killed."""
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
                self._said.close()  # the worker has written its early output to stderr by itself
        self._done += len(results)
        self._useful = self._useful or bool(results)
        return results

    def portions(self) -> list[Portion]:
        """The portions that `read` has received since the last call."""
        if not self._portions:
            return self._portions
        portions, self._portions = self._portions, []
        return portions

    def answer(self, token: int, refused: str) -> None:
        """Answers a portion: the worker may send the next one, unless `refused` says why not."""
        self.write(frame(Stored(token, refused)))

    def failed_to_start(self, now: float) -> bool:
        """Whether a worker that was lost had failed to start, so that no task is to blame."""
        return not self.up or not (
            self._useful or self.leases or self.retiring or now - self._started_at > STEADY_SECONDS
        )

    def last_words(self) -> str:
        """The last line that it wrote before it was running; empty when there is none."""
        if self._said.closed:
            return ""
        fd = self._said.fileno()
        said = os.pread(fd, TOLD_BYTES, max(0, os.fstat(fd).st_size - TOLD_BYTES)).decode(errors="replace")
        lines = ["".join(filter(str.isprintable, line)).strip() for line in said.split("\n")]
        return next(filter(None, reversed(lines)), "")

    def hangs(self, now: float) -> bool:
        """Sends a Ping once a second, and returns whether an answer is overdue."""
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
        """Resident memory in MiB; 0 when the process is gone."""
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
