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

COALESCE_SECONDS = 0.001  # results wait this long for company: a message for each no-op would cost more than the no-op
COALESCE_RESULTS = 256
NO_TERMS = RunTerms()
MUCH = 50  # new tasks that are worth a message
GARBAGE_OBJECTS = 10_000  # new ones that start a collection: a page is thousands
NICE = 2  # below the main process: what it is late with, all workers wait for
OOM_SCORE = 500  # of 1,000: the kernel kills a worker, which is replaced, before the main process
PR_SET_PDEATHSIG = 1
STDERR = 3  # the argument's place


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
            self.flush()  # it is worth a message
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
        except ConnectionError:  # the main process is gone, and nobody waits for anything
            os._exit(0)

    def _flush_forever(self) -> None:
        while True:
            self._waiting.wait()
            time.sleep(COALESCE_SECONDS)  # for company; no event tells that none will come
            self._waiting.clear()
            self.flush()


def _is_much(outcome: Complete) -> bool:
    return bool(outcome.batches) or len(outcome.children) > MUCH or bool(outcome.skipped or outcome.gathers)


class Worker:
    """The threads of this process and what they share.

    A thread that takes a lease while there are more rings for one other thread, which does the same. So as many come as
    are needed where tasks wait for an API; were each lease to wake one, tasks that wait for nothing would be performed
    by the first, and cost the waking of all.
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
        if any(source.client == "aws" for source in self._sources.values()):  # a second to import: before it is wanted
            threading.Thread(target=self._client, args=("aws",), name="warm-up", daemon=True).start()
        self._leases: deque[tuple[int, str, AccountSpec | None, Task, float, RunTerms]] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = False
        self._answers: dict[int, SimpleQueue[str]] = {}  # to portions, by token
        for number in range(setup.threads):
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True).start()

    def add(self, work: Work) -> None:
        """To be performed by the next threads that are free."""
        self._accounts |= {each.name: each for each in work.accounts}
        for batch in work.leases:
            account = self._accounts.get(batch.account.partition(PART)[0])  # a later one may have another key
            for token, task in enumerate(batch.tasks, batch.token):
                terms = work.terms.get(task.run, NO_TERMS)
                self._leases.append((token, batch.account, account, task, batch.latest, terms))
        self._ring()

    def rename(self, news: Renamed) -> None:
        """Which accounts there are has changed."""
        self._renamed |= news.sources

    def stored(self, answer: Stored) -> None:
        """A portion is durable, or nothing more of its outcome is wanted."""
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
            self._rung = False  # before a look at the leases: whoever adds one later rings again
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
                if self._forked:  # the handler has: two processes must not write to one connection
                    os._exit(0)
                if type(result.outcome) is Complete and is_large(result.outcome):
                    result = self._send_ahead(result, result.outcome, task, name)
                self._outbox.add(result)

    def _send_ahead(self, result: Result, outcome: Complete, task: Task, account: str) -> Result:
        """Sends an outcome that is too large for one message in portions, each when the one before is durable. What is
        to be sent then."""
        if not task.run:  # a check of credentials: nothing comes of it
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
        except KeyboardInterrupt:  # no Ctrl-C, which is ignored here: the handler's own
            outcome = Bury("Permanent: the handler raised KeyboardInterrupt")
        if isinstance(outcome, Bury | Defer | Retry) and kind:
            known = redacting.of(account, api, private, answers=False)  # a URL is made of tasks, and quotes no answer
            tried = redacting.tried(api.asked, api.done_at - api.sent_at, known)
            outcome = msgspec.structs.replace(outcome, stream=kind.stream, tried=tried)
        made = _made(api, outcome, begun)
        said = None if outcome is DONE else outcome
        return Result(token, said, api.sent_at, api.done_at, api.origin, False, made, begun)

    @cached_property
    def _source_names(self) -> dict[str, str]:
        """Of each account; not made before a task asks for others, since there may be many."""
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
        """Imported late: it takes 0.1 s and more, and an import without requests ends without it."""
        if kind == "aws":
            from crawlerd.clients.aws import AwsClient

            return AwsClient(connections=self._threads)
        from crawlerd.clients.http import HttpClient

        return HttpClient(connections=self._threads)


def _made(api: AttemptApi, outcome: Outcome, begun: float) -> Made | None:
    """What an attempt cost that has begun then and just ended."""
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
    from crawlerd.sources.registry import load_source  # with all that reads the metadata of distributions

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
    """Lets the main process go first: all wait for what it is late with, and a worker that is killed costs little."""
    with contextlib.suppress(OSError):  # a hardened unit may forbid it, and all are equals
        os.nice(NICE)
    with contextlib.suppress(OSError, ValueError), open("/proc/self/oom_score_adj", "rb+", buffering=0) as score:
        if int(score.read()) < OOM_SCORE:  # to raise it takes no privilege
            score.write(b"%d" % OOM_SCORE)


def find_stderr(fd: int) -> bytes:
    """From now on, what is written goes to the main process' stderr. What was said so far went to a file that the main
    process reads when the worker cannot start; returns it."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    said = b""
    with contextlib.suppress(OSError), open(os.dup(2), "rb") as file:
        file.seek(0)
        said = file.read()
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    for name in ("stdout", "stderr"):  # those before take a pipe, or the journal's socket, for a file that has places
        before = getattr(sys, name)
        again = open(  # noqa: SIM115 - as long as the process
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
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_THE_GROUP)  # blocked so far, by the main process
    faulthandler.register(signal.SIGUSR1)
    give_way()
    log_output.use(LogStyle(), "warning", folds=False)  # for libraries and handlers, until the first message
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        with contextlib.suppress(ConnectionError):
            serve(socket.socket(fileno=fd))
    os._exit(0)  # threads may be amid requests whose outcome nobody waits for


if __name__ == "__main__":
    main()
