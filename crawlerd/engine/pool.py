"""Worker processes as the dispatcher sees them: started, written to, read from, watched, killed, replaced."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from crawlerd.engine.wire import Done, Frames, Ping, Setup, Work, frame, from_worker

if TYPE_CHECKING:
    from crawlerd.core.outcome import Result
    from crawlerd.core.task import Handout

HANG_SECONDS = 10.0  # a worker that owes an answer for so long is killed
PING_SECONDS = 1.0
START_SECONDS = 60.0  # a worker that is not up by then hangs
PREFETCH_SECONDS = 0.020  # leases waiting in a worker cover what it does in this time …
PREFETCH_MOST = 1024  # … but are no more than this, since they come back when it dies
READ_BYTES = 1 << 20
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


class WorkerProcess:
    """One worker. leases: how many it holds. alone: it performs a suspect, and nothing beside it.

    Its socket never blocks the dispatcher.
    """

    def __init__(self, setup: Setup, now: float) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - this very interpreter and module
                [sys.executable, "-m", "crawlerd.engine.worker", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),  # stdout belongs to the command's own report
            )
        ours.setblocking(False)
        self.socket = ours
        self.threads = setup.threads
        self.leases = 0
        self.up = False
        self.retiring = False
        self.alone = False
        self._frames = Frames()
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
        return self.threads + min(PREFETCH_MOST, int(self._rate * PREFETCH_SECONDS)) - self.leases

    @property
    def wants_to_write(self) -> bool:
        return bool(self._unsent)

    def give(self, handouts: list[Handout]) -> None:
        self.leases += sum(len(handout.tasks) for handout in handouts)
        self.write(frame(Work(handouts)))

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
        """New results; None when the process is gone, or talks nonsense and must be."""
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
            self.up = True
        self._done += len(results)
        return results

    def hangs(self, now: float) -> bool:
        """Asks for a sign of life once a second, and says whether one has been owed for too long."""
        elapsed = now - self._done_since
        if elapsed > 0:
            self._rate = (self._rate + self._done / elapsed) / 2
            self._done, self._done_since = 0, now
        if self._asked_at is not None:
            return now - self._asked_at > (HANG_SECONDS if self.up else START_SECONDS)
        if now - self._heard_at >= PING_SECONDS:
            self._asked_at = now
            self.write(frame(Ping()))
        return False

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
