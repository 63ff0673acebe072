"""The SQLite sink: a table and a view for each stream, all deliveries of a call in one transaction."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import apsw
import msgspec

from crawlerd.sink import Batch, Delivery, Refused, Totals
from crawlerd.sinks.database import CHANGE, Database, Tallies
from crawlerd.source import STREAM_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

OWN_COLUMNS = ("account", "id", "data", "imported_at", "run", "deleted_at")
MAX_FIELDS = 495  # columns of a view besides ours, 500 in all: an API that invents names must not grow it for ever

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_FIELD_IN_VIEW = re.compile(r"'\$\.(\w+)'")
_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)

# A rowid table: objects are appended, only the key's index is in key order. WITHOUT ROWID was as fast for ascending
# keys, but took 26 us of CPU a record and not 7 for random ones, and 9,400 bytes and not 2,800 for a 2,000-byte object.
_TABLE = """CREATE TABLE IF NOT EXISTS "{table}" (
  account     TEXT NOT NULL,
  id          TEXT NOT NULL,
  data        TEXT,
  imported_at TEXT NOT NULL,
  run         INTEGER NOT NULL,
  deleted_at  TEXT,
  change      TEXT,
  PRIMARY KEY (account, id),
  CHECK (data IS NOT NULL OR deleted_at IS NOT NULL)
)"""

# json_extract and not ->>, which SQLite before 3.38 cannot parse: it would refuse to open the whole file.
_VIEW = """CREATE VIEW IF NOT EXISTS "{table}_view" AS
SELECT account, id, {fields}imported_at, run, deleted_at FROM "{table}" """
_VIEW_FIELD = """CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.{field}') END AS "{column}", """

# ?1 account, ?2 now, ?3 run. The last WHERE makes a repeated delivery write nothing at all.
_UPSERT = f"""INSERT INTO "{{table}}" (account, id, data, imported_at, run, deleted_at, change) {{rows}}
ON CONFLICT (account, id) DO UPDATE SET
  data = coalesce(excluded.data, data),
  imported_at = excluded.imported_at,
  run = excluded.run,
  deleted_at = iif(excluded.deleted_at IS NULL, NULL, coalesce(deleted_at, excluded.deleted_at)),
  change = {CHANGE}
WHERE run <> excluded.run
  OR data IS NOT coalesce(excluded.data, data)
  OR (deleted_at IS NULL) <> (excluded.deleted_at IS NULL)"""
_ALL_ROWS = """SELECT ?1, value ->> 0, nullif(value -> 1, 'null'), ?2, ?3,
  iif(json_type(value, '$[1]') = 'null', ?2, NULL), iif(json_type(value, '$[1]') = 'null', NULL, 'new')
  FROM jsonb_each(?4) WHERE true"""
_ONE_ROW = """VALUES (?1, ?4, iif(json_valid(?5), ?5, CAST(?5 AS BLOB)), ?2, ?3, iif(?5 IS NULL, ?2, NULL),
  iif(?5 IS NULL, NULL, 'new'))"""
_SWEEP = """UPDATE "{table}" SET imported_at = ?2, run = ?3, deleted_at = ?2, change = 'tombstoned'
WHERE account = ?1 AND id >= ?4 AND id < ?5 AND run <> ?3 AND deleted_at IS NULL"""
_SPARE = """UPDATE "{table}" SET run = ?3, change = 'skipped'
WHERE account = ?1 AND id = ?4 AND run <> ?3 AND deleted_at IS NULL"""


