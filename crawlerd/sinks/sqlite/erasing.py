"""Rows of a sink that are deleted for good: data to forget, and old tombstones."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from crawlerd.core.erasure import Erased, LineMatcher
from crawlerd.sink import SinkError
from crawlerd.sinks.sqlite.tallies import note_forgotten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from crawlerd.core.erasure import Erasure

    Execute = Callable[..., Any]

BUSY_MILLISECONDS = 10_000
LINES = 1_000  # lines that are read in one transaction

_TABLES = "SELECT name, stream FROM _crawlerd_stream WHERE counted <> -1 ORDER BY name"
_THERE = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?)"
_HAS_PARENTS = "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?) WHERE name = 'parent')"
# The next account of a table. Its rows are found by the index of accounts and keys, however many there are.
_NEXT = 'SELECT min(account) FROM "{table}" WHERE account > ? AND account < ?'
_ALL = 'SELECT rowid FROM "{table}" WHERE account = :account LIMIT :most'
_KEY = 'SELECT rowid FROM "{table}" WHERE account = :account AND id = :key LIMIT :most'
_BELOW = 'SELECT rowid FROM "{table}" WHERE account = :account AND parent = :key LIMIT :most'
_LIVE = 'SELECT count(*) FROM "{table}" WHERE deleted_at IS NULL AND rowid IN (SELECT value FROM json_each(?))'
# Deleting a row that is not tombstoned makes it another sink, see `crawlerd.sinks.sqlite.database`.
_TOMBSTONE = """UPDATE "{table}" SET deleted_at = coalesce(deleted_at, imported_at)
WHERE rowid IN (SELECT value FROM json_each(?))"""
_DELETE = 'DELETE FROM "{table}" WHERE rowid IN (SELECT value FROM json_each(?))'
_OLD_INDEX = """CREATE INDEX IF NOT EXISTS "_crawlerd_gone_{table}" ON "{table}"(deleted_at)
WHERE deleted_at IS NOT NULL"""
_OLD = """DELETE FROM "{table}" WHERE rowid IN (
SELECT rowid FROM "{table}" WHERE deleted_at IS NOT NULL AND deleted_at < ? LIMIT ?)"""
_LAST = "\U0010ffff"


def tables(execute: Execute, which: Erasure | None = None) -> list[tuple[str, str]]:
    """The tables of streams, with their streams."""
    if not execute(_THERE, ("_crawlerd_stream",)).get:
        return []
    found = [(str(name), str(stream)) for name, stream in execute(_TABLES).fetchall()]
    return [each for each in found if which is None or which.of_table(*each)]


def erase(execute: Execute, which: Erasure, most: int) -> Erased:
    """Deletes at most `most` rows, within a transaction."""
    count = 0
    for table, stream in tables(execute, which):
        for account in _accounts(execute, table, which):
            rows = _rows(execute, table, account, which, most - count)
            if rows:
                text = msgspec.json.encode(rows).decode()
                note_forgotten(execute, stream, execute(_LIVE.format(table=table), (text,)).get)
                execute(_TOMBSTONE.format(table=table), (text,))
                execute(_DELETE.format(table=table), (text,))
                count += len(rows)
            if count >= most:
                return Erased(count, True)
    if which.whole and execute(_THERE, ("_crawlerd_account",)).get:
        for source, account in execute("SELECT source, account FROM _crawlerd_account").fetchall():
            if which.of_account(account) and which.source in ("", source):
                execute("DELETE FROM _crawlerd_account WHERE source = ? AND account = ?", (source, account))
    return Erased(count, False)


def _rows(execute: Execute, table: str, account: str, which: Erasure, most: int) -> list[int]:
    statements = [_KEY] if which.key else [_ALL]
    if which.key and execute(_HAS_PARENTS, (table,)).get:
        statements.append(_BELOW)
    bindings = {"account": account, "key": which.key, "most": most}
    found: dict[int, None] = {}
    for statement in statements:
        rows = execute(statement.format(table=table), {k: v for k, v in bindings.items() if f":{k}" in statement})
        found |= dict.fromkeys(row for (row,) in rows.fetchall())
    return list(found)[:most]


def _accounts(execute: Execute, table: str, which: Erasure) -> Iterator[str]:
    """The accounts of a table that are to be forgotten."""
    yield from which.accounts
    bounds = [(f"{name}/", f"{name}0") for name in which.accounts] or [("", _LAST)]  # their parts
    for first, last in bounds:
        after: str | None = first
        while (after := execute(_NEXT.format(table=table), (after, last)).get) is not None:
            yield after


def keys_below(execute: Execute, which: Erasure) -> set[tuple[str, str, str]]:
    """Table, account and key of the rows below the key."""
    found: set[tuple[str, str, str]] = set()
    for table, _ in tables(execute, which) if which.key else ():
        if not execute(_HAS_PARENTS, (table,)).get:
            continue
        for account in _accounts(execute, table, which):
            rows = execute(f'SELECT id FROM "{table}" WHERE account = ? AND parent = ?', (account, which.key))  # noqa: S608 - a name of ours
            found |= {(table, account, str(key)) for (key,) in rows.fetchall()}
    return found


def expire(execute: Execute, before: str, most: int) -> Erased:
    """Deletes at most `most` rows that were tombstoned before then, within a transaction.

    before: in the form of `deleted_at`.
    """
    count = 0
    for table, _ in tables(execute):
        execute(_OLD_INDEX.format(table=table))
        execute(_OLD.format(table=table), (before, most - count))
        count += execute("SELECT changes()").get
        if count >= most:
            return Erased(count, True)
    return Erased(count, False)


class KeptLines:
    """Lines of a sink that passes records on, in a table of its database."""

    def __init__(self, table: str, column: str) -> None:
        self._table, self._column = table, column
        self._after: int | None = None  # the last one that was read

    def erase(self, execute: Execute, which: Erasure) -> Erased:
        """Deletes, within a transaction, those of the next lines that are to be forgotten."""
        rows = execute(
            f"SELECT rowid, {self._column} FROM {self._table} WHERE rowid > ? ORDER BY rowid LIMIT ?",  # noqa: S608 - our own names
            (self._after if self._after is not None else -1, LINES),
        ).fetchall()
        matcher = LineMatcher(which, keys_below(execute, which))
        gone = [number for number, line in rows if matcher.matches(_bytes(line))]
        execute(
            f"DELETE FROM {self._table} WHERE rowid IN (SELECT value FROM json_each(?))",  # noqa: S608 - our own name
            (msgspec.json.encode(gone).decode(),),
        )
        self._after = rows[-1][0] if len(rows) == LINES else None
        return Erased(len(gone), self._after is not None)


def _bytes(line: str | bytes) -> bytes:
    return line.encode() if isinstance(line, str) else bytes(line)


def count_rows(path: Path, which: Erasure) -> dict[str, int]:
    """How many rows of each table a request to forget concerns, in a database that may be in use. Raises SinkError if
    it cannot be read."""
    with _reading(path) as execute:
        return dict(_counts(execute, which))


def read_keys_below(path: Path, which: Erasure) -> set[tuple[str, str, str]]:
    """`keys_below` for a database that may be in use. Raises SinkError if it cannot be read."""
    with _reading(path) as execute:
        return keys_below(execute, which)


@contextmanager
def _reading(path: Path) -> Iterator[Execute]:
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as database:
            database.set_busy_timeout(BUSY_MILLISECONDS)
            database.execute("BEGIN")
            yield database.execute
    except apsw.Error as error:
        raise SinkError(f"cannot read {path}: {error}; run this as the daemon's user") from None


def _counts(execute: Execute, which: Erasure) -> Iterator[tuple[str, int]]:
    for table, _ in tables(execute, which):
        count = 0
        for account in _accounts(execute, table, which):
            if which.key:
                count += len(_rows(execute, table, account, which, 1 << 30))
            else:
                count += execute(f'SELECT count(*) FROM "{table}" WHERE account = ?', (account,)).get  # noqa: S608 - a name of ours
        if count:
            yield table, count
