"""Where quotas are charged: rows of (key, time, count), written in the frontier's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.frontier.contract import FARTHEST_GRANT

if TYPE_CHECKING:
    import apsw


class SqliteQuotaRows:
    """See `QuotaRows`."""

    def __init__(self, database: apsw.Connection) -> None:
        self._db = database

    def charged(self, key: str, since: float) -> list[tuple[float, int]]:
        return list(self._db.execute("SELECT at, count FROM quota WHERE key = ? AND at > ? ORDER BY at", (key, since)))

    def charge(self, key: str, at: float, count: int) -> None:
        self._db.execute(
            "INSERT INTO quota VALUES (?, ?, max(?, 0)) ON CONFLICT DO UPDATE SET count = max(count + ?3, 0)",
            (key, at, count),
        )

    def forget(self, key: str, before: float) -> None:
        self._db.execute("DELETE FROM quota WHERE key = ? AND at <= ?", (key, before))

    def bring_back(self, now: float) -> None:
        """Dates charges from a future that only a wrong clock can have made (grants reach 15 minutes ahead) at now."""
        future = (now + FARTHEST_GRANT,)
        for key, count in list(self._db.execute("SELECT key, sum(count) FROM quota WHERE at > ? GROUP BY key", future)):
            self.charge(key, now, count)
        self._db.execute("DELETE FROM quota WHERE at > ?", future)
