"""Whole tables of a frontier on PostgreSQL, as they come from another frontier or go into one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crawlerd.frontier.postgresql.database import schema, tables
from crawlerd.frontier.postgresql.dialect import NUL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

OWN = ("node", "shard", "version")  # tables of this database alone
NUMBERED = ("account", "bucket", "kind", "run", "sink", "scope", "audit", "rejected", "fingerprint", "operation")
FIRST_ROWS = "-- The first rows."
__all__ = ["NUL", "columns", "empty", "fill", "settle_numbers"]


def columns() -> dict[str, list[str]]:
    """The columns of each table that are not computed from others."""
    return {
        table: [name for name, kind in found if kind != "boolean" and (table, name) != ("account", "shard")]
        for table, found in tables().items()
        if table not in OWN
    }


def fill(session: psycopg.Connection[Any], table: str, names: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Puts rows in the place of those of a table; what depends on them comes with its own table. How many there are.
    Call in a transaction."""
    quoted = ", ".join(f'"{name}"' for name in names)
    count = 0
    session.execute(f'ALTER TABLE "{table}" DISABLE TRIGGER USER'.encode())
    session.execute(f'DELETE FROM "{table}"'.encode())  # noqa: S608 - our own name
    with session.cursor() as cursor, cursor.copy(f'COPY "{table}" ({quoted}) FROM STDIN'.encode()) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    session.execute(f'ALTER TABLE "{table}" ENABLE TRIGGER USER'.encode())
    return count


def empty(session: psycopg.Connection[Any]) -> None:
    """A new frontier in the place of the one that is there. Call in a transaction."""
    emptying = "; ".join(f'DELETE FROM "{table}"' for table in (*columns(), "node"))  # noqa: S608 - our own names
    freeing = "UPDATE shard SET owner = NULL, freed_at = DEFAULT"
    session.execute(f"{freeing}; {emptying}; {schema().partition(FIRST_ROWS)[2]}".encode(), prepare=False)
    settle_numbers(session)


def settle_numbers(session: psycopg.Connection[Any]) -> None:
    """The next number of each table is higher than all that it has."""
    one = "SELECT setval(pg_get_serial_sequence('{0}', 'id'), greatest(max(id), 1), max(id) IS NOT NULL) FROM {0}"
    session.execute("; ".join(map(one.format, NUMBERED)).encode(), prepare=False)
