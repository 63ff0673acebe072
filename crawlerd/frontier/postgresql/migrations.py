"""The tables of a frontier on PostgreSQL: made where there are none, and brought up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crawlerd.core.errors import FrontierError, FrontierTooNew
from crawlerd.frontier.postgresql.database import schema

if TYPE_CHECKING:
    import psycopg

    from crawlerd.frontier.postgresql.session import Place

VERSION = 1
_THERE = "SELECT to_regclass('version') IS NOT NULL"


def migrate(place: Place, session: psycopg.Connection[Any]) -> None:
    """FrontierTooNew for tables of a newer crawlerd, which are left as they are."""
    if version(session) is None:
        with session.transaction():
            session.execute("SELECT pg_advisory_xact_lock(hashtext('crawlerd'), hashtext(%s))", (place.schema,))
            if version(session) is None:
                session.execute(f'CREATE SCHEMA IF NOT EXISTS "{place.schema}"'.encode())
                session.execute(schema().encode(), prepare=False)
    check_version(place, session)


def check_version(place: Place, session: psycopg.Connection[Any]) -> None:
    found = version(session)
    if found is None:
        raise FrontierError(f"there is no frontier in {place}")
    if found > VERSION:
        raise FrontierTooNew(f"{place} was written by a newer crawlerd (version {found}): upgrade crawlerd")


def version(session: psycopg.Connection[Any]) -> int | None:
    """None where there are no tables."""
    row = session.execute(_THERE).fetchone()
    if not row or not row[0]:
        return None
    found = session.execute("SELECT number FROM version").fetchone()
    return found[0] if found else None
