"""Everything that an author of a sink imports: what a sink receives, and what it must do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import msgspec

from crawlerd.core.errors import Refused, SinkError, SinkReplaced, StorageFailed, SyncFailed
from crawlerd.core.outcome import Batch, Skipped
from crawlerd.core.output import MISSING_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from crawlerd.core.erasure import Erased, Erasure
    from crawlerd.core.task import NewTask

__all__ = [
    "MISSING_KEYS",
    "Batch",
    "Delivery",
    "JoinedSink",
    "Mark",
    "Outbox",
    "Receipt",
    "Refused",
    "SharedTransaction",
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
    """The result of sending a batch that a sink has handed out; see `Outbox`.

    batch: the batch's number.
    token: the token of the task that was to send it.
    state: "done" if nothing is left to do in that task, "refused" if it gave up on this batch, "split" if the receiver
        refused the batch as a whole, "later" if it gave up on everything for this receiver.
    """

    batch: int
    token: int
    state: Literal["done", "refused", "split", "later"]


class Delivery(msgspec.Struct, frozen=True):
    """The output of one completed task, on its way to a sink: first its records, then its sweeps and orphans.

    source, account: the names of the task's source and account.
    run, started: the run's number, and when it began, in Unix seconds. Only both together identify it: after a frontier
        was lost, numbers begin again.
    task: the task's number, which is the same if the delivery comes again.
    batches: the records.
    sweeps: (stream, prefix) of each sweep.
    skipped: records that were set aside; a sweep does not tombstone their keys.
    receipt: for a task that the sink itself has requested.
    carries: False if it is sent before its task has ended; then the sink must not request tasks because of it.
    orphans: (stream, parent) for each deleted parent: all records below it are tombstoned, except those that another
        run has written since this one began.
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
    """What a run has done to one stream so far, compared with what the sink held before the run. Each key is counted
    once, by its last record in the run.

    seen: keys that exist: new, changed and unchanged ones.
    new: keys that did not exist before, or were tombstoned.
    changed: keys that existed with other data.
    unchanged: keys that existed with the same data.
    tombstoned: keys that existed and no longer do, by a tombstone, a sweep, or as orphans.

    The number of existing keys grows by new - tombstoned.
    """

    seen: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    tombstoned: int = 0


class Mark(NamedTuple):
    """What a frontier leaves in a sink with each write. It shows later whether the frontier and the sink still belong
    together."""

    frontier: str  # the identity of the frontier
    number: int  # the number of the group commit that follows the write


class SinkState(NamedTuple):
    """The state of a sink when it is opened."""

    identity: str  # made once, with the database, and copied with it
    number: int | None  # of the last mark of the frontier that asks; None if that frontier has never written here
    fresh: bool  # no run has ever written here
    forgets: bool = False  # it has another identity each time it is opened


