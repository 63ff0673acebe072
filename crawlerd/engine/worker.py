"""A worker process: performs leases on its threads, and dies with its parent."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import deque
from functools import cached_property
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.errors import Permanent
from crawlerd.core.log_lines import LogStyle
from crawlerd.core.outcome import (
    DONE,
    ERROR_LIMIT,
    LONG_WORK,
    NO_REQUEST,
    Bury,
    Complete,
    Defer,
    Made,
    Result,
    Retry,
)
from crawlerd.core.task import PART
from crawlerd.engine import log_output, redacting
from crawlerd.engine.allocator import free_large_buffers
from crawlerd.engine.attempt import NoRequest, OpenedWhenUsed, attempt
from crawlerd.engine.portions import is_large, portions
from crawlerd.engine.private_records import Private
from crawlerd.engine.wire import (
    OF_THE_GROUP,
    READ_BYTES,
    Done,
    Frames,
    Ping,
    Pong,
    Renamed,
    RunTerms,
    Setup,
    Stored,
    Work,
    frame,
    to_worker,
)
from crawlerd.sources.importing import imported, made

if TYPE_CHECKING:
    from crawlerd.core.configuration import AccountSpec
    from crawlerd.core.outcome import Outcome, Portion
    from crawlerd.core.task import Task
    from crawlerd.engine.attempt import AttemptApi, Client
    from crawlerd.source import Source

COALESCE_SECONDS = 0.001  # a result waits this long for others, since a message costs more than a task without work
COALESCE_RESULTS = 256
NO_TERMS = RunTerms()
MUCH = 50  # a result with more new tasks is sent at once
GARBAGE_OBJECTS = 10_000  # new objects between two garbage collections; a page of records makes thousands
NICE = 2  # lower priority than the main process, since all workers wait for it when it is late
OOM_SCORE = 500  # of 1,000: the kernel kills a worker, which can be replaced, before the main process
PR_SET_PDEATHSIG = 1
STDERR = 3  # index of the argument in sys.argv


class Outbox:
    """Results on their way to the main process."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._results: deque[Result] = deque()
        self._sending = threading.Lock()
        self._waiting = threading.Event()
        threading.Thread(target=self._flush_forever, name="outbox", daemon=True).start()

    def add(self, result: Result) -> None:
        self._results.append(result)
        outcome = result.outcome
        if len(self._results) >= COALESCE_RESULTS or (type(outcome) is Complete and _is_much(outcome)):
            self.flush()
        elif not self._waiting.is_set():
            self._waiting.set()

    def flush(self) -> None:
        with self._sending:
            results = [self._results.popleft() for _ in range(len(self._results))]
            if results:
                self._send(Done(results))

    def pong(self) -> None:
        with self._sending:
            self._send(Pong())

    def portion(self, portion: Portion) -> None:
        with self._sending:
            self._send(portion)

    def _send(self, message: Done | Pong | Portion) -> None:
        try:
            self._connection.sendall(frame(message))
        except ConnectionError:  # the main process is gone, so no one needs the result
            os._exit(0)

    def _flush_forever(self) -> None:
        while True:
            self._waiting.wait()
            time.sleep(COALESCE_SECONDS)  # lets further results come; no event says whether there will be any
            self._waiting.clear()
            self.flush()


def _is_much(outcome: Complete) -> bool:
    return bool(outcome.batches) or len(outcome.children) > MUCH or bool(outcome.skipped or outcome.gathers)


