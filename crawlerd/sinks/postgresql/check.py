"""What commands read from a PostgreSQL sink: whether it is sound, and how much a request to forget concerns."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from crawlerd.core.lenient_json import parsed
from crawlerd.sink import SinkError
from crawlerd.sinks.postgresql.erasing import accounts, tables
from crawlerd.sinks.postgresql.failures import Place, failure
from crawlerd.sinks.postgresql.relations import relation
from crawlerd.sinks.postgresql.rows import coded
from crawlerd.source import STREAM_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crawlerd.core.erasure import Erasure


# For each stream whose tables were counted from their first row on: the number of existing records, and the sum of what
# runs have added.
_COUNTS = """SELECT stream, (SELECT coalesce(sum(new - tombstoned), 0)::bigint FROM _crawlerd_tally t
  WHERE t.stream = s.stream), array_agg(name) FROM _crawlerd_stream s GROUP BY stream HAVING min(counted) = 1"""
_MISSING = "SELECT name FROM _crawlerd_stream WHERE to_regclass(quote_ident(name)) IS NULL"
_THERE = 'SELECT count(*) FROM "{table}" WHERE deleted_at IS NULL'
_VIEWED = "SELECT name FROM _crawlerd_stream WHERE to_regclass(quote_ident(name || '_view')) IS NOT NULL ORDER BY name"
_TYPED = "SELECT DISTINCT name FROM _crawlerd_field WHERE type <> 'text'"
_DRIFT = 'SELECT field, count(*) FROM "{table}_view", unnest(drift) AS d(field) GROUP BY 1 ORDER BY 1'


def check(url: str, schema: str) -> list[str]:
    """Problems of a sink, one line each. Changes nothing, and works while the sink is written. Raises SinkError if it
    cannot be read."""
    with _reading(Place(url, schema)) as execute:
        if execute is None:
            return []
        problems = [f"the table {name} is missing" for (name,) in execute(_MISSING)]
        there = {name for name, _ in tables(execute)}
        for stream, expected, names in execute(_COUNTS).fetchall():
            if there.issuperset(names):
                found = sum(execute(_THERE.format(table=each)).fetchone()[0] for each in names)
                if found != expected:
                    problems.append(f"{stream}: {found:,} records are there, but the runs have left {expected:,}")
        for (name,) in execute(_VIEWED).fetchall():
            try:
                execute(f'SELECT * FROM "{name}_view" LIMIT 100')
            except psycopg.Error as error:
                return [*problems, f"the view {name}_view cannot be read: {error.diag.message_primary}"]
        for (name,) in execute(_TYPED).fetchall():
            for field, count in execute(_DRIFT.format(table=name)):
                problems.append(f"{name}: in {count:,} records, {field} does not have its type from `columns`")
        return problems


def count_rows(url: str, schema: str, which: Erasure) -> dict[str, int]:
    """How many rows of each table a request to forget concerns; empty if there is no sink yet. Raises SinkError if it
    cannot be read."""
    found: dict[str, int] = {}
    with _reading(Place(url, schema)) as execute:
        if execute is None:
            return {}
        for table, _ in tables(execute, which):
            whose = " AND (id = %(key)s::text OR parent = %(key)s::text)" if which.key else ""
            count = 0
            for account in accounts(execute, table, which):
                row = execute(
                    f'SELECT count(*) FROM "{table}" WHERE account = %(account)s::text{whose}',
                    {"account": account, **({"key": coded(which.key)} if which.key else {})},
                ).fetchone()
                count += row[0]
            if count:
                found[table] = count
    return found


def objects(url: str, schema: str, source: str, stream: str, account: str) -> Iterator[dict[str, Any]]:
    """An account's objects of one stream by id, without those known to be deleted; none if nothing was imported yet.
    Raises SinkError if they cannot be read."""
    if not STREAM_NAME.fullmatch(source) or not STREAM_NAME.fullmatch(stream):
        raise SinkError(f"{source!r} and {stream!r} cannot name a table")
    table = relation(f"{source}_{stream}")
    with _reading(Place(url, schema)) as execute:
        if execute is None or execute("SELECT to_regclass(%s::text)", (f'"{table}"',)).fetchone()[0] is None:
            return
        rows = execute(
            f'SELECT data FROM "{table}" WHERE account = %s::text AND deleted_at IS NULL ORDER BY id', (coded(account),)
        ).fetchall()
    for (data,) in rows:
        yield parsed(data.encode())


@contextmanager
def _reading(place: Place) -> Iterator[Callable[..., Any] | None]:
    """A consistent view of a sink; None if there is none yet."""
    options = place.options() | {"target_session_attrs": "any"}
    try:
        with closing(psycopg.connect(place.url, **options)) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            connection.execute("SELECT set_config('search_path', %s, true)", (f'"{place.schema}"',))
            found = connection.execute("SELECT to_regclass('_crawlerd_account') IS NOT NULL").fetchone()
            yield connection.execute if found and found[0] else None
    except psycopg.Error as error:
        raise SinkError(str(failure(place, error))) from None
