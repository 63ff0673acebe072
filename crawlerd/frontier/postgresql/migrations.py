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
_SCHEMA = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = %s)"
_OTHERS = "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = current_schema())"


def migrate(place: Place, session: psycopg.Connection[Any]) -> None:
    """FrontierTooNew for tables of a newer crawlerd, which are left as they are."""
    if version(session) is None:
        with session.transaction():
            session.execute("SELECT pg_advisory_xact_lock(hashtext('crawlerd'), hashtext(%s))", (place.schema,))
            if version(session) is None:
                # With IF NOT EXISTS, a schema that is there would need the right to create one.
                if not _truth(session, _SCHEMA, place.schema):
                    session.execute(f'CREATE SCHEMA "{place.schema}"'.encode())
                if has_tables(session):
                    raise FrontierError(
                        f"{place} lacks its table `version`, but has others: restore it with pg_restore, or set it "
                        "aside with `crawlerd frontier new --force`"
                    )
                session.execute(schema().encode(), prepare=False)
    check_version(place, session)


def check_version(place: Place, session: psycopg.Connection[Any]) -> None:
    found = version(session)
    if found is None:
        raise FrontierError(
            f"{place} has no tables yet, or the role may not use its schema {place.schema}: the first start makes them"
        )
    if found > VERSION:
        raise FrontierTooNew(f"{place} was written by a newer crawlerd (version {found}): upgrade crawlerd")


def version(session: psycopg.Connection[Any]) -> int | None:
    """None where there are no tables."""
    if not _truth(session, _THERE):
        return None
    found = session.execute("SELECT number FROM version").fetchone()
    return found[0] if found else None


def has_tables(session: psycopg.Connection[Any]) -> bool:
    """Also where they are no frontier that can be used."""
    return _truth(session, _OTHERS)


def _truth(session: psycopg.Connection[Any], question: str, *values: object) -> bool:
    row = session.execute(question.encode(), values or None).fetchone()
    return bool(row and row[0])