class Sink(Protocol):
    """Where records go. Used by one thread.

    Writing is idempotent by (stream, account, key): after a crash, the same delivery may come again, and must change
    nothing.
    """

    def write(self, deliveries: list[Delivery], now: float, mark: Mark | None = None) -> dict[tuple[int, str], Totals]:
        """Makes all deliveries and the mark durable, in their order and all together.

        Returns, by the run's number and the stream's name, the totals so far of each run and stream in the deliveries,
        over all accounts and sources.

        Raises SinkError (StorageFailed if the disk is the reason), having written none of the deliveries; Refused if
        the data of one of them can never be written; and SinkReplaced, from then on, if its file is no longer the one
        that was opened.

        now: Unix seconds.
        """
        ...

    def missing(self, delivery: Delivery, stream: str, prefix: str, after: str, parent: str = "") -> list[str]:
        """The keys that a sweep of the stream and prefix in this delivery would tombstone. Called after the delivery
        was written. Raises SinkError as `write` does.

        Returns at most MISSING_KEYS keys, in ascending order of their UTF-8.

        after: only keys greater than this.
        parent: only keys below this parent; "" for all.
        """
        ...

    def seen(self, delivery: Delivery, stream: str) -> int:
        """How many keys of the stream the delivery's run has seen so far for its account; counted as `Totals.seen`.
        Raises SinkError as `write` does."""
        ...

    def forget(self, which: Erasure, most: int) -> Erased:
        """Deletes rows, and lines that nobody has received yet, for good and durably. Called until nothing is left,
        while no run writes the data. Files that were handed over to consumers are not touched. Raises SinkError as
        `write` does.

        which: what to delete.
        most: the most rows to delete in one call.
        """
        ...

    def expire(self, now: float, most: int) -> bool:
        """Deletes rows and files whose time to be kept, by the sink's own settings, is over. Returns whether there may
        be more. Raises SinkError as `write` does.

        now: Unix seconds.
        most: the most rows to delete in one call.
        """
        ...

    def scrub(self, most_bytes: int | None) -> str | None:
        """Removes deleted data from the free space of the sink's database. Returns why some may still be there, or
        None. Raises SinkError as `write` does.

        most_bytes: the greatest size of a database that may be rewritten, which blocks its writers; None for any size.
        """
        ...

    def intact(self) -> bool:
        """Whether its file is still the one that was opened, and in its place. Must be fast: called before each group
        commit."""
        ...

    def state(self, frontier: str) -> SinkState:
        """What the sink is, and what it has from a frontier. Raises SinkError as `write` does.

        frontier: the frontier's identity.
        """
        ...

    def confirm(self, source: str, account: str, identity: str) -> str | None:
        """Records, durably and once, who the account at the API is, since the records of two owners must not be mixed
        under one name. Returns the identity that was recorded before, if it is another one. Raises SinkError as `write`
        does."""
        ...

    def ended(self, run: int) -> None:
        """No more of the run comes for now: records that wait for others to make a batch need not wait longer. Raises
        nothing."""
        ...

    def idle(self) -> None:
        """Nothing was written for some seconds: the sink may free space that makes writing faster. Raises only
        SyncFailed."""
        ...

    def close(self) -> None:
        """Closes the sink. Raises SinkError if a file could not be put in its place; its data is durable even then."""
        ...


class SharedTransaction(Protocol):
    """The transaction of a frontier's next commit. What a sink writes in it is durable with the commit, or undone with
    it. Used by one thread.

    begun: a sink has begun it.
    """

    begun: bool

    def backend(self) -> tuple[int, str]:
        """The number of the server's process for its session, and when that process has begun."""
        ...

    def part(self, settings: Mapping[str, str], ended: Callable[[bool], None]) -> AbstractContextManager[Any]:
        """The session, a `psycopg.Connection`, for the statements of a sink. At the end, all of them have succeeded,
        or they are undone. Raises StorageFailed if the transaction cannot begin, and psycopg.Error.

        settings: of the session, for these statements.
        ended: called when the transaction has ended, with True if it was written.
        """
        ...

    def together(self, ended: Callable[[bool], None]) -> AbstractContextManager[None]:
        """The parts of a sink within it are undone together by an error; then `ended` is called with False, if there
        were any. Raises as `part` does."""
        ...

    def give_up(self) -> None:
        """Undoes the transaction if a sink has begun it, and no commit has ended it."""
        ...


class JoinedSink(Protocol):
    """The additional methods of a sink that can write in the transaction of the frontier's commit.

    joined: it writes in that transaction.
    undone: what was written last was undone with that transaction, and must be written again before the next commit.
    """

    joined: bool
    undone: bool

    def join(self, shared: SharedTransaction) -> None:
        """From now on, what `write` writes with a mark is durable when the transaction of the commit has ended, if the
        sink is in the same database. Raises SinkError as `write` does."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Several writes of which an error undoes all, if they are in the transaction of the commit. Raises SinkError
        as `write` does."""
        ...


class Outbox(Protocol):
    """The additional methods of a sink that passes its records on by tasks. It keeps the records until their receipts
    come, and knows which of them are in tasks. Used by the sink's thread."""

    @property
    def waits_for_a_run(self) -> bool:
        """Whether some records are not in any task. Any delivery of a run, even an empty one, lets the sink request a
        task for them."""
        ...

    def look_again(self) -> None:
        """Others have deleted something from its database."""
        ...

    def take_errands(self) -> dict[int, list[NewTask]]:
        """The tasks that `write` has requested since the last call, by run; each run is one whose deliveries were
        written. They must become tasks in the commit that follows."""
        ...

    def call_back(self, mark: Mark, runs: Callable[[int], bool]) -> None:
        """Finds records that are no longer in any task, when the sink was opened or a run begins. Raises SinkError as
        `write` does.

        mark: the mark of the frontier's next commit.
        runs: whether a run of the frontier is still under way.
        """
        ...
