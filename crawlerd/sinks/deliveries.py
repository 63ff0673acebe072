"""What a delivery does to a sink of rows, whatever the database: its order, its names, its sweeps, and its totals.

A row holds the data of a stream, an account and a key. Each run does one thing to a row, determined by its last record
for it, compared with the state before the run:

- new: it did not exist, or was tombstoned; now it exists
- changed: it existed, and has other data now
- unchanged: it existed with the same data
- tombstoned: it existed, and does not any more, by a tombstone or a sweep
- nothing: it did not exist before, and does not now

The totals of a run and a stream count the rows accordingly. A sweep tombstones rows that neither the run nor, since its
beginning, another run has written. A skipped record keeps its row from being swept. Orphans are the rows below a
deleted parent: those that the run itself has written are tombstoned as well.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from crawlerd.core.erasure import Erased
from crawlerd.sink import MISSING_KEYS, Refused
from crawlerd.source import STREAM_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from crawlerd.core.erasure import Erasure
    from crawlerd.sink import Batch, Delivery, Mark, SharedTransaction, SinkState, Totals

    Same = Callable[[str, str], bool]  # whether two different JSON texts are the same data


class RowStamp(NamedTuple):
    """Values that all rows of a delivery share."""

    account: str
    at: str  # when they are written, as UTC text that sorts
    run: int  # the sink's own number of the run


class SweepBounds(NamedTuple):
    """The rows that a sweep or orphans concern. For the first three fields, see `RowStamp`."""

    account: str
    at: str
    run: int
    first: str  # keys from this one on
    prefix: str  # keys with this prefix
    since: str  # when the run began; rows that another run has written since are left out
    parent: str = ""  # rows below this parent; "" for all
    own: bool = False  # also rows that the run itself has written


class Rows(Protocol):
    """A sink's database: a table for each stream, with rows by account and key.

    All methods before `expire` must be called within `transaction`, or the transaction that `marked` begins. Raises
    SinkError for what the database refuses.
    """

    @property
    def name(self) -> str:
        """The name by which people know it."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """A transaction: durable at its end, or nothing is written."""
        ...

    def marked(self, mark: Mark | None) -> AbstractContextManager[None]:
        """A transaction that also leaves the mark."""
        ...

    def join(self, shared: SharedTransaction, undone: Callable[[], None]) -> bool:
        """Makes the following marked transactions parts of the shared one, if it is one of the same database. Returns
        whether it is.

        undone: called when what they have written was undone.
        """
        ...

    def together(self) -> AbstractContextManager[None]:
        """See `JoinedSink.together`."""
        ...

    def prepare(self, first_run: int) -> None:
        """Prepares the database, if it needs that.

        first_run: the lowest number of a run that is about to be written.
        """
        ...

    def reset(self) -> None:
        """Called after the last transaction was rolled back: what it has made is gone."""
        ...

    def taking(self, delivery: Delivery) -> AbstractContextManager[None]:
        """A block in which Refused is raised for data of the delivery that is too large for the database."""
        ...

    def number(self, delivery: Delivery) -> int:
        """The sink's own number of a delivery's run."""
        ...

    def make(self, table: str, stream: str) -> None:
        """Makes or upgrades a table. From then on, changes of its rows are counted for the stream."""
        ...

    def begin(self, run: int, stream: str) -> None:
        """Must be called before the first change of a run to a stream."""
        ...

    def put(self, table: str, stamp: RowStamp, batch: Batch, same: Same) -> None:
        """Writes the batch's rows; data that is None makes a tombstone. Rows that the run has already written with the
        same content are unchanged. If the batch has no parent for a row, the row keeps its own.

        same: decides about rows for which `may_be_respelled` is true.
        """
        ...

    def spare(self, table: str, stamp: RowStamp, key: str) -> None:
        """Keeps a row from being swept because its record was skipped."""
        ...

    def sweep(self, table: str, bounds: SweepBounds) -> None:
        """Tombstones the rows."""
        ...

    def swept(self, table: str, bounds: SweepBounds, most: int | None = None) -> list[str]:
        """The keys of the rows, in ascending order of their UTF-8; at most `most`."""
        ...

    def known(self, table: str, account: str, keys: Sequence[str]) -> dict[str, tuple[str | None, int]]:
        """The rows with these keys: the data (None if tombstoned) and the run that wrote it last."""
        ...

    def seen(self, table: str, account: str, run: int) -> int:
        """How many existing rows of the account the run has written."""
        ...

    def totals(self, deliveries: Iterable[Delivery]) -> dict[tuple[int, str], Totals]:
        """The totals of the deliveries' runs, for every stream that was begun."""
        ...

    def may_be_respelled(self, run: int) -> bool:
        """Whether data of that run may come from a version that did not keep the API's spelling."""
        ...

    def forget(self, which: Erasure, most: int) -> Erased:
        """Deletes at most `most` of the rows to forget."""
        ...

    def expire(self, before: str, most: int) -> Erased:
        """Deletes at most `most` rows that were tombstoned before then, in a transaction of its own."""
        ...

    def scrub(self, most_bytes: int | None) -> str | None:
        """See `Sink.scrub`."""
        ...

    def intact(self) -> bool: ...
    def idle(self) -> None: ...
    def state(self, frontier: str) -> SinkState: ...
    def confirm(self, source: str, account: str, identity: str) -> str | None: ...
    def close(self) -> None: ...


