"""Where quotas are charged: rows of (key, time, count), written in the frontier's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.frontier.contract import FARTHEST_GRANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

ASKED_AGAIN = 5_000  # buckets
_ASK_AGAIN = """
UPDATE bucket SET blocked_until = 0 WHERE id IN (SELECT id FROM bucket
WHERE ready > 0 AND paused = 0 AND blocked_until > ? AND reason = 'quota' LIMIT ?)
"""


# Also of buckets that have no task now: what was noted of them would hold up their next ones.
_ASK_AGAIN_OF = """
UPDATE bucket SET blocked_until = 0
WHERE account IN (SELECT value FROM json_each(?)) AND blocked_until > 0 AND reason = 'quota'
"""


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

    def keys(self, beginning: str) -> list[str]:
        following = beginning[:-1] + chr(ord(beginning[-1]) + 1)
        rows = self._db.execute("SELECT DISTINCT key FROM quota WHERE key >= ? AND key < ?", (beginning, following))
        return [key for (key,) in rows]

    def bring_back(self, now: float) -> None:
        """Dates charges from a future that only a wrong clock can have made (grants reach 15 minutes ahead) at now."""
        future = (now + FARTHEST_GRANT,)
        for key, count in list(self._db.execute("SELECT key, sum(count) FROM quota WHERE at > ? GROUP BY key", future)):
            self.charge(key, now, count)
        self._db.execute("DELETE FROM quota WHERE at > ?", future)

    def ask_again(self, now: float) -> None:
        """Buckets that wait for a quota ask for it again: it may be a higher one now. Of very many, the others wait as
        was noted."""
        self._db.execute(_ASK_AGAIN, (now, ASKED_AGAIN))

    def ask_again_of(self, accounts: Sequence[int]) -> None:
        self._db.execute(_ASK_AGAIN_OF, (msgspec.json.encode(accounts).decode(),))