class Worker:
    """The threads of this process and what they share.

    A thread that takes a lease wakes one other thread if there are more leases, which does the same. So as many threads
    wake up as are needed while tasks wait for an API. If each lease woke a thread, then for tasks without waiting the
    first thread would do all the work, and waking the others would be wasted.
    """

    def __init__(self, setup: Setup, outbox: Outbox) -> None:
        self._accounts: dict[str, AccountSpec] = {}
        self._sources = {name: _source(name, setup) for name in setup.accounts}
        self._names = setup.accounts
        self._renamed: dict[str, str | None] = {}
        self._outbox = outbox
        self._clients: dict[str, Client] = {}
        self._client_lock = threading.Lock()
        self._threads = setup.threads
        self._forked = False
        os.register_at_fork(after_in_child=self._mark_forked)
        if any(source.client == "aws" for source in self._sources.values()):  # importing it early: it takes a second
            threading.Thread(target=self._client, args=("aws",), name="warm-up", daemon=True).start()
        self._leases: deque[tuple[int, str, AccountSpec | None, Task, float, RunTerms]] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = False
        self._answers: dict[int, SimpleQueue[str]] = {}  # answers to portions, by token
        for number in range(setup.threads):
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True).start()

    def add(self, work: Work) -> None:
        """Queues leases for the next free threads."""
        self._accounts |= {each.name: each for each in work.accounts}
        for batch in work.leases:
            account = self._accounts.get(batch.account.partition(PART)[0])  # kept: a later message may have a new key
            for token, task in enumerate(batch.tasks, batch.token):
                terms = work.terms.get(task.run, NO_TERMS)
                self._leases.append((token, batch.account, account, task, batch.latest, terms))
        self._ring()

    def rename(self, news: Renamed) -> None:
        """Accounts were added or removed."""
        self._renamed |= news.sources

    def stored(self, answer: Stored) -> None:
        """Passes the answer to a portion to the thread that waits for it."""
        if answers := self._answers.get(answer.token):
            answers.put(answer.refused)

    def _ring(self) -> None:
        if self._leases and not self._rung:
            self._rung = True
            self._bell.put(None)

    def _work(self) -> None:
        draw = random.Random().random  # noqa: S311 - jitter
        while True:
            self._bell.get()
            self._rung = False  # before looking at the leases, so that a lease added later rings again
            while True:
                try:
                    token, name, account, task, latest, terms = self._leases.popleft()
                except IndexError:
                    break
                self._ring()
                if latest and time.monotonic() > latest:
                    self._outbox.add(Result(token, None, unsent=True))
                    continue
                result = self._perform(token, name, account, task, draw(), terms)
                if self._forked:  # the handler has forked, and this is the child: it must not use the connection
                    os._exit(0)
                if type(result.outcome) is Complete and is_large(result.outcome):
                    result = self._send_ahead(result, result.outcome, task, name)
                self._outbox.add(result)

    def _send_ahead(self, result: Result, outcome: Complete, task: Task, account: str) -> Result:
        """Sends an outcome that is too large for one message in portions: each one after the one before is durable.
        Returns the result with what is left of the outcome; the caller sends it."""
        if not task.run:  # a check of credentials, whose records and tasks are not used
            return msgspec.structs.replace(result, outcome=Complete(identity=outcome.identity))
        token = result.token
        answers = self._answers[token] = SimpleQueue()
        try:
            for piece in portions(outcome, token):
                if isinstance(piece, Complete):
                    return msgspec.structs.replace(result, outcome=piece)
                self._outbox.portion(piece)
                if refused := answers.get():
                    raise Permanent(refused)
        except Permanent as error:
            kind = self._sources[self._accounts[account.partition(PART)[0]].source].kinds[task.kind]
            bury = Bury(f"Permanent: {error}"[:ERROR_LIMIT], stream=kind.stream)
            return msgspec.structs.replace(result, outcome=bury)
        finally:
            del self._answers[token]
        raise AssertionError("the last piece of an outcome is what is left of it")

    def _mark_forked(self) -> None:
        self._forked = True

    def _perform(
        self, token: int, name: str, account: AccountSpec | None, task: Task, jitter: float, terms: RunTerms
    ) -> Result:
        if account is None:
            return Result(token, Bury(f"account {name} is not configured"))
        if part := name.partition(PART)[2]:
            account = msgspec.structs.replace(account, part=part)
        source = self._sources[account.source]
        kind = source.kinds.get(task.kind)
        free = kind is not None and not kind.cost
        api: Any = NoRequest(lambda: self._api(source, account)) if free else self._api(source, account)
        private = None if terms.fields is None else Private(terms.fields)
        if private is not None:
            api.heard = private.hear
        begun = time.monotonic()
        try:
            outcome = attempt(
                source,
                account,
                api,
                task,
                jitter=jitter,
                source_of=self._source_of,
                added=terms.added,
                private=private,
            )
        except KeyboardInterrupt:  # raised by the handler itself, since workers ignore Ctrl-C
            outcome = Bury("Permanent: the handler raised KeyboardInterrupt")
        if isinstance(outcome, Bury | Defer | Retry) and kind:
            known = redacting.of(account, api, private, answers=False)  # a URL quotes no answer
            tried = redacting.tried(api.asked, api.done_at - api.sent_at, known)
            outcome = msgspec.structs.replace(outcome, stream=kind.stream, tried=tried)
        made = _made(api, outcome, begun)
        said = None if outcome is DONE else outcome
        return Result(token, said, api.sent_at, api.done_at, api.origin, False, made, begun)

    @cached_property
    def _source_names(self) -> dict[str, str]:
        """The source of each account. Made only when a task yields tasks for other accounts: there may be many."""
        return {account: name for name, accounts in self._names.items() for account in accounts.splitlines()}

    def _source_of(self, account: str) -> Source | None:
        name = self._renamed[account] if account in self._renamed else self._source_names.get(account)
        return None if name is None else self._sources[name]

    def _api(self, source: Source, account: AccountSpec) -> AttemptApi:
        client = self._clients.get(source.client)
        if client is None:
            return OpenedWhenUsed(lambda: self._client(source.client).open(source, account))
        return client.open(source, account)

    def _client(self, kind: str) -> Client:
        client = self._clients.get(kind)
        if client is None:
            with self._client_lock:
                client = self._clients.get(kind) or self._opened(kind)
                self._clients[kind] = client
        return client

    def _opened(self, kind: str) -> Client:
        """Imports and opens a client. Done late, since it takes 0.1 s and more, and some imports make no requests."""
        if kind == "aws":
            from crawlerd.clients.aws import AwsClient

            return AwsClient(connections=self._threads)
        from crawlerd.clients.http import HttpClient

        return HttpClient(connections=self._threads)


