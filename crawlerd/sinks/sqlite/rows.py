"""A table a stream in a sink's database: what is there, by account and key, and since which run."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
import msgspec

from crawlerd.sink import MISSING_KEYS, Batch, Delivery, Refused, Totals
from crawlerd.sinks.sqlite.database import CHANGE, Database, Tallies
from crawlerd.source import STREAM_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.sink import Mark, SinkState

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
# counted: all that was ever in the table is in the totals of runs, so that `check` may compare.
_STREAM = """CREATE TABLE IF NOT EXISTS _crawlerd_stream(
  name TEXT PRIMARY KEY, stream TEXT NOT NULL, counted INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO _crawlerd_stream VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET counted = counted AND NOT excluded.counted"""
# ?1 account, ?2 now, ?3 run. The last WHERE makes a repeated delivery write nothing at all. Keys and data are values of
# the statement, the data as bytes: SQLite parses none of it, which took half of the sink's time.
_UPSERT = """INSERT INTO "{table}" (account, id, data, imported_at, run, deleted_at, change)
SELECT ?1, column1, CAST(column2 AS TEXT), ?2, ?3, iif(column2 IS NULL, ?2, NULL), iif(column2 IS NULL, NULL, 'new')
FROM (VALUES {rows}) WHERE column1 IS NOT NULL
ON CONFLICT (account, id) DO UPDATE SET
  data = coalesce(excluded.data, data),
  imported_at = excluded.imported_at,
  run = excluded.run,
  deleted_at = iif(excluded.deleted_at IS NULL, NULL, coalesce(deleted_at, excluded.deleted_at)),
  change = {change}
WHERE run <> excluded.run
  OR data IS NOT coalesce(excluded.data, data)
  OR (deleted_at IS NULL) <> (excluded.deleted_at IS NULL)"""
_SIZES = (1, 4, 16, 50, 100, 250, 500, 1000)  # rows of a statement, the last ones empty: few statements to prepare
_CONFIRM = """CREATE TABLE IF NOT EXISTS _crawlerd_account(
  source TEXT NOT NULL, account TEXT NOT NULL, identity TEXT NOT NULL, PRIMARY KEY (source, account)) WITHOUT ROWID;
INSERT INTO _crawlerd_account VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET identity = identity RETURNING identity"""
# Rows that the run has not written, nor another one since it began: two imports may share a stream. ?1 account, ?3 run,
# ?4 and ?5 what keys begin with and what sorts behind those, ?6 when the run began.
SWEPT = "account = ?1 AND id >= ?4 AND id < ?5 AND run <> ?3 AND imported_at < ?6 AND deleted_at IS NULL"
# Runs up to this one may have been written by a version that did not keep the API's spelling.
_RESPELLED = """CREATE TABLE IF NOT EXISTS _crawlerd_respelled(run INTEGER NOT NULL);
INSERT INTO _crawlerd_respelled SELECT coalesce((SELECT max(id) FROM _crawlerd_run), ?1)
WHERE NOT EXISTS (SELECT 1 FROM _crawlerd_respelled)"""
_SWEEP = """UPDATE "{table}" SET imported_at = ?2, run = ?3, deleted_at = ?2, change = 'tombstoned' WHERE {swept}"""
_MISSING = """SELECT id FROM "{table}" WHERE {swept} ORDER BY id LIMIT ?7"""
_SEEN = """SELECT count(*) FROM "{table}"
WHERE account = ? AND run = ? AND change IN ('new', 'changed', 'unchanged')"""
_SPARE = """UPDATE "{table}" SET run = ?3, change = 'skipped'
WHERE account = ?1 AND id = ?4 AND run <> ?3 AND deleted_at IS NULL"""


class Stamp(NamedTuple):
    """What all rows of a delivery have in common; run: the sink's own number."""

    account: str
    at: str
    run: int


Bounds = tuple[str, str, int, str, str | bytes, str]  # a stamp, the beginning of keys and what is behind it, since when


class RowSink:
    """A sink as far as its rows go: `Sink.write` with its order, its counts and its one transaction, all or nothing.

    A subclass decides what the rows hold and what else the transaction writes. A tombstone wins or loses by its place
    in the order, like any record.
    """

    def __init__(self, path: Path) -> None:
        """Opens or creates the database; its directory must exist. SinkError when it cannot be used."""
        self._database = Database(path)
        self._tallies = Tallies(self._database)
        self._tables: dict[str, tuple[str, str]] = {}
        self._prepared: apsw.Connection | None = None
        self._last_respelled = 0

    def write(self, deliveries: list[Delivery], now: float, mark: Mark | None = None) -> dict[tuple[int, str], Totals]:
        """See `Sink.write`.

        Refused for a source or stream name that is not lower-case letters, digits and underscores, or that would share
        its table's name with another, and for a record that is too large for SQLite.
        """
        try:
            with self._database.marked(mark):
                self._prepare(deliveries)
                for delivery in deliveries:
                    try:
                        self._take(delivery, _text(now))
                    except apsw.TooBigError as error:
                        problem = f"a record is too large for {self._database.path}: {error}"
                        raise Refused(problem, delivery.task) from None
                return self._tallies.totals(deliveries)
        except BaseException:
            self._forget()
            raise

    def missing(self, delivery: Delivery, stream: str, prefix: str, after: str) -> list[str]:
        """See `Sink.missing`."""
        try:
            with self._database.transaction():
                statement = _MISSING.format(table=self._table(delivery, stream), swept=SWEPT)
                stamp = Stamp(delivery.account, "", self._tallies.run(delivery))
                first = max(prefix, f"{after}\0") if after else prefix
                bounds = (*stamp, first, _behind(prefix), _text(delivery.started), MISSING_KEYS)
                return [str(key) for (key,) in self._database.connection.execute(statement, bounds)]
        except BaseException:
            self._forget()
            raise

    def seen(self, delivery: Delivery, stream: str) -> int:
        """See `Sink.seen`."""
        try:
            with self._database.transaction():
                bindings = delivery.account, self._tallies.run(delivery)
                seen: int = self._database.connection.execute(
                    _SEEN.format(table=self._table(delivery, stream)), bindings
                ).get
                return seen
        except BaseException:
            self._forget()
            raise

    def intact(self) -> bool:
        """See `Sink.intact`."""
        return self._database.intact()

    def state(self, frontier: str) -> SinkState:
        """See `Sink.state`."""
        return self._database.state(frontier)

    def confirm(self, source: str, account: str, identity: str) -> str | None:
        """See `Sink.confirm`."""
        with self._database.transaction():
            noted: str = self._database.connection.execute(_CONFIRM, (source, account, identity)).get
        return None if noted == identity else noted

    def ended(self, run: int) -> None:
        """See `Sink.ended`; nothing waits here."""

    def close(self) -> None:
        """SinkError when the WAL cannot be moved into the database; what was written stays durable in the WAL."""
        self._database.close()

    def _forget(self) -> None:
        """What was made in a transaction that was rolled back is gone with it."""
        self._tables = {}
        self._prepared = None
        self._tallies.forget()

    def _prepare(self, deliveries: list[Delivery]) -> None:
        """Whatever a connection and a database need once."""
        connection = self._database.connection
        if connection is not self._prepared:
            self._tallies.open()
            connection.create_scalar_function("crawlerd_same", lambda *both: self._is_same(*both), 2)
            connection.execute(_RESPELLED, (min((each.run for each in deliveries), default=1) - 1,))
            self._last_respelled = connection.execute("SELECT run FROM _crawlerd_respelled").get
            self._prepared = connection

    def _take(self, delivery: Delivery, at: str) -> None:
        stamp = Stamp(delivery.account, at, self._tallies.run(delivery))
        for batch in delivery.batches:
            table = self._table(delivery, batch.stream)
            self._tallies.begin(stamp.run, batch.stream)
            if not len(batch.keys) == len(batch.data) == batch.count:
                problem = f"a batch of {batch.stream} for {self._database.path} is not {batch.count} pairs"
                raise Refused(problem, delivery.task)
            self._records(table, stamp, batch, delivery)
        for skipped in delivery.skipped:
            table = self._table(delivery, skipped.stream)
            self._database.connection.execute(_SPARE.format(table=table), (*stamp, skipped.key))
        for stream, prefix in delivery.sweeps:
            table = self._table(delivery, stream)
            self._tallies.begin(stamp.run, stream)
            self._sweep(table, (*stamp, prefix, _behind(prefix), _text(delivery.started)), delivery)

    def _table(self, delivery: Delivery, stream: str) -> str:
        """The name of the stream's table, after making it."""
        source, path = delivery.source, self._database.path
        table = f"{source}_{stream}"
        known = self._tables.get(table)
        if known is None:
            if not STREAM_NAME.fullmatch(source) or not STREAM_NAME.fullmatch(stream):
                raise Refused(f"{source[:80]!r} and {stream[:80]!r} cannot name a table in {path}", delivery.task)
            if table.endswith("_view"):
                raise Refused(f"{table} would share the name of a view in {path}; rename the stream", delivery.task)
            self._open(table, stream)
            self._tallies.count(table, stream)
            self._tables[table] = source, stream
        elif known != (source, stream):
            raise Refused(f"two streams would share the table {table} in {path}; rename one", delivery.task)
        return table

    def _open(self, table: str, stream: str) -> None:
        """Makes or upgrades it."""
        execute = self._database.connection.execute
        known = execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).get
        execute(_TABLE.format(table=table))
        execute(_STREAM, (table, stream, known is None))
        if not execute("SELECT 1 FROM pragma_table_info(?) WHERE name = 'change'", (table,)).fetchall():
            execute(f'ALTER TABLE "{table}" ADD COLUMN change TEXT')

    def _records(self, table: str, stamp: Stamp, batch: Batch, delivery: Delivery) -> None:
        """Writes the batch's rows as they are."""
        with self._tallies.inserting(table, stamp.run, batch.stream):
            for at in range(0, batch.count, _SIZES[-1]):
                self._upsert(table, stamp, batch.keys[at : at + _SIZES[-1]], batch.data[at : at + _SIZES[-1]])

    def _upsert(self, table: str, stamp: Stamp, keys: list[str], data: list[bytes | None]) -> None:
        size = next(each for each in _SIZES if each >= len(keys))
        values: list[Any] = [None] * (3 + 2 * size)
        values[:3] = stamp
        values[3 : 3 + 2 * len(keys) : 2] = keys
        values[4 : 4 + 2 * len(keys) : 2] = data
        self._database.connection.execute(_statement(table, size, self._last_respelled), values)

    def _is_same(self, old: Any, new: Any) -> bool:
        """Whether data that differ are the same, and only the spelling is another one. Asked for rows that a version
        wrote which did not keep the API's spelling; so it costs each row once."""
        return isinstance(old, str) and isinstance(new, str) and old.encode() in respellings(new.encode())

    def _sweep(self, table: str, bounds: Bounds, delivery: Delivery) -> None:
        """Tombstones the rows that SWEPT describes, with these bindings."""
        self._database.connection.execute(_SWEEP.format(table=table, swept=SWEPT), bounds)


def _text(seconds: float) -> str:
    """Unix seconds as UTC text that sorts."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _behind(prefix: str) -> str | bytes:
    """What sorts behind all keys that begin so: any blob sorts behind all text."""
    last = prefix.rstrip("\U0010ffff")
    if not last:
        return b""
    code = ord(last[-1]) + 1
    return last[:-1] + chr(0xE000 if code == 0xD800 else code)


@lru_cache(maxsize=1000)
def _statement(table: str, size: int, last_respelled: int) -> str:
    change = CHANGE.format(respelled=last_respelled)
    return _UPSERT.format(table=table, rows=",".join(["(?,?)"] * size), change=change)


def respellings(text: bytes) -> Iterator[bytes]:
    """What versions that did not keep the API's spelling made of a JSON text."""
    with suppress(ValueError, TypeError, OverflowError, RecursionError):
        yield msgspec.json.encode(msgspec.json.decode(text))
    with suppress(ValueError, TypeError, OverflowError, RecursionError):
        yield msgspec.json.encode(json.loads(text))  # where another record of the page was odd
