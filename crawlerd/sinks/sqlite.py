"""The SQLite sink: a table and a view for each stream, all deliveries of a call in one transaction."""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import apsw
import msgspec

from crawlerd.sink import Batch, Delivery, SinkError, StorageFailed
from crawlerd.source import STREAM_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

OWN_COLUMNS = ("account", "id", "data", "imported_at", "run", "deleted_at")
MAX_FIELDS = 495  # columns of a view besides ours, 500 in all: an API that invents names must not grow it for ever
BUSY_SECONDS = 5.0  # how long another program's write lock is waited for
CHECKPOINT_BYTES = 16 << 20  # WAL size from which it is moved into the database
CHECKPOINT_WAIT_SECONDS = 0.1  # how long readers are waited for then
MAX_WAL_BYTES = 1 << 30  # WAL size from which nothing is written before a checkpoint succeeds
PAGE_BYTES = 8192  # 2,000-byte objects take a third less space and CPU than with 4,096

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
  PRIMARY KEY (account, id),
  CHECK (data IS NOT NULL OR deleted_at IS NOT NULL)
)"""

# json_extract and not ->>, which SQLite before 3.38 cannot parse: it would refuse to open the whole file.
_VIEW = """CREATE VIEW IF NOT EXISTS "{table}_view" AS
SELECT account, id, {fields}imported_at, run, deleted_at FROM "{table}" """
_VIEW_FIELD = """CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.{field}') END AS "{column}", """

# ?1 account, ?2 now, ?3 run. The last WHERE makes a repeated delivery write nothing at all.
_UPSERT = """INSERT INTO "{table}" (account, id, data, imported_at, run, deleted_at) {rows}
ON CONFLICT (account, id) DO UPDATE SET
  data = coalesce(excluded.data, data),
  imported_at = excluded.imported_at,
  run = excluded.run,
  deleted_at = iif(excluded.deleted_at IS NULL, NULL, coalesce(deleted_at, excluded.deleted_at))
WHERE run <> excluded.run
  OR data IS NOT coalesce(excluded.data, data)
  OR (deleted_at IS NULL) <> (excluded.deleted_at IS NULL)"""
_ALL_ROWS = """SELECT ?1, value ->> 0, nullif(value -> 1, 'null'), ?2, ?3,
  iif(json_type(value, '$[1]') = 'null', ?2, NULL) FROM jsonb_each(?4) WHERE true"""
_ONE_ROW = """VALUES (?1, ?4, iif(json_valid(?5), ?5, CAST(?5 AS BLOB)), ?2, ?3, iif(?5 IS NULL, ?2, NULL))"""


