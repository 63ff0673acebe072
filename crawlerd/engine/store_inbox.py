"""Messages of other threads to the store, and notes for it to write with the next commit."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future
from enum import Enum, auto
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from crawlerd.core.errors import FrontierError
from crawlerd.core.outcome import DONE
from crawlerd.engine.portions import weight
from crawlerd.frontier.contract import Ahead, Settled
from crawlerd.frontier.waiting_contract import Block, Queue
from crawlerd.ratelimit.quota import Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crawlerd.core.task import Task
    from crawlerd.frontier.contract import OutageNote
    from crawlerd.ratelimit.adaptive import Learned

BACKLOG_TASKS, BACKLOG_BYTES = 8_000, 64 << 20  # when more outcomes wait for a commit, no more tasks are leased

T = TypeVar("T")


class Outcomes(msgspec.Struct, frozen=True):
    """Outcomes of leased tasks, to be committed.

    size: about how many bytes of memory they take.
    at: when they were received; monotonic seconds.
    portions: how many of them are `Ahead`.
    """

    group: list[Settled]
    size: int
    at: float
    portions: int = 0


class Void(msgspec.Struct, frozen=True):
    """A lease has ended without an outcome: its portions must be dropped."""

    task: int
    token: int


class Refill(msgspec.Struct, frozen=True):
    """The dispatcher wants more task heads of a queue."""

    queue: Queue
    count: int


class Wake(msgspec.Struct, frozen=True):
    """The dispatcher wants up to `count` buckets that are on disk."""

    count: int


class Sleep(msgspec.Struct, frozen=True):
    """A bucket may leave memory.

    heads: the numbers of all its tasks that the dispatcher has.
    block: until when none of its tasks will start; None when it has only had its turn.
    """

    bucket: int
    heads: list[int]
    block: Block | None


class AskQuota(msgspec.Struct, frozen=True):
    """The dispatcher wants starts of a quota."""

    ask: Ask


class Signal(Enum):
    """Messages without content."""

    CALL = auto()  # a function waits to be called
    STOP = auto()  # the thread must end


class Notes(NamedTuple):
    """Notes to write with the next commit; see `Frontier.commit`."""

    blocked: dict[int, Block]
    learned: dict[str, Learned]
    outages: dict[tuple[str, int], OutageNote | None]
    events: list[tuple[int, str]]


Message = Outcomes | Void | Refill | Wake | Sleep | AskQuota | Signal
Call = tuple[Future[Any], "Callable[[], Any]"]


class StoreInbox:
    """The messages and notes for the store. Any thread may send; only the store's thread takes messages out.

    messages: in the order of their arrival.
    """

    def __init__(self) -> None:
        self.messages: SimpleQueue[Message] = SimpleQueue()
        self._calls: deque[Call] = deque()
        self._blocked: dict[int, Block] = {}
        self._learned: dict[str, Learned] = {}
        self._outages: dict[tuple[str, int], OutageNote | None] = {}
        self._events: list[tuple[int, str]] = []
        self._received = self._committed = 0
        self._received_bytes = self._committed_bytes = 0
        self._failed = False

    def commit(self, group: list[Settled]) -> None:
        """Outcomes of leased tasks, to be committed."""
        size = _size(group)
        self._received += len(group)
        self._received_bytes += size
        self.messages.put(Outcomes(group, size, time.monotonic()))

    def ahead(self, portion: Ahead) -> None:
        """A portion of the outcome of a leased task, to be stored. The answer is `DispatcherInbox.stored`."""
        # Twice: the text itself, and its copy when it is bound to a statement.
        size = weight(portion.outcome) + 2 * sum(len(text) for _, text in portion.entries)
        self._received += 1
        self._received_bytes += size
        self.messages.put(Outcomes([portion], size, 0.0, 1))

    def void(self, task: int, token: int) -> None:
        """Drops the portions of a lease that has ended without an outcome."""
        self.messages.put(Void(task, token))

    def refill(self, queue: Queue, count: int) -> None:
        """Asks for `count` more heads of a queue; they are sent to the dispatcher."""
        self.messages.put(Refill(queue, count))

    def wake(self, count: int) -> None:
        """Asks for up to `count` buckets that are on disk. Their heads are sent to the dispatcher, and then
        `DispatcherInbox.woken`."""
        self.messages.put(Wake(count))

    def sleep(self, bucket: int, heads: Sequence[Task], block: Block | None) -> None:
        """A bucket without leased tasks may leave memory. The answer is `DispatcherInbox.asleep`.

        heads: all its tasks that the dispatcher has.
        block: until when none of them will start; None when it has only had its turn.
        """
        self.messages.put(Sleep(bucket, [task.seq for task in heads], block))

    def ask_quota(self, ask: Ask) -> None:
        """Asks for starts of a quota; they are charged with the next commit, and then sent to the dispatcher."""
        self.messages.put(AskQuota(ask))

    def remember(self, key: str, learned: Learned) -> None:
        """Stores with the next commit what a limiter has learned."""
        self._learned[key] = learned

    def block(self, bucket: int, block: Block) -> None:
        """Stores with the next commit that a bucket may not be leased from for a while."""
        self._blocked[bucket] = block

    def note_outage(self, key: tuple[str, int], note: OutageNote | None) -> None:
        """Stores with the next commit an outage, or its end. key: origin and account, 0 for the whole origin."""
        self._outages[key] = note

    def note_event(self, run: int, text: str) -> None:
        """Stores with the next commit what has happened to a run, for people."""
        self._events.append((run, text))

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Runs `function` on the store's thread, where the frontier may be used."""
        future: Future[T] = Future()
        self._calls.append((future, function))
        self.messages.put(Signal.CALL)
        if self._failed:
            self.fail()
        return future

    def stop(self) -> None:
        self.messages.put(Signal.STOP)

    @property
    def behind(self) -> bool:
        """Whether too many outcomes wait for a commit. If so, lease no task until `DispatcherInbox.has_room`."""
        return (
            self._received - self._committed > BACKLOG_TASKS
            or self._received_bytes - self._committed_bytes > BACKLOG_BYTES
        )

    # for the store

    def next_call(self) -> Call | None:
        try:
            return self._calls.popleft()
        except IndexError:  # after a failure, callers empty the queue as well
            return None

    @property
    def notes(self) -> bool:
        """Whether there are notes for the next commit."""
        return bool(self._blocked or self._learned or self._outages or self._events)

    def take_notes(self) -> Notes:
        """Takes out the notes for the next commit."""
        notes = Notes(self._blocked, self._learned, self._outages, self._events)
        self._blocked, self._learned, self._outages, self._events = {}, {}, {}, []
        return notes

    def committed(self, tasks: int, size: int) -> None:
        """Outcomes were committed. tasks: how many. size: their size in bytes, as in `Outcomes`."""
        self._committed += tasks
        self._committed_bytes += size

    def fail(self) -> None:
        """The store has stopped: callers that wait for an answer, now or later, get an error."""
        self._failed = True
        while call := self.next_call():
            call[0].set_exception(FrontierError("the store has stopped"))


def _size(group: list[Settled]) -> int:
    """About how many bytes of memory the outcomes take."""
    return sum(weight(settled.outcome) for settled in group if settled.outcome is not DONE)
