"""The SQLite sink: a table and a view for each stream, all deliveries of a call in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.erasure import Erased
from crawlerd.sinks.deliveries import RowSink
from crawlerd.sinks.file_errors import FILE_MODE
from crawlerd.sinks.respelling import are_respelled
from crawlerd.sinks.sqlite.rows import SqliteRows
from crawlerd.sinks.sqlite.views import Views

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from crawlerd.core.erasure import Erasure
    from crawlerd.sink import Batch, Delivery, Mark
    from crawlerd.sinks.deliveries import RowStamp, SweepBounds


def sqlite_sink(path: Path, mode: int = FILE_MODE, retain_tombstones: float | None = None) -> RowSink:
    """Records in an SQLite database, for reading by any program while it is written.

    Table `<source>_<stream>`, primary key (account, id):
    - data: the object as JSON text, as the API wrote it, except for insignificant whitespace. Earlier versions stored
      an object nested deeper than 1,000 levels as a BLOB of its text; its fields are NULL in the view.
    - imported_at: when the row was last changed by a run, as UTC text that sorts: "2026-01-31T09:30:00.000Z".
    - run: the number of that run, or a number of the sink's own if another run of a lost frontier had the same number;
      `_crawlerd_run` has both.
    - change: what that run did to it: new, changed, unchanged, tombstoned; NULL if it did not exist before either;
      skipped if its new data could not be imported.
    - deleted_at: since when the object is known to be deleted at the API, otherwise NULL. Its last data is kept; data
      is NULL if it was never imported. A later import of the object clears it.

    View `<source>_<stream>_view`: account, id, one column for each top-level field, imported_at, run, deleted_at.
    Scalars are SQL values (true is 1; integers over 64 bits and long fractions are rounded, `data` has them exactly),
    nested values JSON text. Deleted objects are in it too: `WHERE deleted_at IS NULL` leaves them out. Columns appear
    as fields do, in the order of their first appearance, at most MAX_FIELDS. A field whose name is empty, has more
    than 63 characters, or a quotation mark, backslash or control character among them, has no column. A field named
    like an earlier column or one of OWN_COLUMNS, in any case, gets underscores appended until it differs: the object's
    own "id" is `id_`, since `id` is the record's key. The views belong to the sink: it replaces them.

    `_crawlerd_tally` has the totals of each run by stream, with the same numbers of runs as in the rows.

    The database is opened or created; its directory must exist. Raises SinkError if it cannot be used.

    mode: permissions of its files.
    retain_tombstones: see `RowSink`.
    """
    rows = SqliteRows(path, mode)
    return RowSink(rows, StoredObjects(rows), retain_tombstones)


class StoredObjects:
    """Stores the objects themselves, with a view for each stream that has a column for each of their fields."""

    def __init__(self, rows: SqliteRows) -> None:
        self._rows = rows
        self._views = Views(rows.database)

    def reset(self) -> None:
        """See `Content.reset`."""
        self._views.reset()

    def put(self, table: str, stamp: RowStamp, batch: Batch, delivery: Delivery) -> None:
        """See `Content.put`."""
        self._views.widen(table, batch.fields)
        self._rows.put(table, stamp, batch, are_respelled)

    def sweep(self, table: str, bounds: SweepBounds, delivery: Delivery) -> None:
        """See `Content.sweep`."""
        self._rows.sweep(table, bounds)

    def forget(self, which: Erasure) -> Erased:
        """See `Content.forget`; nothing but rows is written."""
        return Erased(0, False)

    def end(self, deliveries: Sequence[Delivery], mark: Mark | None) -> None:
        """See `Content.end`; there is nothing left to do."""