class SqliteSink:
    """Records in an SQLite database, for reading by any program while it is written.

    Table `<source>_<stream>`, primary key (account, id):
    - data: the object as JSON text; numbers and strings as the API wrote them. An object nested deeper than the 1000
      levels that SQLite's JSON reads is kept as a BLOB of its text; its fields are NULL in the view.
    - imported_at: when the row was last changed by a run, as UTC text that sorts: "2026-01-31T09:30:00.000Z".
    - run: the run that did.
    - deleted_at: since when the object is known to be gone at the API, else NULL. Its last data is kept; data is NULL
      if it was never imported. A later import of the object clears it.

    View `<source>_<stream>_view`: account, id, one column for each top-level field, imported_at, run, deleted_at.
    Scalars are SQL values (true is 1; integers over 64 bits and long fractions are rounded, `data` has them exactly),
    nested values JSON text. Deleted objects are in it too: `WHERE deleted_at IS NULL` leaves them out. Columns appear
    as fields do, in the order of their first appearance, at most MAX_FIELDS. A field whose name is no identifier of
    up to 63 ASCII letters, digits and underscores has no column. A field named like an earlier column or one of
    OWN_COLUMNS, in any case, gets underscores appended until it differs: the object's own "id" is `id_`, for `id` is
    the record's key. The views belong to the sink: it replaces them.

    The WAL is checkpointed every CHECKPOINT_BYTES. A program that keeps a read transaction open prevents that; at
    MAX_WAL_BYTES (plus one `write`) the sink refuses to write until it ends, rather than fill the disk.
    """

    def __init__(self, path: Path) -> None:
        """Opens or creates the database; its directory must exist. SinkError when it cannot be used."""
        self._path = path.absolute()
        self._streams: dict[tuple[str, str], dict[str, None]] = {}  # fields in the view, in order
        self._wal_bytes = 0
        self._checkpoint_at = CHECKPOINT_BYTES
        try:
            self._connection = connection = apsw.Connection(str(self._path))
        except apsw.Error as error:
            raise _failure(self._path, error) from error
        with self._failures_named():
            connection.set_busy_timeout(round(BUSY_SECONDS * 1000))
            connection.pragma("page_size", PAGE_BYTES)
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "full")  # WAL + NORMAL loses acknowledged writes when the power fails
            connection.pragma("cache_size", -8000)  # kB
            connection.pragma("temp_store", "memory")  # a full /tmp must not matter
            connection.pragma("journal_size_limit", 2 * CHECKPOINT_BYTES)
            self._page_bytes = connection.pragma("page_size")
            connection.set_wal_hook(self._committed)

    def write(self, deliveries: list[Delivery], now: float) -> None:
        """See `Sink.write`. A tombstone wins or loses by its place in the order, like any record.

        SinkError for a source or stream name that is not lower-case letters, digits and underscores, or that would
        share its table's or view's name with another; it names the file and says what to do in every other case.
        """
        at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        streams, self._streams = self._streams, {}  # after a failure they are read anew
        with self._failures_named():
            self._bound_wal()
            with self._transaction():
                for delivery in deliveries:
                    for batch in delivery.batches:
                        table = self._prepare(streams, delivery.source, batch)
                        self._upsert(table, (delivery.account, at, delivery.run), batch)
        self._streams = streams

    def close(self) -> None:
        """SinkError when the WAL cannot be moved into the database; the records stay durable in the WAL."""
        try:
            with self._failures_named():
                self._checkpoint()
        finally:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Not apsw's own, which keeps the GIL, and so stops the process, while it waits for a lock or for the disk."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _prepare(self, streams: dict[tuple[str, str], dict[str, None]], source: str, batch: Batch) -> str:
        """The name of the batch's table, after making it, and its view, fit the batch."""
        table = f"{source}_{batch.stream}"
        known = streams.get((source, batch.stream))
        if known is None:
            if not STREAM_NAME.fullmatch(source) or not STREAM_NAME.fullmatch(batch.stream):
                raise SinkError(f"{source[:80]!r} and {batch.stream[:80]!r} cannot name a table in {self._path}")
            if table.endswith("_view") or table in map("_".join, streams):
                raise SinkError(f"two streams would share the table or view {table} in {self._path}; rename one")
            self._connection.execute(_TABLE.format(table=table))
            self._connection.execute(_view(table, ()))
            view = self._connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (f"{table}_view",)).get
            known = dict.fromkeys(_FIELD_IN_VIEW.findall(view))
        new = [field for field in batch.fields if field not in known and _FIELD.fullmatch(field)]
        fields = dict.fromkeys([*known, *new][:MAX_FIELDS]) if new else known
        if len(fields) > len(known):
            self._connection.execute(f'DROP VIEW IF EXISTS "{table}_view"; {_view(table, fields)}')
        streams[source, batch.stream] = fields
        return table

    def _upsert(self, table: str, stamp: tuple[str, str, int], batch: Batch) -> None:
        try:
            self._connection.execute(_UPSERT.format(table=table, rows=_ALL_ROWS), (*stamp, batch.rows))
        except (apsw.SQLError, apsw.ConstraintError):  # one row that SQLite's JSON does not read fails them all
            rows = _split(batch.rows)
            if len(rows) != batch.count:
                raise SinkError(f"a batch for {table} in {self._path} is not {batch.count} pairs in JSON") from None
            self._connection.executemany(_UPSERT.format(table=table, rows=_ONE_ROW), [(*stamp, *row) for row in rows])

    def _committed(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._wal_bytes = pages * self._page_bytes
        return apsw.SQLITE_OK

    def _bound_wal(self) -> None:
        """Before a transaction and not after it: an error must mean that nothing was written."""
        if self._wal_bytes < self._checkpoint_at or self._checkpoint():
            return
        if self._wal_bytes >= MAX_WAL_BYTES:
            raise SinkError(
                f"{self._path}-wal has grown to {self._wal_bytes >> 20} MiB because another program keeps a "
                "transaction open on the database; end that program's transaction"
            )
        self._checkpoint_at = min(self._wal_bytes + CHECKPOINT_BYTES, MAX_WAL_BYTES)

    def _checkpoint(self) -> bool:
        """Moves the WAL into the database and starts it again; False when another program is in the way."""
        self._connection.set_busy_timeout(round(CHECKPOINT_WAIT_SECONDS * 1000))
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        except apsw.BusyError:
            return False
        finally:
            self._connection.set_busy_timeout(round(BUSY_SECONDS * 1000))
        self._wal_bytes = 0
        self._checkpoint_at = CHECKPOINT_BYTES
        return True

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise _failure(self._path, error, self._connection.system_errno) from error


def _failure(path: Path, error: apsw.Error, system_errno: int = 0) -> SinkError:
    """What to tell the person who is woken by it. system_errno: of the last I/O error, 0 if unknown."""
    reason = f"{error}; {os.strerror(system_errno)}" if system_errno else str(error)
    match error:
        case apsw.FullError():
            return StorageFailed(f"the disk of {path} is full; free some space", full=True)
        case apsw.IOError() | apsw.CantOpenError() if system_errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageFailed(f"the disk of {path} is full ({reason}); free some space", full=True)
        case apsw.IOError():
            return StorageFailed(f"the disk of {path} fails ({reason})", full=False)
        case apsw.CantOpenError() | apsw.ReadOnlyError():
            return SinkError(
                f"cannot write {path} ({reason}): does its directory exist, and may user {os.geteuid()} write "
                "the directory and the file?"
            )
        case apsw.BusyError():
            return SinkError(f"{path} is locked: another program has kept a write transaction open on it; end that")
        case apsw.CorruptError() | apsw.NotADBError():
            return SinkError(f"{path} is no intact database ({error}): restore it, or move it away and import in full")
        case _:
            return SinkError(f"cannot write {path}: {error}")


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