class SqliteSink:
    """Records in an SQLite database, for reading by any program while it is written.

    Table `<source>_<stream>`, primary key (account, id):
    - data: the object as JSON text; numbers and strings as the API wrote them. An object nested deeper than the 1000
      levels that SQLite's JSON reads is kept as a BLOB of its text; its fields are NULL in the view.
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
    as fields do, in the order of their first appearance, at most MAX_FIELDS. A field whose name is no identifier of
    up to 63 ASCII letters, digits and underscores has no column. A field named like an earlier column or one of
    OWN_COLUMNS, in any case, gets underscores appended until it differs: the object's own "id" is `id_`, for `id` is
    the record's key. The views belong to the sink: it replaces them.

    `_crawlerd_tally` has the totals of each run by stream, the runs by the numbers that the rows have.
    """

    def __init__(self, path: Path) -> None:
        """Opens or creates the database; its directory must exist. SinkError when it cannot be used."""
        self._database = Database(path)
        self._tallies = Tallies(self._database)
        self._streams: dict[tuple[str, str], dict[str, None]] = {}  # fields in the view, in order

    def write(self, deliveries: list[Delivery], now: float) -> dict[tuple[int, str], Totals]:
        """See `Sink.write`. A tombstone wins or loses by its place in the order, like any record.

        Refused for a source or stream name that is not lower-case letters, digits and underscores, or that would share
        its table's or view's name with another, and for a record that is too large for SQLite.
        """
        at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        try:
            with self._database.transaction():
                for delivery in deliveries:
                    try:
                        self._take(delivery, at)
                    except apsw.TooBigError as error:
                        raise Refused(
                            f"a record is too large for {self._database.path}: {error}", delivery.task
                        ) from None
                return self._tallies.totals(deliveries)
        except BaseException:
            self._streams = {}  # what was made with the transaction is gone with it
            self._tallies.forget()
            raise

    def ended(self, run: int) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """SinkError when the WAL cannot be moved into the database; the records stay durable in the WAL."""
        self._database.close()

    def _take(self, delivery: Delivery, at: str) -> None:
        run = self._tallies.run(delivery)
        stamp = (delivery.account, at, run)
        for batch in delivery.batches:
            table = self._prepare(delivery, batch.stream, batch.fields)
            self._tallies.begin(run, batch.stream)
            self._upsert(table, stamp, batch, delivery.task)
        for stream in {skipped.stream for skipped in delivery.skipped}:
            table = self._prepare(delivery, stream, ())
            keys = [(*stamp, skipped.key) for skipped in delivery.skipped if skipped.stream == stream]
            self._database.connection.executemany(_SPARE.format(table=table), keys)
        for stream, prefix in delivery.sweeps:
            table = self._prepare(delivery, stream, ())
            self._tallies.begin(run, stream)
            self._database.connection.execute(_SWEEP.format(table=table), (*stamp, prefix, _behind(prefix)))

    def _prepare(self, delivery: Delivery, stream: str, fields: Sequence[str]) -> str:
        """The name of the stream's table, after making it, and its view, fit the fields."""
        source = delivery.source
        table = f"{source}_{stream}"
        known = self._streams.get((source, stream))
        if known is None:
            path = self._database.path
            if not STREAM_NAME.fullmatch(source) or not STREAM_NAME.fullmatch(stream):
                raise Refused(f"{source[:80]!r} and {stream[:80]!r} cannot name a table in {path}", delivery.task)
            if table.endswith("_view") or table in map("_".join, self._streams):
                raise Refused(f"two streams would share the table or view {table} in {path}; rename one", delivery.task)
            known = self._open(table, stream)
        new = [field for field in fields if field not in known and _FIELD.fullmatch(field)]
        columns = dict.fromkeys([*known, *new][:MAX_FIELDS]) if new else known
        if len(columns) > len(known):
            self._database.connection.execute(f'DROP VIEW IF EXISTS "{table}_view"; {_view(table, columns)}')
        self._streams[source, stream] = columns
        return table

    def _open(self, table: str, stream: str) -> dict[str, None]:
        """Makes or upgrades a table; the fields that its view has."""
        self._database.connection.execute(_TABLE.format(table=table))
        if not self._database.connection.execute(
            "SELECT 1 FROM pragma_table_info(?) WHERE name = 'change'", (table,)
        ).fetchall():
            self._database.connection.execute(f'ALTER TABLE "{table}" ADD COLUMN change TEXT')
        self._tallies.count(table, stream)
        self._database.connection.execute(_view(table, ()))
        view = self._database.connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (f"{table}_view",)).get
        return dict.fromkeys(_FIELD_IN_VIEW.findall(view))

    def _upsert(self, table: str, stamp: tuple[str, str, int], batch: Batch, task: int) -> None:
        try:
            self._database.connection.execute(_UPSERT.format(table=table, rows=_ALL_ROWS), (*stamp, batch.rows))
        except (apsw.SQLError, apsw.ConstraintError):  # one row that SQLite's JSON does not read fails them all
            rows = _split(batch.rows)
            if len(rows) != batch.count:
                path = self._database.path
                raise Refused(f"a batch for {table} in {path} is not {batch.count} pairs in JSON", task) from None
            self._database.connection.executemany(
                _UPSERT.format(table=table, rows=_ONE_ROW), [(*stamp, *row) for row in rows]
            )


def _behind(prefix: str) -> str | bytes:
    """What sorts behind all keys that begin so: any blob sorts behind all text."""
    last = prefix.rstrip("\U0010ffff")
    if not last:
        return b""
    code = ord(last[-1]) + 1
    return last[:-1] + chr(0xE000 if code == 0xD800 else code)


def _view(table: str, fields: Iterable[str]) -> str:
    """The statement that makes the view. Earlier fields keep their column when later ones are added."""
    taken = set(OWN_COLUMNS)
    columns = ""
    for field in fields:
        column = field
        while column.lower() in taken:
            column += "_"
        taken.add(column.lower())
        columns += _VIEW_FIELD.format(field=field, column=column)
    return _VIEW.format(table=table, fields=columns)


def _split(rows: str) -> list[tuple[str, str | None]]:
    """Key and JSON text (None for null) of each pair in a JSON array of pairs, as far as it is one.

    Nesting may have any depth: unlike every JSON parser at hand, it does not recurse.
    """
    pairs: list[tuple[str, str | None]] = []
    key = ""
    depth = start = 0
    for token in _JSON_TOKEN.finditer(rows):
        match token[0]:
            case "[" | "{":
                depth += 1
                if depth == 2:
                    start = token.end()
            case "," if depth == 2:
                key, start = rows[start : token.start()], token.end()
            case "]" | "}":
                if depth == 2:
                    data = rows[start : token.start()].strip()
                    with suppress(msgspec.DecodeError):
                        pairs.append((msgspec.json.decode(key, type=str), None if data == "null" else data))
                depth -= 1
    return pairs
