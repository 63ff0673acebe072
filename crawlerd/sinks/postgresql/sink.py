"""The PostgreSQL sink: a table and a view for each stream, all deliveries of a call in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.erasure import Erased
from crawlerd.sinks.deliveries import RowSink
from crawlerd.sinks.postgresql.failures import Place
from crawlerd.sinks.postgresql.relations import relation
from crawlerd.sinks.postgresql.rows import PostgresRows
from crawlerd.sinks.postgresql.views import Views

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crawlerd.core.erasure import Erasure
    from crawlerd.sink import Batch, Delivery, Mark
    from crawlerd.sinks.deliveries import RowStamp, SweepBounds


def postgresql_sink(
    url: str, schema: str, name: str, types: Mapping[str, str], retain_tombstones: float | None = None
) -> RowSink:
    """Records in a PostgreSQL database. Raises SinkError if it cannot be used.

    View `<source>_<stream>_view`, for users: account, id, data as jsonb, imported_at, run, change, deleted_at, parent,
    drift, and a column for each top-level field, as text or of its configured type. If a value does not fit the
    type, it is NULL, and `drift` names its field. If PostgreSQL does not accept an object as jsonb (\\u0000, half of a
    surrogate pair, a number that is out of range), data and its fields are NULL. The views belong to the sink: it adds
    columns at their ends, and leaves their rights as they are.

    Table `<source>_<stream>`, primary key (account, id):
    - data: the object as JSON text, as the API wrote it, except for insignificant whitespace.
    - run, imported_at, change: of the run that last changed the row itself. A later run that found it unchanged is in
      a table of its own, and in the view.
    - deleted_at: since when the object is known to be deleted at the API, otherwise NULL. Its last data is kept.
    Names of more than 58 characters are cut, and end in a digest; `_crawlerd_stream` has all tables by stream. NUL and
    \\x01 in a key are \\x01\\x01 and \\x01\\x02, since PostgreSQL's text accepts no NUL.

    name: of the sink in the configuration.
    types: the configured types, by field, see `crawlerd.sinks.postgresql.typed_columns`.
    retain_tombstones: see `RowSink`.
    """
    rows = PostgresRows(Place(url, schema), name)
    return RowSink(rows, StoredRecords(rows, types), retain_tombstones)


class StoredRecords:
    """Stores the objects themselves, with a view for each stream that has a column for each of their fields."""

    def __init__(self, rows: PostgresRows, types: Mapping[str, str]) -> None:
        self._rows = rows
        self._views = Views(rows.database, types)
        self._generation = 0

    def reset(self) -> None:
        """See `Content.reset`."""
        self._views.reset()

    def put(self, table: str, stamp: RowStamp, batch: Batch, delivery: Delivery) -> None:
        """See `Content.put`."""
        if self._generation != self._rows.database.generation:
            self._views.reset()
            self._generation = self._rows.database.generation
        self._views.widen(relation(table), batch.fields)
        self._rows.put(table, stamp, batch, lambda old, new: old == new)

    def sweep(self, table: str, bounds: SweepBounds, delivery: Delivery) -> None:
        """See `Content.sweep`."""
        self._rows.sweep(table, bounds)

    def forget(self, which: Erasure) -> Erased:
        """See `Content.forget`; nothing but rows is written."""
        return Erased(0, False)

    def end(self, deliveries: Sequence[Delivery], mark: Mark | None) -> None:
        """See `Content.end`; there is nothing left to do."""
