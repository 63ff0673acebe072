"""The charges of quotas: rows of (key, time, count), written in the frontier's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.frontier.contract import FARTHEST_GRANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.sql.database_contract import Database


ASKED_AGAIN = 5_000  # how many buckets may ask for a quota again at once
_ASK_AGAIN = """
UPDATE bucket SET blocked_until = 0 WHERE id IN (SELECT id FROM bucket
WHERE ready > 0 AND paused = 0 AND blocked_until > ? AND reason = 'quota' LIMIT ?)
"""


# Buckets without tasks are included: otherwise the stored block would hold up their next tasks.
_ASK_AGAIN_OF = """
UPDATE bucket SET blocked_until = 0
WHERE account IN (SELECT value FROM json_each(?)) AND blocked_until > 0 AND reason = 'quota'
"""


class SqlQuotaRows:
    """See `QuotaRows`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def charged(self, key: str, since: float) -> list[tuple[float, int]]:
        return list(self._db.execute("SELECT at, count FROM quota WHERE key = ? AND at > ? ORDER BY at", (key, since)))

    def charge(self, key: str, at: float, count: int) -> None:
        self._db.execute(
            "INSERT INTO quota VALUES (?, ?, max(?, 0)) "
            "ON CONFLICT (key, at) DO UPDATE SET count = max(quota.count + ?3, 0)",
            (key, at, count),
        )

    def forget(self, key: str, before: float) -> None:
        self._db.execute("DELETE FROM quota WHERE key = ? AND at <= ?", (key, before))

    def keys(self, beginning: str) -> list[str]:
        following = beginning[:-1] + chr(ord(beginning[-1]) + 1)
        rows = self._db.execute("SELECT DISTINCT key FROM quota WHERE key >= ? AND key < ?", (beginning, following))
        return [key for (key,) in rows]

    def bring_back(self, now: float) -> None:
        """Moves charges to `now` that are so far ahead that only a wrong clock can have made them (charges are dated at
        most 15 minutes ahead)."""
        future = (now + FARTHEST_GRANT,)
        for key, count in list(self._db.execute("SELECT key, sum(count) FROM quota WHERE at > ? GROUP BY key", future)):
            self.charge(key, now, count)
        self._db.execute("DELETE FROM quota WHERE at > ?", future)

    def ask_again(self, now: float) -> None:
        """Lets buckets that wait for a quota ask for it again, since the quota may be higher now. If there are more
        than ASKED_AGAIN, the others wait until the stored time."""
        self._db.execute(_ASK_AGAIN, (now, ASKED_AGAIN))

    def ask_again_of(self, accounts: Sequence[int]) -> None:
        self._db.execute(_ASK_AGAIN_OF, (msgspec.json.encode(accounts).decode(),))
