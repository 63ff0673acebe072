"""The operations of a frontier on tasks that were submitted by a command or through the inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from crawlerd.core.task import NewTask
    from crawlerd.frontier.contract import Committed
    from crawlerd.frontier.reports import Act

REJECTED = 1_000  # how many of the newest rejections are remembered


class InboxItem(NamedTuple):
    """An item of the inbox that a transaction has handled.

    number, put_at: identify the item, see `crawlerd.sinks.ack_queue.Item`.
    """

    number: int
    put_at: float
    rejected: bool


class Rejection(msgspec.Struct, frozen=True):
    """An item of the inbox that is not a valid task."""

    # its number in the inbox's file
    item: int
    # Unix seconds, by the clock of the program that put it there
    put_at: float
    # the item, shortened
    text: str
    # why it is not a valid task, and what to do
    reason: str
    # when it was rejected; Unix seconds
    at: float = 0.0
    # counts all rejections
    id: int = 0


class Chunk(NamedTuple):
    """Where submitted tasks come from, stored in their transaction.

    items, rejections: the items of the inbox that were taken, and those that were rejected.
    act: what a person did, for the audit.
    """

    items: Sequence[InboxItem] = ()
    rejections: Sequence[Rejection] = ()
    act: Act | None = None


NO_CHUNK = Chunk()


class Submitted(NamedTuple):
    """The result of a submission.

    added: how many tasks are new in the run. It has had the others before.
    open: how many tasks of the run are not finished now.
    """

    run: int
    added: int
    open: int
    committed: Committed


class Submissions(Protocol):
    """See `crawlerd.frontier.contract.Frontier`."""

    @property
    def submitted_groups(self) -> Container[int]:
        """The groups of submitted tasks, and of the tasks that these have yielded, in runs that also read on their own.
        Costs no read."""
        ...

    def submit(self, run: int, tasks: Sequence[NewTask], now: float, chunk: Chunk = NO_CHUNK) -> Submitted | None:
        """Adds tasks to a run, except those that it has had before, whatever their kind says. Stores the chunk. Returns
        None, and writes nothing, when the run is not under way. One transaction.

        In a run that also reads on its own, these tasks, and all tasks that they yield, are in a group of their own.
        """
        ...

    def inbox_items(self) -> list[InboxItem]:
        """The items of the last chunk that was stored, which may still be in the inbox."""
        ...

    def note_chunk(self, chunk: Chunk, now: float) -> None:
        """Stores a chunk without tasks. One transaction."""
        ...
