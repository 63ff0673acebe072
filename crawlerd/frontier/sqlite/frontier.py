"""The frontier on SQLite: one file, which one process writes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from crawlerd.core.errors import FrontierRefused, StorageFailed, TaskNotReady
from crawlerd.frontier.contract import Bounds
from crawlerd.frontier.sql.frontier import SqlFrontier
from crawlerd.frontier.sqlite.database import (
    FILE_NAME,
    MARK_NAME,
    connect,
    file_size,
    shrink_log,
    storage_errors,
    transaction,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import apsw

    from crawlerd.frontier.change import Change

_GONE = """DELETE FROM ready WHERE (bucket, run, priority, seq) IN (
    WITH gone AS MATERIALIZED (
        SELECT value->>0 AS bucket, value->>1 AS run, value->>2 AS priority, value->3 AS tasks FROM json_each(?)
    )
    SELECT bucket, run, priority, value FROM gone, json_each(tasks)
)"""
SCRUB_PATIENCE = 2_000  # milliseconds that readers are waited for


class SqliteFrontier(SqlFrontier):
    """See `Frontier`. Call with the state lock held."""

    _db: apsw.Connection

    def __init__(self, state_dir: Path, *, now: float, bounds: Bounds = Bounds()) -> None:  # noqa: B008 - frozen
        self.path = state_dir / FILE_NAME
        db = connect(self.path, mark=state_dir / MARK_NAME)
        self._inode = self.path.stat().st_ino
        super().__init__(db, str(self.path), now=now, bounds=bounds)

    def _errors(self) -> AbstractContextManager[None]:
        return storage_errors(self.path, self._db)

    @contextmanager
    def _durably(self) -> Iterator[None]:
        if not self.path.exists() or self.path.stat().st_ino != self._inode:
            raise FrontierRefused(f"{self.path} was deleted, moved or replaced while it was in use")
        with self._errors(), transaction(self._db):
            yield

    def _take_out(self, change: Change) -> None:
        self._execute(_GONE, sorted((*key, sorted(tasks)) for key, tasks in change.gone.items()))
        if self._db.changes() != sum(map(len, change.gone.values())):
            raise TaskNotReady(self.name)

    def close(self) -> None:
        self._finish()
        with self._errors():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()

    def idle(self) -> bool:
        try:
            self._rest()
            with self._errors():
                return shrink_log(self._db)
        except StorageFailed as error:
            if not error.full:
                raise
            return False

    def scrub(self, most_bytes: int | None) -> str | None:
        size = file_size(self.path)
        if most_bytes is not None and size > most_bytes:
            return f"{self.path} has {size >> 20} MiB, too much to be rewritten while crawlerd runs"
        with self._errors():
            self._db.execute("VACUUM")
            patience = self._db.pragma("busy_timeout")
            self._db.set_busy_timeout(SCRUB_PATIENCE)
            try:
                (busy, *_) = next(self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
            finally:
                self._db.set_busy_timeout(patience)
        return f"another program reads {self.path}, whose log still has what was deleted" if busy else None
