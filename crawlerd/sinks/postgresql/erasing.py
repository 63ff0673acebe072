"""Rows of a PostgreSQL sink that are deleted for good: data to forget, and old tombstones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crawlerd.core.erasure import Erased
from crawlerd.sinks.postgresql.relations import companion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crawlerd.core.erasure import Erasure
    from crawlerd.sinks.postgresql.database import Database

    Execute = Callable[..., Any]

TABLES = "SELECT name, source, stream FROM _crawlerd_stream WHERE counted <> -1 ORDER BY name"
# If existing rows are deleted, the sink gets a new identity; not if crawlerd forgets them.
_FORGETS = "SELECT set_config('crawlerd.forgets', 'on', true)"
_NEXT = 'SELECT min(account) FROM "{table}" WHERE account > %s::text AND account < %s::text'
_ALL = 'SELECT ctid AS tid FROM "{table}" WHERE account = %(account)s::text LIMIT %(most)s::bigint'
_KEY = """SELECT tid FROM (
  (SELECT ctid AS tid FROM "{table}" WHERE account = %(account)s::text AND id = %(key)s::text)
  UNION
  (SELECT ctid AS tid FROM "{table}" WHERE account = %(account)s::text AND parent = %(key)s::text
    LIMIT %(most)s::bigint)) k LIMIT %(most)s::bigint"""
_DELETE = """WITH meant AS MATERIALIZED ({rows}), gone AS (
  DELETE FROM "{table}" t WHERE t.ctid = ANY (ARRAY(SELECT m.tid FROM meant m)) RETURNING t.row, t.deleted_at
), unseen AS (DELETE FROM "{seen}" s WHERE s.row = ANY (ARRAY(SELECT g.row FROM gone g)))
SELECT count(*), count(*) FILTER (WHERE deleted_at IS NULL) FROM gone"""
_OLD = 'SELECT ctid AS tid FROM "{table}" WHERE deleted_at < %(before)s::timestamptz LIMIT %(most)s::bigint'
# Forgotten rows are counted for a run number that no frontier has.
_FORGOTTEN = """INSERT INTO _crawlerd_tally AS t (run, stream, tombstoned) VALUES (0, %s::text, %s::bigint)
ON CONFLICT (run, stream) DO UPDATE SET tombstoned = t.tombstoned + excluded.tombstoned"""
_LAST = "\U0010ffff"


def tables(execute: Execute, which: Erasure | None = None) -> list[tuple[str, str]]:
    """The tables of streams, with their streams."""
    found = execute(TABLES).fetchall()
    return [
        (name, stream)
        for name, source, stream in found
        if which is None or which.of_table(f"{source}_{stream}", stream)
    ]


def erase(execute: Execute, which: Erasure, most: int) -> Erased:
    """Deletes at most `most` rows, within a transaction."""
    from crawlerd.sinks.postgresql.rows import coded

    count = 0
    execute(_FORGETS)
    for table, stream in tables(execute, which):
        for account in accounts(execute, table, which):
            rows = (_KEY if which.key else _ALL).format(table=table)
            bindings: dict[str, Any] = {"account": account, "most": most - count}
            if which.key:
                bindings["key"] = coded(which.key)
            count += _delete(execute, table, stream, rows, bindings)
            if count >= most:
                return Erased(count, True)
    if which.whole:
        for source, account in execute("SELECT source, account FROM _crawlerd_account").fetchall():
            if which.of_account(account) and which.source in ("", source):
                execute(
                    "DELETE FROM _crawlerd_account WHERE source = %s::text AND account = %s::text", (source, account)
                )
    return Erased(count, False)


def expire(execute: Execute, before: str, most: int) -> Erased:
    """Deletes at most `most` rows that were tombstoned before then, within a transaction.

    before: UTC text.
    """
    count = 0
    execute(_FORGETS)
    for table, stream in tables(execute):
        count += _delete(execute, table, stream, _OLD.format(table=table), {"before": before, "most": most - count})
        if count >= most:
            return Erased(count, True)
    return Erased(count, False)


def _delete(execute: Execute, table: str, stream: str, rows: str, bindings: dict[str, Any]) -> int:
    statement = _DELETE.format(rows=rows, table=table, seen=companion(table, "seen"))
    deleted, live = execute(statement, bindings).fetchone()
    if live:
        execute(_FORGOTTEN, (stream, live))
    return int(deleted)


def accounts(execute: Execute, table: str, which: Erasure) -> Iterator[str]:
    """The accounts of a table that are to be forgotten, as the table has them. They are found one after the other by
    its index."""
    from crawlerd.sinks.postgresql.rows import coded

    names = list(map(coded, which.accounts))
    yield from names
    for first, last in [(f"{name}/", f"{name}0") for name in names] or [("", _LAST)]:  # their parts
        after: str | None = first
        while (after := execute(_NEXT.format(table=table), (after, last)).fetchone()[0]) is not None:
            yield after


def scrub(database: Database, most_bytes: int | None) -> str | None:
    """See `Sink.scrub`. Readers of a table must wait while it is rewritten."""
    large = []
    with database.apart() as connection:
        connection.patience = 24 * 3600.0
        for table, _ in tables(connection.execute):
            for each in (table, companion(table, "seen")):
                row = connection.execute("SELECT pg_total_relation_size(%s::regclass)", (f'"{each}"',)).fetchone()
                if most_bytes is not None and row and row[0] > most_bytes:
                    large.append(f"{each} has {row[0] >> 20} MiB")
                else:
                    connection.execute(f'VACUUM (FULL) "{each}"', prepare=False)
    if large:
        return f"{'; '.join(large)}, too much to rewrite while crawlerd runs: run VACUUM FULL in {database.place}"
    return None