class Content(Protocol):
    """What the rows of a sink contain, and what else is written with them in the same transaction."""

    def put(self, table: str, stamp: RowStamp, batch: Batch, delivery: Delivery) -> None:
        """Writes a batch."""
        ...

    def sweep(self, table: str, bounds: SweepBounds, delivery: Delivery) -> None:
        """Tombstones rows."""
        ...

    def forget(self, which: Erasure) -> Erased:
        """Deletes a slice of the data to forget, apart from the rows, which still exist at that time."""
        ...

    def end(self, deliveries: Sequence[Delivery], mark: Mark | None) -> None:
        """Called when all deliveries of a transaction are written."""
        ...

    def reset(self) -> None:
        """Called after the last transaction was rolled back."""
        ...


class RowSink:
    """A `Sink` made of rows: it writes deliveries in order, in one transaction, completely or not at all.

    A tombstone takes effect by its place in the order, like any record.

    joined, undone: see `JoinedSink`.
    """

    def __init__(self, rows: Rows, content: Content, retain_tombstones: float | None = None) -> None:
        """retain_tombstones: seconds; None for without end."""
        self._rows, self._content, self._retain = rows, content, retain_tombstones
        self._bare = False  # everything apart from the rows to be forgotten is deleted
        self._tables: dict[str, tuple[str, str]] = {}
        self.joined = self.undone = False

    def join(self, shared: SharedTransaction) -> None:
        """See `JoinedSink.join`."""
        self.joined = self._rows.join(shared, self._undo)

    def together(self) -> AbstractContextManager[None]:
        """See `JoinedSink.together`."""
        return self._rows.together()

    def _undo(self) -> None:
        self.undone = True
        self._reset()

    def write(self, deliveries: list[Delivery], now: float, mark: Mark | None = None) -> dict[tuple[int, str], Totals]:
        """See `Sink.write`.

        Refused for a source or stream name that is not lower-case letters, digits and underscores, or that would share
        its table's name with another, and for a record that is too large for the database.
        """
        self.undone = False
        try:
            with self._rows.marked(mark):
                self._rows.prepare(min((each.run for each in deliveries), default=1))
                for delivery in deliveries:
                    with self._rows.taking(delivery):
                        self._take(delivery, _text(now))
                self._content.end(deliveries, mark)
                return self._rows.totals(deliveries)
        except BaseException:
            self._reset()
            raise

    def missing(self, delivery: Delivery, stream: str, prefix: str, after: str, parent: str = "") -> list[str]:
        """See `Sink.missing`."""
        try:
            with self._rows.transaction():
                table, run = self._table(delivery, stream), self._rows.number(delivery)
                first = max(prefix, f"{after}\0") if after else prefix
                bounds = SweepBounds(delivery.account, "", run, first, prefix, _text(delivery.started), parent)
                return self._rows.swept(table, bounds, MISSING_KEYS)
        except BaseException:
            self._reset()
            raise

    def seen(self, delivery: Delivery, stream: str) -> int:
        """See `Sink.seen`."""
        try:
            with self._rows.transaction():
                run = self._rows.number(delivery)
                return self._rows.seen(self._table(delivery, stream), delivery.account, run)
        except BaseException:
            self._reset()
            raise

    def forget(self, which: Erasure, most: int) -> Erased:
        """See `Sink.forget`."""
        try:
            with self._rows.transaction():
                if not self._bare:
                    erased = self._content.forget(which)
                    bare = not erased.more
                    erased = Erased(erased.deleted, True)
                else:
                    erased = self._rows.forget(which, most)
                    bare = erased.more
        except BaseException:
            self._reset()
            raise
        self._bare = bare
        return erased

    def expire(self, now: float, most: int) -> bool:
        """See `Sink.expire`."""
        if self._retain is None:
            return False
        try:
            return self._rows.expire(_text(now - self._retain), most).more
        except BaseException:
            self._reset()
            raise

    def scrub(self, most_bytes: int | None) -> str | None:
        """See `Sink.scrub`."""
        return self._rows.scrub(most_bytes)

    def intact(self) -> bool:
        """See `Sink.intact`."""
        return self._rows.intact()

    def state(self, frontier: str) -> SinkState:
        """See `Sink.state`."""
        return self._rows.state(frontier)

    def confirm(self, source: str, account: str, identity: str) -> str | None:
        """See `Sink.confirm`."""
        return self._rows.confirm(source, account, identity)

    def ended(self, run: int) -> None:
        """See `Sink.ended`; nothing waits in this sink."""

    def idle(self) -> None:
        """See `Sink.idle`."""
        self._rows.idle()

    def close(self) -> None:
        """See `Sink.close`."""
        self._rows.close()

    def _reset(self) -> None:
        self._tables = {}
        self._rows.reset()
        self._content.reset()

    def _take(self, delivery: Delivery, at: str) -> None:
        stamp = RowStamp(delivery.account, at, self._rows.number(delivery))
        for batch in delivery.batches:
            table = self._table(delivery, batch.stream)
            self._rows.begin(stamp.run, batch.stream)
            if not len(batch.keys) == len(batch.data) == batch.count:
                problem = f"a batch of {batch.stream} for {self._rows.name} is not {batch.count} pairs"
                raise Refused(problem, delivery.task)
            self._content.put(table, stamp, batch, delivery)
        for skipped in delivery.skipped:
            self._rows.spare(self._table(delivery, skipped.stream), stamp, skipped.key)
        since = _text(delivery.started)
        swept = [(stream, SweepBounds(*stamp, prefix, prefix, since)) for stream, prefix in delivery.sweeps]
        swept += [(stream, SweepBounds(*stamp, "", "", since, parent, own=True)) for stream, parent in delivery.orphans]
        for stream, bounds in swept:
            table = self._table(delivery, stream)
            self._rows.begin(stamp.run, stream)
            self._content.sweep(table, bounds, delivery)

    def _table(self, delivery: Delivery, stream: str) -> str:
        """Makes the stream's table, and returns its name."""
        source, where = delivery.source, self._rows.name
        table = f"{source}_{stream}"
        known = self._tables.get(table)
        if known is None:
            if not STREAM_NAME.fullmatch(source) or not STREAM_NAME.fullmatch(stream):
                raise Refused(f"{source[:80]!r} and {stream[:80]!r} cannot name a table in {where}", delivery.task)
            if table.endswith("_view"):
                raise Refused(f"{table} would share the name of a view in {where}; rename the stream", delivery.task)
            self._rows.make(table, stream)
            self._tables[table] = source, stream
        elif known != (source, stream):
            raise Refused(f"two streams would share the table {table} in {where}; rename one", delivery.task)
        return table


def _text(seconds: float) -> str:
    """Unix seconds as UTC text that sorts."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
