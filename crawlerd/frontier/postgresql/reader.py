"""Reads a frontier on PostgreSQL, whether it is in use or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crawlerd.frontier.postgresql import migrations
from crawlerd.frontier.postgresql.database import Connection
from crawlerd.frontier.postgresql.session import connect, errors
from crawlerd.frontier.sql.reader import SqlReader

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from crawlerd.frontier.postgresql.session import Place


class PostgresReader(SqlReader):
    """See `FrontierReader`."""

    _db: Connection

    def __init__(self, place: Place, database: Connection) -> None:
        super().__init__(database, Path())
        self._place = place
        database.reopen = self._reopen

    @classmethod
    def open(cls, place: Place) -> PostgresReader | None:
        """None when there is no frontier there yet."""
        session = connect(place, reading=True)
        with errors(place):
            if migrations.version(session) is None:
                session.close()
                return None
            migrations.check_version(place, session)
        return cls(place, Connection(session))

    def _reopen(self) -> None:
        session = connect(self._place, reading=True)
        self._db.session.close()
        self._db.session = session

    def _errors(self) -> AbstractContextManager[None]:
        return errors(self._place)

    def close(self) -> None:
        self._db.session.close()
