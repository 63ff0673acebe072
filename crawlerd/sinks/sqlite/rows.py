"""The rows of an SQLite sink: one table per stream, rows by account and key; one statement each writes and sweeps
them."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from crawlerd.sink import Refused
from crawlerd.sinks.file_errors import FILE_MODE
from crawlerd.sinks.respelling import are_respelled
from crawlerd.sinks.sqlite.database import ON_DELETE, Database
from crawlerd.sinks.sqlite.erasing import erase, expire
from crawlerd.sinks.sqlite.tallies import CHANGE, Tallies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from crawlerd.core.erasure import Erased, Erasure
    from crawlerd.sink import Batch, Delivery, Mark, SharedTransaction, SinkState, Totals
    from crawlerd.sinks.deliveries import RowStamp, Same, SweepBounds

# A rowid table: objects are appended, and only the key's index is in key order. WITHOUT ROWID was as fast for ascending
# keys; for random ones it took 26 us of CPU per record, not 7, and 9,400 bytes for a 2,000-byte object, not 2,800.
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
# counted: every change of the table is in the totals of runs, so `check` may compare them; -1: it was dropped.
_STREAM = """CREATE TABLE IF NOT EXISTS _crawlerd_stream(
  name TEXT PRIMARY KEY, stream TEXT NOT NULL, counted INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO _crawlerd_stream VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET counted = counted AND NOT excluded.counted"""
# Applied to a table when the first row with a parent comes: for other tables, the index would cost time and space.
_PARENT = """ALTER TABLE "{table}" ADD COLUMN parent TEXT;
CREATE INDEX "_crawlerd_below_{table}" ON "{table}"(account, parent) WHERE parent IS NOT NULL"""
# ?1 account, ?2 now, ?3 run. The last WHERE makes a repeated delivery write nothing at all. Keys and data are
# parameters, the data as bytes, so that SQLite parses none of it: that took half of the sink's time.
_UPSERT = """INSERT INTO "{table}" (account, id, data, imported_at, run, deleted_at, change{parent})
SELECT ?1, column1, CAST(column2 AS TEXT), ?2, ?3, iif(column2 IS NULL, ?2, NULL), iif(column2 IS NULL, NULL, 'new')
  {its_parent}
FROM (VALUES {rows}) WHERE column1 IS NOT NULL
ON CONFLICT (account, id) DO UPDATE SET
  data = coalesce(excluded.data, data),
  imported_at = excluded.imported_at,
  run = excluded.run,
  deleted_at = iif(excluded.deleted_at IS NULL, NULL, coalesce(deleted_at, excluded.deleted_at)),
  change = {change}
  {set_parent}
WHERE run <> excluded.run
  OR data IS NOT coalesce(excluded.data, data)
  OR (deleted_at IS NULL) <> (excluded.deleted_at IS NULL)
  {other_parent}"""
_NO_PARENT = dict.fromkeys(["parent", "its_parent", "set_parent", "other_parent"], "")
_WITH_PARENT = {
    "parent": ", parent",
    "its_parent": ", nullif(column3, '')",
    "set_parent": ", parent = coalesce(excluded.parent, parent)",
    "other_parent": "OR parent IS NOT coalesce(excluded.parent, parent)",
}
# rows per statement, the last ones empty, so that few statements are prepared
_SIZES = (1, 4, 16, 50, 100, 250, 500, 1000)
_CONFIRM = """CREATE TABLE IF NOT EXISTS _crawlerd_account(
  source TEXT NOT NULL, account TEXT NOT NULL, identity TEXT NOT NULL, PRIMARY KEY (source, account)) WITHOUT ROWID;
INSERT INTO _crawlerd_account VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET identity = identity RETURNING identity"""
# Two imports may share a stream. :first is the first key, :behind a value that sorts after the last one, :since when
# the run began.
_SWEPT = "account = :account AND {id} >= :first AND {id} < :behind AND deleted_at IS NULL"
_OTHERS = " AND run <> :run AND imported_at < :since"
_OWN = " AND (run = :run OR imported_at < :since)"
_BELOW = " AND parent = :parent"
# Runs up to this one may come from a version that did not keep the API's spelling.
_RESPELLED = """CREATE TABLE IF NOT EXISTS _crawlerd_respelled(run INTEGER NOT NULL);
INSERT INTO _crawlerd_respelled SELECT coalesce((SELECT max(id) FROM _crawlerd_run), ?1)
WHERE NOT EXISTS (SELECT 1 FROM _crawlerd_respelled)"""
_SWEEP = """UPDATE "{table}" SET imported_at = :at, run = :run, deleted_at = :at,
change = iif(run = :run AND (change IS NULL OR change = 'new'), NULL, 'tombstoned') WHERE {swept}"""
_FIND = """SELECT id FROM "{table}" WHERE {swept} ORDER BY {id} LIMIT :most"""
_KNOWN = """SELECT id, data, deleted_at, run FROM "{table}"
WHERE account = ? AND id IN (SELECT value FROM json_each(?))"""
_SEEN = """SELECT count(*) FROM "{table}"
WHERE account = ? AND run = ? AND change IN ('new', 'changed', 'unchanged')"""
_SPARE = """UPDATE "{table}" SET run = ?3, change = 'skipped'
WHERE account = ?1 AND id = ?4 AND run <> ?3 AND deleted_at IS NULL"""


class SqliteRows:
    """See `Rows`."""

    def __init__(self, path: Path, mode: int = FILE_MODE) -> None:
        """Opens or creates the database; its directory must exist. Raises SinkError if it cannot be used.

        mode: permissions of its files.
        """
        self.database = Database(path, mode)
        self._tallies = Tallies(self.database)
        self._prepared: apsw.Connection | None = None
        self._last_respelled = 0
        self._same: Same = are_respelled
        self._below: set[str] = set()  # tables whose rows have parents

    @property
    def name(self) -> str:
        return str(self.database.path)

    def transaction(self) -> AbstractContextManager[None]:
        return self.database.transaction()

    def join(self, shared: SharedTransaction, undone: Callable[[], None]) -> bool:
        """A file is never the frontier's database."""
        return False

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def marked(self, mark: Mark | None) -> AbstractContextManager[None]:
        return self.database.marked(mark)

    def prepare(self, first_run: int) -> None:
        connection = self.database.connection
        if connection is not self._prepared:
            self._below.clear()
            self._tallies.open()
            connection.create_scalar_function("crawlerd_same", lambda *both: self._is_same(*both), 2)
            connection.execute(_RESPELLED, (first_run - 1,))
            self._last_respelled = connection.execute("SELECT run FROM _crawlerd_respelled").get
            self._prepared = connection

    def reset(self) -> None:
        self._prepared = None
        self._below.clear()
        self._tallies.reset()

    @contextmanager
    def taking(self, delivery: Delivery) -> Iterator[None]:
        try:
            yield
        except apsw.TooBigError as error:
            raise Refused(f"a record is too large for {self.name}: {error}", delivery.task) from None

    def number(self, delivery: Delivery) -> int:
        return self._tallies.run(delivery)

    def make(self, table: str, stream: str) -> None:
        execute = self.database.connection.execute
        known = execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).get
        execute(_TABLE.format(table=table))
        execute(_STREAM, (table, stream, known is None))
        if not execute("SELECT 1 FROM pragma_table_info(?) WHERE name = 'change'", (table,)).fetchall():
            execute(f'ALTER TABLE "{table}" ADD COLUMN change TEXT')
        execute(ON_DELETE.format(table=table))
        self._tallies.count(table, stream)

    def begin(self, run: int, stream: str) -> None:
        self._tallies.begin(run, stream)

    def put(self, table: str, stamp: RowStamp, batch: Batch, same: Same) -> None:
        self._same = same
        with self._tallies.inserting(table, stamp.run, batch.stream):
            for at in range(0, batch.count, _SIZES[-1]):
                some = slice(at, at + _SIZES[-1])
                self._upsert(table, stamp, batch.keys[some], batch.data[some], batch.parents[some])

    def spare(self, table: str, stamp: RowStamp, key: str) -> None:
        self.database.connection.execute(_SPARE.format(table=table), (*stamp, key))

    def sweep(self, table: str, bounds: SweepBounds) -> None:
        if not bounds.parent or self._has_parents(table):
            self.database.connection.execute(_sweeping(_SWEEP, table, bounds), _bindings(bounds))

    def swept(self, table: str, bounds: SweepBounds, most: int | None = None) -> list[str]:
        if bounds.parent and not self._has_parents(table):
            return []
        bindings = {**_bindings(bounds), "most": -1 if most is None else most}
        rows = self.database.connection.execute(_sweeping(_FIND, table, bounds), bindings)
        return [str(key) for (key,) in rows]

    def known(self, table: str, account: str, keys: Sequence[str]) -> dict[str, tuple[str | None, int]]:
        rows: list[tuple[Any, ...]] = self.database.connection.execute(
            _KNOWN.format(table=table), (account, msgspec.json.encode(keys).decode())
        ).fetchall()
        return {str(key): (None if deleted_at else data, run) for key, data, deleted_at, run in rows}

    def seen(self, table: str, account: str, run: int) -> int:
        seen: int = self.database.connection.execute(_SEEN.format(table=table), (account, run)).get
        return seen

    def totals(self, deliveries: Iterable[Delivery]) -> dict[tuple[int, str], Totals]:
        return self._tallies.totals(deliveries)

    def may_be_respelled(self, run: int) -> bool:
        return run <= self._last_respelled

    def intact(self) -> bool:
        return self.database.intact()

    def state(self, frontier: str) -> SinkState:
        return self.database.state(frontier)

    def confirm(self, source: str, account: str, identity: str) -> str | None:
        with self.database.transaction():
            noted: str = self.database.connection.execute(_CONFIRM, (source, account, identity)).get
        return None if noted == identity else noted

    def forget(self, which: Erasure, most: int) -> Erased:
        return erase(self.database.connection.execute, which, most)

    def expire(self, before: str, most: int) -> Erased:
        with self.database.transaction():
            return expire(self.database.connection.execute, before, most)

    def scrub(self, most_bytes: int | None) -> str | None:
        return self.database.scrub(most_bytes)

    def idle(self) -> None:
        self.database.idle()

    def close(self) -> None:
        """Closes the database. Raises SinkError if the WAL cannot be moved into it; what was written stays durable in
        the WAL."""
        self.database.close()

    def _upsert(
        self, table: str, stamp: RowStamp, keys: list[str], data: list[bytes | None], parents: list[str]
    ) -> None:
        size = next(each for each in _SIZES if each >= len(keys))
        columns: list[list[Any]] = [keys, data, parents] if parents else [keys, data]
        values: list[Any] = [None] * (3 + len(columns) * size)
        values[:3] = stamp
        for place, column in enumerate(columns, 3):
            values[place : 3 + len(columns) * len(keys) : len(columns)] = column
        if parents and not self._has_parents(table):
            self.database.connection.execute(_PARENT.format(table=table))
            self._below.add(table)
        self.database.connection.execute(_statement(table, size, self._last_respelled, bool(parents)), values)

    def _has_parents(self, table: str) -> bool:
        if table not in self._below:
            found = self.database.connection.execute(
                "SELECT 1 FROM pragma_table_info(?) WHERE name = 'parent'", (table,)
            ).get
            if found is None:
                return False
            self._below.add(table)
        return True

    def _is_same(self, old: Any, new: Any) -> bool:
        """Called by SQLite. Data that an earlier version stored as a BLOB is never the same."""
        return isinstance(old, str) and isinstance(new, str) and self._same(old, new)


