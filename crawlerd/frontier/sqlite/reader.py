"""Reads a frontier on SQLite, whether it is in use or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.frontier.sql.reader import SqlReader
from crawlerd.frontier.sqlite.database import FILE_NAME, MARK_NAME, connect_reader, storage_errors

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    import apsw


class SqliteReader(SqlReader):
    """See `FrontierReader`."""

    _db: apsw.Connection

    @classmethod
    def open(cls, state_dir: Path) -> SqliteReader | None:
        """Opens a reader; None when there is no frontier yet. Raises FrontierRefused when the frontier is gone."""
        path = state_dir / FILE_NAME
        database = connect_reader(path, mark=state_dir / MARK_NAME)
        return None if database is None else cls(database, path)

    def _errors(self) -> AbstractContextManager[None]:
        return storage_errors(self._path, self._db)

    def close(self) -> None:
        self._db.close()