def _made(api: AttemptApi, outcome: Outcome, begun: float) -> Made | None:
    """The cost of an attempt that has just ended. begun: when it began; monotonic seconds."""
    if api.sent_at:
        return Made(api.done_at - api.sent_at, api.status, api.received)
    seconds = time.monotonic() - begun
    if isinstance(outcome, Retry) and outcome.fault == "connection":
        return Made(seconds)
    return Made(seconds, NO_REQUEST) if seconds >= LONG_WORK else None


def _source(name: str, setup: Setup) -> Source:
    entry, description = setup.descriptions.get(name, (name, None))
    place = setup.places.get(entry)
    if place is not None:
        return made(entry, imported(entry, *place), description)
    from crawlerd.sources.registry import load_source  # imported late: it reads the metadata of distributions

    return load_source(entry, description)


def serve(connection: socket.socket) -> None:
    """Reads messages until the main process closes the connection."""
    frames, outbox = Frames(), Outbox(connection)
    worker: Worker | None = None
    while data := connection.recv(READ_BYTES):
        for body in frames.feed(data):
            match to_worker.decode(body):
                case Work() as work:
                    assert worker is not None  # noqa: S101 - Setup comes first
                    worker.add(work)
                case Renamed() as news:
                    assert worker is not None  # noqa: S101 - Setup comes first
                    worker.rename(news)
                case Ping():
                    outbox.pong()
                case Stored() as answer:
                    assert worker is not None  # noqa: S101 - Setup comes first
                    worker.stored(answer)
                case Setup() as setup:
                    worker = Worker(setup, outbox)
                    gc.freeze()
                    gc.set_threshold(GARBAGE_OBJECTS)
                    said = find_stderr(int(sys.argv[STDERR])) if len(sys.argv) > STDERR else b""
                    log_output.use(setup.log, "warning", folds=False, alone=True)
                    log_output.repeat(said)
                    outbox.pong()


def give_way() -> None:
    """Gives the main process priority for the processor and for memory: all workers wait for it when it is late, and
    losing a worker costs little."""
    with contextlib.suppress(OSError):  # a hardened systemd unit may forbid it; then all have the same priority
        os.nice(NICE)
    with contextlib.suppress(OSError, ValueError), open("/proc/self/oom_score_adj", "rb+", buffering=0) as score:
        if int(score.read()) < OOM_SCORE:  # raising it needs no privilege
            score.write(b"%d" % OOM_SCORE)


def find_stderr(fd: int) -> bytes:
    """Redirects the standard streams to the main process' stderr. Until now they went to a file, which the main process
    reads when the worker cannot start; returns its content."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    said = b""
    with contextlib.suppress(OSError), open(os.dup(2), "rb") as file:
        file.seek(0)
        said = file.read()
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    for name in ("stdout", "stderr"):  # opened again: the old streams expect a seekable file, not a pipe or socket
        before = getattr(sys, name)
        again = open(  # noqa: SIM115 - stays open as long as the process
            before.fileno(), "w", buffering=1, encoding=before.encoding, errors=before.errors, closefd=False
        )
        setattr(sys, name, again)
    return said


def main() -> None:
    """`python -m crawlerd.engine.worker FD PARENT [STDERR]`, started by the worker pool."""
    fd, parent = int(sys.argv[1]), int(sys.argv[2])
    free_large_buffers()
    for number in OF_THE_GROUP:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_THE_GROUP)  # the main process has blocked them
    faulthandler.register(signal.SIGUSR1)
    give_way()
    log_output.use(LogStyle(), "warning", folds=False)  # for libraries and handlers, until the first message
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        with contextlib.suppress(ConnectionError):
            serve(socket.socket(fileno=fd))
    os._exit(0)  # without waiting for threads, whose results no one needs


if __name__ == "__main__":
    main()
