"""Gives the unused space of a frontier back to the disk."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from crawlerd.core.errors import FrontierError, StorageFailed
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.sqlite.database import (
    FILE_NAME,
    MARK_NAME,
    connect,
    file_size,
    open_readable,
    storage_errors,
)

if TYPE_CHECKING:
    from pathlib import Path

READER_WAIT = 10_000  # milliseconds for which vacuum waits for readers at its end


def vacuum(state_dir: Path) -> tuple[int, int]:
    """Gives the frontier's free pages back to the disk. Returns the size before and after, in bytes.

    Raises FrontierLocked while a daemon runs, and StorageFailed when the disk has no space for the two copies that
    SQLite makes meanwhile. Nothing has changed then.
    """
    path = state_dir / FILE_NAME
    open_readable(path, older=True).close()  # raises when there is no frontier, so that none is created
    before = _size(path)  # includes the log of a crash, which opening moves into the database
    with (
        StateLock(state_dir),
        closing(connect(path, mark=state_dir / MARK_NAME)) as database,
        storage_errors(path, database),
    ):
        live = (database.pragma("page_count") - database.pragma("freelist_count")) * database.pragma("page_size")
        database.pragma("temp_store", "file")
        database.pragma("temp_store_directory", str(state_dir))  # not /tmp, which may be in memory
        try:
            with storage_errors(path, database):
                database.execute("VACUUM")
        except StorageFailed as error:
            if not error.full:
                raise
            needed = f"vacuum needs up to {2 * live / 1e6:,.1f} MB of free space while it works"
            raise StorageFailed(f"{error}: {needed}", full=True) from None
        finally:
            database.pragma("temp_store_directory", "")
        database.set_busy_timeout(READER_WAIT)
        (busy, *_) = next(database.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    if busy:
        raise FrontierError(f"{path} is vacuumed, but another command reads it: its space comes back at the next start")
    return before, _size(path)


def _size(path: Path) -> int:
    """The size of a database and its log, in bytes."""
    return file_size(path) + file_size(f"{path}-wal")
