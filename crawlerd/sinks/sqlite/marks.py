"""What the database of a sink has of a frontier, for copies of both that belong together."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw

from crawlerd.sink import SinkError

if TYPE_CHECKING:
    from pathlib import Path

_MARK = "SELECT number FROM _crawlerd_frontier WHERE frontier = ?"
# A batch whose task would have come with a later commit is in no task: `Outbox.call_back` hands it out again.
_CALL_BACK = "UPDATE _crawlerd_batch SET number = 0 WHERE frontier = ? AND number > ?"


def mark_of(path: Path, frontier: str) -> tuple[str, int]:
    """The identity of the sink with this database, and the number of the frontier's last mark in it, 0 for none. Raises
    SinkError if it is not a sink's database."""
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as database:
            identity: str = database.execute("SELECT identity FROM _crawlerd_sink").get
            return identity, database.execute(_MARK, (frontier,)).get or 0
    except apsw.Error as error:
        raise SinkError(f"{path} is not the database of a sink: {error}") from None


def call_back(database: apsw.Connection, frontier: str, commits: int) -> None:
    """Adapts a copy of a sink to a frontier that has lost all commits after number `commits`."""
    if database.execute("SELECT 1 FROM sqlite_schema WHERE name = '_crawlerd_batch'").get:
        database.execute(_CALL_BACK, (frontier, commits))
