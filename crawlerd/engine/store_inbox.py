"""What other threads want of the store: its messages, and what may be noted with the next commit."""

from __future__ import annotations

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
from crawlerd.frontier.waiting_contract import Queue
from crawlerd.ratelimit.quota import Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crawlerd.core.task import Task
    from crawlerd.frontier.contract import OutageNote
    from crawlerd.ratelimit.adaptive import Learned

BACKLOG_TASKS, BACKLOG_BYTES = 8_000, 64 << 20  # outcomes waiting to be committed, beyond which leasing stops

T = TypeVar("T")


class Outcomes(msgspec.Struct, frozen=True):
    """Outcomes of leased tasks are to be committed.

    size: bytes that they weigh.
    portions: how many of them are `Ahead`.
    """

    group: list[Settled]
    size: int
    portions: int = 0


class Void(msgspec.Struct, frozen=True):
    """A lease ended without an outcome; what it has sent ahead is void."""

    task: int
    token: int


class Refill(msgspec.Struct, frozen=True):
    """More task heads of a queue are wanted."""

    queue: Queue
    count: int


class Wake(msgspec.Struct, frozen=True):
    """Sleeping buckets are wanted, up to `count`."""

    count: int


class Sleep(msgspec.Struct, frozen=True):
    """A bucket need not be in memory.

    heads: all tasks of it that the dispatcher has, by their numbers.
    until: nothing of it will start before; Unix seconds, None when it has only had its turn.
    """

    bucket: int
    heads: list[int]
    until: float | None


class AskQuota(msgspec.Struct, frozen=True):
    """Starts of a quota are wanted."""

    ask: Ask


class Signal(Enum):
    """Messages that say nothing but themselves."""

    CALL = auto()  # a function waits to be called
    STOP = auto()  # the thread is to end


class Notes(NamedTuple):
    """What goes with the next commit; see `Frontier.commit`."""

    blocked: dict[int, float]
    learned: dict[str, Learned]
    outages: dict[tuple[str, int], OutageNote | None]


Message = Outcomes | Void | Refill | Wake | Sleep | AskQuota | Signal
Call = tuple[Future[Any], "Callable[[], Any]"]


class StoreInbox:
    """Any thread may ask; what is taken out is for the store's own.

    messages: in the order in which they came.
    """

    def __init__(self) -> None:
        self.messages: SimpleQueue[Message] = SimpleQueue()
        self._calls: deque[Call] = deque()
        self._blocked: dict[int, float] = {}
        self._learned: dict[str, Learned] = {}
        self._outages: dict[tuple[str, int], OutageNote | None] = {}
        self._received = self._committed = 0
        self._received_bytes = self._committed_bytes = 0
        self._failed = False

    def commit(self, group: list[Settled]) -> None:
        """Outcomes of leased tasks, to be committed."""
        size = _size(group)
        self._received += len(group)
        self._received_bytes += size
        self.messages.put(Outcomes(group, size))

    def ahead(self, portion: Ahead) -> None:
        """A portion of the outcome of a leased task, to be kept. The answer is `DispatcherInbox.stored`."""
        size = weight(portion.outcome) + 2 * sum(len(text) for _, text in portion.entries)  # bound to a statement, too
        self._received += 1
        self._received_bytes += size
        self.messages.put(Outcomes([portion], size, 1))

    def void(self, task: int, token: int) -> None:
        """What the lease has sent ahead of an outcome that does not come is to be dropped."""
        self.messages.put(Void(task, token))

    def refill(self, queue: Queue, count: int) -> None:
        """Wants `count` more heads of a queue; they are sent to the dispatcher."""
        self.messages.put(Refill(queue, count))

    def wake(self, count: int) -> None:
        """Wants up to `count` sleeping buckets; they are sent to the dispatcher, which is told when that is done."""
        self.messages.put(Wake(count))

    def sleep(self, bucket: int, heads: Sequence[Task], until: float | None) -> None:
        """A bucket of which nothing is leased, and nothing will be before `until` (Unix seconds), need not be in
        memory. heads: all tasks of it that the dispatcher has. The answer is `DispatcherInbox.asleep`."""
        self.messages.put(Sleep(bucket, [task.seq for task in heads], until))

    def ask_quota(self, ask: Ask) -> None:
        """Wants starts of a quota; they are charged with the next commit, and then sent to the dispatcher."""
        self.messages.put(AskQuota(ask))

    def remember(self, key: str, learned: Learned) -> None:
        """Notes, with the next commit, what a limiter has found out."""
        self._learned[key] = learned

    def block(self, bucket: int, until: float) -> None:
        """Notes, with the next commit, that a bucket may not be leased from before `until` (Unix seconds)."""
        self._blocked[bucket] = until

    def note_outage(self, key: tuple[str, int], note: OutageNote | None) -> None:
        """Notes, with the next commit, an outage, or its end. key: origin and account, 0 for the whole origin."""
        self._outages[key] = note

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
        """Too much is waiting to be committed: nothing should be leased until `DispatcherInbox.has_room`."""
        return (
            self._received - self._committed > BACKLOG_TASKS
            or self._received_bytes - self._committed_bytes > BACKLOG_BYTES
        )

    # for the store

    def next_call(self) -> Call | None:
        try:
            return self._calls.popleft()
        except IndexError:  # after a failure, callers empty it as well
            return None

    @property
    def notes(self) -> bool:
        """Something was noted for the next commit."""
        return bool(self._blocked or self._learned or self._outages)

    def take_notes(self) -> Notes:
        """What was noted for the next commit."""
        notes = Notes(self._blocked, self._learned, self._outages)
        self._blocked, self._learned, self._outages = {}, {}, {}
        return notes

    def committed(self, tasks: int, size: int) -> None:
        """As many outcomes, that weigh as much, wait no longer."""
        self._committed += tasks
        self._committed_bytes += size

    def fail(self) -> None:
        """The store has stopped: whoever waits for an answer, now or later, is told so."""
        self._failed = True
        while call := self.next_call():
            call[0].set_exception(FrontierError("the store has stopped"))


def _size(group: list[Settled]) -> int:
    """About how many bytes of memory the outcomes take."""
    return sum(weight(settled.outcome) for settled in group if settled.outcome is not DONE)
