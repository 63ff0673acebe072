"""Reads the waiting tasks of a frontier, by queue: the ready tasks of one run in one bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from crawlerd.core.reasons import ASKED, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from crawlerd.core.task import Task

Queue = tuple[int, int]  # (bucket, run): the ready tasks of a run in a bucket
Key = tuple[int, int]  # (priority, seq): the place of a ready task in its queue
FIRST: Key = (-1, -1)  # before all tasks of a queue


class Bucket(NamedTuple):
    """A bucket with ready tasks."""

    id: int
    account: int
    name: str
    blocked_until: float  # Unix seconds
    reason: str = Reason.THROTTLED  # why it is blocked, or was the last time; the next field says it in words
    waits_for: str = ASKED


class Block(NamedTuple):
    """No task of a bucket may be leased for a while."""

    until: float  # Unix seconds
    reason: Reason = Reason.THROTTLED
    text: str = ASKED  # what it waits for, as a part of a sentence


class Wanted(NamedTuple):
    """A request for ready tasks of a queue."""

    queue: Queue
    after: Key
    most: int  # how many tasks


class WaitingTasks(Protocol):
    """Reads the waiting tasks. Part of `Frontier`. Paused tasks do not count as ready, except for `heads`."""

    def ready_queues(self, account: int | None) -> list[tuple[Bucket, int]]:
        """The queues of an account that have ready tasks, as (bucket, run). account: None for all accounts."""
        ...

    def queues_of(self, runs: Sequence[int]) -> list[tuple[Bucket, int]]:
        """The queues of these runs that have ready tasks, as (bucket, run)."""
        ...

    def sleeping_buckets(self, after: tuple[float, int], now: float, count: int) -> list[Bucket]:
        """Up to `count` buckets with ready tasks that may be leased from now, in the order of (blocked_until, id),
        after the key `after`."""
        ...

    def next_unblocked(self, now: float) -> float | None:
        """When the first of the blocked buckets with ready tasks may be leased from again."""
        ...

    def bucket(self, number: int) -> Bucket: ...
    def buckets(self, numbers: Sequence[int]) -> list[Bucket]:
        """The buckets of these numbers, in the same order; one round trip."""
        ...

    def runs_of(self, buckets: Sequence[int]) -> list[list[int]]:
        """The runs that have ready tasks in each of these buckets; one round trip."""
        ...

    def heads(self, queue: Queue, after: Key, count: int) -> list[Task]:
        """The queue's next `count` ready tasks after a key, the most urgent first."""
        ...

    def heads_many(self, wanted: Sequence[Wanted]) -> list[list[Task]]:
        """Like `heads` for several queues, in the same order; one round trip."""
        ...

    away: Callable[[str], None]
    """Called each second while a database server is waited for, with the trouble; with "" when it is back."""

    stopping: Event
    """Set when the process is to end: a database server is not waited for any more."""

    def next_due(self) -> float | None:
        """When the first delayed task is due."""
        ...
