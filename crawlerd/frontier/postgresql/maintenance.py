"""What `crawlerd frontier` does to a frontier on PostgreSQL; the rest is for the server's own programs."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg

from crawlerd.core.errors import FrontierError
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.postgresql import holder, migrations
from crawlerd.frontier.postgresql.database import tables
from crawlerd.frontier.postgresql.session import connect, errors

if TYPE_CHECKING:
    from pathlib import Path

    from crawlerd.frontier.postgresql.session import Place

_SIZE = """SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'"""


def vacuum(place: Place, state_dir: Path) -> tuple[int, int]:
    """Gives the space of tasks that are done back to the disk. The size before and after, in bytes. FrontierLocked
    while a daemon runs: each table is locked while it is written again."""
    with StateLock(state_dir), closing(connect(place, patient=True)) as session, errors(place):
        migrations.check_version(place, session)
        holder.refuse_held(place, session)
        before = _size(session)
        for table in tables():
            session.execute(f'VACUUM (FULL, ANALYZE) "{table}"'.encode(), prepare=False)
        return before, _size(session)


def begin_new(place: Place, state_dir: Path, mark: Path, *, force: bool) -> str | None:
    """Sets the tables aside under another schema. Its name; None where there were no tables.

    force: also when they are a usable frontier.
    """
    with StateLock(state_dir), closing(connect(place)) as session, errors(place):
        if not migrations.has_tables(session):
            mark.unlink(missing_ok=True)
            return None
        if not force:
            raise FrontierError(f"{place} has tables already; to begin without them, use --force")
        holder.refuse_held(place, session)
        aside = f"{place.schema}_{datetime.now(UTC):%Y%m%d_%H%M%S}"
        try:
            session.execute(f'ALTER SCHEMA "{place.schema}" RENAME TO "{aside}"'.encode(), prepare=False)
        except psycopg.errors.InsufficientPrivilege:
            raise FrontierError(
                f"{place}: the role may rename no schema of this database; let the database's owner execute: "
                f'ALTER SCHEMA "{place.schema}" RENAME TO "{aside}"; '
                f'CREATE SCHEMA "{place.schema}" AUTHORIZATION "{session.info.user}"; then repeat this command'
            ) from None
        mark.unlink(missing_ok=True)
        return aside


def refuse_backup(place: Place) -> NoReturn:
    raise FrontierError(
        f"{place} is backed up by its server, while the daemon runs or not: "
        f"`pg_dump --format=custom --schema={place.schema} --file=FILE URL`"
    )


def refuse_restore(place: Place) -> NoReturn:
    raise FrontierError(
        f"{place} is restored by its server: end the daemon, `crawlerd frontier new --force`, "
        f"`pg_restore --schema={place.schema} --dbname=URL FILE`"
    )


def _size(session: psycopg.Connection[Any]) -> int:
    row = session.execute(_SIZE).fetchone()
    return int(row[0]) if row else 0
