"""All that an author of a sink imports: what a sink receives and what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec

from crawlerd.core.errors import Refused, SinkError, SinkReplaced, StorageFailed, SyncFailed
from crawlerd.core.outcome import Batch, Skipped
from crawlerd.core.output import MISSING_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.core.erasure import Erased, Erasure
    from crawlerd.core.task import NewTask

__all__ = [
    "MISSING_KEYS",
    "Batch",
    "Delivery",
    "Mark",
    "Outbox",
    "Receipt",
    "Refused",
    "Sink",
    "SinkError",
    "SinkReplaced",
    "SinkState",
    "Skipped",
    "StorageFailed",
    "SyncFailed",
    "Totals",
]


class Receipt(NamedTuple):
    """What became of a batch that a sink has handed out; see `Outbox`.

    batch, token: of the task that was to send it.
    state: "done" when nothing is left to do in that task, "refused" when it gave up for this batch, "split" when what
        was sent is refused, "later" when it gave up for all that the receiver gets.
    """

    batch: int
    token: int
    state: Literal["done", "refused", "split", "later"]


class Delivery(msgspec.Struct, frozen=True):
    """What one completed task has yielded, on its way to a sink: first its records, then its sweeps and orphans.

    run, started: the run's number and when it began, in Unix seconds; only together do they name it, since a frontier
        that was lost counts its runs again from the start.
    task: the task's number, the same when the delivery comes again.
    skipped: records that were set aside; a sweep spares their keys.
    receipt: of a task that the sink itself has asked for.
    carries: tasks may follow from it; not from what is sent before its task has ended.
    orphans: streams with parents that are gone: all records below them are tombstoned, but for those that another run
        has written since this one began.
    """

    source: str
    account: str
    run: int
    started: float
    task: int
    batches: list[Batch]
    sweeps: list[tuple[str, str]] = []
    skipped: list[Skipped] = []
    receipt: Receipt | None = None
    carries: bool = True
    orphans: list[tuple[str, str]] = []


class Totals(NamedTuple):
    """What a run has done to one stream so far, each key counted once: by the run's last word on it, compared with what
    the sink held before the run.

    seen: keys that are there: new, changed and unchanged ones.
    new: were not there, or were tombstoned.
    changed: were there with other data.
    tombstoned: were there, and are not any more, by a tombstone, a sweep or as orphans.
    So what is there grows by new - tombstoned.
    """

    seen: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    tombstoned: int = 0


class Mark(NamedTuple):
    """What a frontier leaves in a sink with each write: so both know later whether the other one is what it was."""

    frontier: str  # its identity
    number: int  # of the group commit that follows the write


class SinkState(NamedTuple):
    """What a sink says of itself when it is opened."""

    identity: str  # made once, with the database, and copied with it
    number: int | None  # of the last mark of the frontier that asks; None when that has never written here
    fresh: bool  # no run has ever written here
    forgets: bool = False  # it is another one each time it is opened


class Sink(Protocol):
    """Where records go. Used by one thread.

    Idempotent by (stream, account, key): the same delivery may come twice, after a crash, and changes nothing.
    """

    def write(self, deliveries: list[Delivery], now: float, mark: Mark | None = None) -> dict[tuple[int, str], Totals]:
        """Makes all deliveries and the mark durable, in their order and together, before it returns the totals so far
        of each run and stream in them: by the run's number and the stream's name, over all accounts and sources.

        Raises SinkError (StorageFailed when the disk is the reason) and has written none of them; Refused when what one
        of them holds can never be written; SinkReplaced, from then on, when its file is not the one that was opened.
        now: Unix seconds.
        """
        ...

    def missing(self, delivery: Delivery, stream: str, prefix: str, after: str, parent: str = "") -> list[str]:
        """The first MISSING_KEYS keys, in ascending order of their UTF-8, that a sweep of the stream and prefix in this
        delivery would tombstone, of those behind `after`; with a parent, of those that lie below it. Called when the
        delivery was written. SinkError as of `write`."""
        ...

    def seen(self, delivery: Delivery, stream: str) -> int:
        """How many keys of the stream the delivery's run has seen so far, of its account alone; else as
        `Totals.seen`. SinkError as of `write`."""
        ...

    def forget(self, which: Erasure, most: int) -> Erased:
        """Deletes for good, durably, at most so many rows of what is meant, and lines that nobody has got yet; call it
        until there is no more, while no run writes to what is meant. Files that were handed over are not its. SinkError
        as of `write`."""
        ...

    def expire(self, now: float, most: int) -> bool:
        """Deletes at most so many rows, and files, of what is kept no longer by its own settings. Whether there may be
        more. SinkError as of `write`. now: Unix seconds."""
        ...

    def scrub(self, most_bytes: int | None) -> str | None:
        """Sees to it that what was deleted is not in free space of its database either. Why it may still be, if so.
        SinkError as of `write`.

        most_bytes: of a database that is written anew, which holds up whoever writes; None for any size.
        """
        ...

    def intact(self) -> bool:
        """Whether its file is still the one that was opened, in its place. Quick: asked before each group commit."""
        ...

    def state(self, frontier: str) -> SinkState:
        """What the sink is, and what it has of a frontier, by its identity. SinkError as of `write`."""
        ...

    def confirm(self, source: str, account: str, identity: str) -> str | None:
        """Notes, durably and once, whom the account's records come from. Who was noted before if it was another one:
        two of the same name must not be mixed. SinkError as of `write`."""
        ...

    def ended(self, run: int) -> None:
        """Nothing more of the run comes for now: what waits for company need not wait longer. Raises nothing."""
        ...

    def idle(self) -> None:
        """Nothing was written for some seconds: space that is taken for speed's sake is given back. Raises SyncFailed
        alone."""
        ...

    def close(self) -> None:
        """SinkError when something could not be put in its place; it is durable all the same."""
        ...


class Outbox(Protocol):
    """What a sink has besides that hands its records on by tasks: it keeps them until their receipts come, and knows
    which of them are in tasks. Used by the thread of its sink."""

    @property
    def waits_for_a_run(self) -> bool:
        """Something is not in any task: any delivery of a run, an empty one too, gives the sink the occasion."""
        ...

    def look_again(self) -> None:
        """Something was deleted from its database by others."""
        ...

    def take_errands(self) -> dict[int, list[NewTask]]:
        """The tasks that were asked for by `write` since the last call, by run, each a run of what was written. They
        must become tasks in the commit that follows."""
        ...

    def call_back(self, mark: Mark, runs: Callable[[int], bool]) -> None:
        """Finds what is in no task any more, when the sink was opened, or a run begins. SinkError as of `write`.

        mark: of the frontier's next commit. runs: whether a run of the frontier goes on.
        """
        ...
