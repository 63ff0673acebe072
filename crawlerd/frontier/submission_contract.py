"""The part of a frontier about tasks that others have submitted: by a command, or through the inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from crawlerd.core.task import NewTask
    from crawlerd.frontier.contract import Committed
    from crawlerd.frontier.reports import Act

REJECTED = 1_000  # that are remembered, the newest


class InboxItem(NamedTuple):
    """An item of the inbox that a transaction has dealt with.

    number, put_at: tell it from all others, see `crawlerd.sinks.ack_queue.Item`.
    """

    number: int
    put_at: float
    rejected: bool


class Rejection(msgspec.Struct, frozen=True):
    """What was put into the inbox and is no task."""

    # its number in the inbox's file
    item: int
    # Unix seconds, by the clock of the program that put it
    put_at: float
    # what was put, cut
    text: str
    # why it is no task, and what to do
    reason: str
    # when it was rejected; Unix seconds
    at: float = 0.0
    # counts all rejections
    id: int = 0


class Chunk(NamedTuple):
    """Where submitted tasks come from, which their transaction notes.

    items, rejections: of the inbox.
    act: of a person, for the audit.
    """

    items: Sequence[InboxItem] = ()
    rejections: Sequence[Rejection] = ()
    act: Act | None = None


NO_CHUNK = Chunk()


class Submitted(NamedTuple):
    """What has come of tasks.

    added: that are new in the run. The others were asked for in it before.
    open: tasks of the run that are not done now.
    """

    run: int
    added: int
    open: int
    committed: Committed


class Submissions(Protocol):
    """See `crawlerd.frontier.contract.Frontier`."""

    @property
    def submitted_groups(self) -> Container[int]:
        """The groups of tasks, and of those that they led to, which others have submitted to runs that read on their
        own. Costs no read."""
        ...

    def submit(self, run: int, tasks: Sequence[NewTask], now: float, chunk: Chunk = NO_CHUNK) -> Submitted | None:
        """Adds tasks to a run; those that were asked for in it before are left out, whatever their kind says. None, and
        nothing is written, when it is not under way. One transaction, with what is noted of the chunk.

        In a run that reads on its own, they are in a group of their own, and so is all that they lead to.
        """
        ...

    def inbox_items(self) -> list[InboxItem]:
        """Those of the last chunk that was noted, which may be in the inbox still."""
        ...

    def note_chunk(self, chunk: Chunk, now: float) -> None:
        """Of a chunk without tasks. One transaction."""
        ...
