"""Removes the dead rows of tasks that are done, and names transactions that hold them back.

The server looks at a table once a minute at most. At thousands of tasks a second, a table that holds few rows has
hundreds of thousands of dead ones by then, and each read passes over them.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg

from crawlerd.core.errors import FrontierError
from crawlerd.frontier.postgresql.session import connect

if TYPE_CHECKING:
    from crawlerd.frontier.postgresql.session import Place

log = logging.getLogger(__name__)

EACH = 50_000  # deletions
LONG_SECONDS = 300  # of a transaction of somebody else
WARN_SECONDS = 300.0  # between warnings
_TABLES = "ready, delayed, queue, bucket, run, seen, stage, node"
_OLDEST = """SELECT pid, coalesce(usename, ''), extract(epoch FROM now() - xact_start)::bigint, left(query, 200)
FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND datname = current_database()
AND xact_start < now() - make_interval(secs => %s) ORDER BY xact_start LIMIT 1"""


class Vacuum:
    """Used by the frontier's thread; works in one of its own, on a connection of its own."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._deleted = 0
        self._warned_at = -WARN_SECONDS
        self._thread: threading.Thread | None = None

    def deleted(self, count: int) -> None:
        """So many tasks have left."""
        self._deleted += count
        if self._deleted >= EACH and not (self._thread and self._thread.is_alive()):
            self._deleted = 0
            self._thread = threading.Thread(target=self._run, name="vacuum", daemon=True)
            self._thread.start()

    def close(self) -> None:
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            with closing(connect(self._place, patient=True)) as session:
                session.execute(f"VACUUM (TRUNCATE false) {_TABLES}".encode(), prepare=False)
                found = session.execute(_OLDEST, (LONG_SECONDS,)).fetchone()
        except (FrontierError, psycopg.Error) as error:  # the next one will do
            log.debug("vacuum: %s", error)
            return
        if found and time.monotonic() - self._warned_at >= WARN_SECONDS:
            self._warned_at = time.monotonic()
            pid, user, seconds, query = found
            log.warning(
                "%s: process %s of the server (user %s) has had a transaction open for %s s, which keeps the rows of "
                "all tasks done since: end it, or give the frontier a database of its own; its query: %s",
                *(self._place, pid, user, seconds, " ".join(query.split())),
            )
