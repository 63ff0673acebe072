"""The SQLite sink: a table and a view for each stream, all deliveries of a call in one transaction."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crawlerd.sinks.deliveries import RowSink
from crawlerd.sinks.files import FILE_MODE
from crawlerd.sinks.respelling import are_respelled
from crawlerd.sinks.sqlite.rows import SqliteRows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from crawlerd.sink import Batch, Delivery
    from crawlerd.sinks.deliveries import Bounds, RowStamp

OWN_COLUMNS = ("account", "id", "data", "imported_at", "run", "deleted_at")
MAX_FIELDS = 495  # columns of a view besides ours, 500 in all: an API that invents names must not grow it for ever

_FIELD = re.compile(r'[^"\\\x00-\x1f\x7f]{1,63}')  # what a quoted label of a JSON path can be, in any SQLite
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# With the name of its column, which may itself look like a field.
_FIELD_IN_VIEW = re.compile(r"""json_extract\(data, '\$\.(?:(\w+)|"([^"]+)")'\)(?: END AS "[^"]*")?""")

# json_extract and not ->>, which SQLite before 3.38 cannot parse: it would refuse to open the whole file.
_VIEW = """CREATE VIEW IF NOT EXISTS "{table}_view" AS
SELECT account, id, {fields}imported_at, run, deleted_at FROM "{table}" """
_VIEW_FIELD = """CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.{label}') END AS "{column}", """


def sqlite_sink(path: Path, mode: int = FILE_MODE) -> RowSink:
    """Records in an SQLite database, for reading by any program while it is written.

    Table `<source>_<stream>`, primary key (account, id):
    - data: the object as JSON text, as the API wrote it but for insignificant whitespace. Earlier versions kept an
      object nested deeper than 1,000 levels as a BLOB of its text; its fields are NULL in the view.
    - imported_at: when the row was last changed by a run, as UTC text that sorts: "2026-01-31T09:30:00.000Z".
    - run: the run that did: its number, or one of the sink's own where that was given to another run before, by a
      frontier that was lost; `_crawlerd_run` has both.
    - change: what that run did to it: new, changed, unchanged, tombstoned; NULL when it was gone before as well;
      skipped when its new data could not be imported.
    - deleted_at: since when the object is known to be gone at the API, else NULL. Its last data is kept; data is NULL
      if it was never imported. A later import of the object clears it.

    View `<source>_<stream>_view`: account, id, one column for each top-level field, imported_at, run, deleted_at.
    Scalars are SQL values (true is 1; integers over 64 bits and long fractions are rounded, `data` has them exactly),
    nested values JSON text. Deleted objects are in it too: `WHERE deleted_at IS NULL` leaves them out. Columns appear
    as fields do, in the order of their first appearance, at most MAX_FIELDS. A field whose name is empty, has more
    than 63 characters, or a quotation mark, backslash or control character among them, has no column. A field named
    like an earlier column or one of OWN_COLUMNS, in any case, gets underscores appended until it differs: the object's
    own "id" is `id_`, for `id` is the record's key. The views belong to the sink: it replaces them.

    `_crawlerd_tally` has the totals of each run by stream, the runs by the numbers that the rows have.

    The database is opened or created; its directory must exist. SinkError when it cannot be used.

    mode: rights of its files.
    """
    rows = SqliteRows(path, mode)
    return RowSink(rows, Objects(rows))


class Objects:
    """The objects themselves, and a view of each stream that has a column for each of their fields."""

    def __init__(self, rows: SqliteRows) -> None:
        self._rows = rows
        self.reset()

    def reset(self) -> None:
        """See `Content.reset`."""
        self._fields: dict[str, dict[str, None]] = {}  # of each view, in order

    def put(self, table: str, stamp: RowStamp, batch: Batch, delivery: Delivery) -> None:
        """See `Content.put`."""
        self._widen(table, batch.fields)
        self._rows.put(table, stamp, batch, are_respelled)

    def sweep(self, table: str, bounds: Bounds, delivery: Delivery) -> None:
        """See `Content.sweep`."""
        self._rows.sweep(table, bounds)

    def _widen(self, table: str, fields: Iterable[str]) -> None:
        """Gives the view a column for each field that it can have one for."""
        execute = self._rows.database.connection.execute
        known = self._fields.get(table)
        if known is None:
            execute(_view(table, ()))
            view = execute("SELECT sql FROM sqlite_schema WHERE name = ?", (f"{table}_view",)).get
            found = (plain or odd.replace("''", "'") for plain, odd in _FIELD_IN_VIEW.findall(view))
            known = self._fields[table] = dict.fromkeys(found)
        new = [field for field in fields if field not in known and _FIELD.fullmatch(field)]
        columns = dict.fromkeys([*known, *new][:MAX_FIELDS]) if new else known
        if len(columns) > len(known):
            execute(f'DROP VIEW IF EXISTS "{table}_view"; {_view(table, columns)}')
            self._fields[table] = columns


def _view(table: str, fields: Iterable[str]) -> str:
    """The statement that makes the view. Earlier fields keep their column when later ones are added."""
    taken = set(OWN_COLUMNS)
    columns = ""
    for field in fields:
        column = field
        while column.lower() in taken:
            column += "_"
        taken.add(column.lower())
        label = field if _PLAIN.fullmatch(field) else '"{}"'.format(field.replace("'", "''"))
        columns += _VIEW_FIELD.format(label=label, column=column)
    return _VIEW.format(table=table, fields=columns)