def _sweeping(statement: str, table: str, bounds: SweepBounds) -> str:
    """The statement with the conditions of a sweep. For rows below a parent, a plus sign keeps SQLite from using the
    index of keys, so that it uses that of parents."""
    key = "+id" if bounds.parent else "id"
    which = _SWEPT.format(id=key) + (_OWN if bounds.own else _OTHERS) + (_BELOW if bounds.parent else "")
    return statement.format(table=table, swept=which, id=key)


def _bindings(bounds: SweepBounds) -> dict[str, str | int | bytes]:
    return {**bounds._asdict(), "behind": _behind(bounds.prefix)}


def _behind(prefix: str) -> str | bytes:
    """A value that sorts after all keys with this prefix; any blob sorts after all text."""
    last = prefix.rstrip("\U0010ffff")
    if not last:
        return b""
    code = ord(last[-1]) + 1
    return last[:-1] + chr(0xE000 if code == 0xD800 else code)


@lru_cache(maxsize=1000)
def _statement(table: str, size: int, last_respelled: int, parents: bool) -> str:
    change = CHANGE.format(respelled=last_respelled)
    row, clauses = ("(?,?,?)", _WITH_PARENT) if parents else ("(?,?)", _NO_PARENT)
    return _UPSERT.format(table=table, rows=",".join([row] * size), change=change, **clauses)
