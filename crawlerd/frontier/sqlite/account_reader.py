"""What people ask of a frontier about its accounts, and what people did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crawlerd.frontier.reports import AccountReport, Act, BucketReport
from crawlerd.frontier.sqlite.database import storage_errors
from crawlerd.frontier.sqlite.pause_rows import all_pauses

if TYPE_CHECKING:
    from pathlib import Path

    import apsw

    from crawlerd.core.pauses import Pausable, PauseNote

READY = "coalesce(sum((SELECT sum(queue.ready) FROM queue WHERE queue.bucket = bucket.id)), 0)"
ACCOUNTS = f"""
SELECT min(account.name), source, max(identity), max(refused), {READY}, coalesce(max(blocked_until), 0)
FROM account LEFT JOIN bucket ON bucket.account = account.id
{{}} GROUP BY substr(account.name, 1, instr(account.name || '/', '/') - 1) ORDER BY {{}}
"""  # noqa: S608 - our own text
NEED_A_LOOK = """
account.id IN (
    SELECT id FROM account WHERE refused IS NOT NULL
    UNION ALL SELECT account FROM bucket WHERE blocked_until > ?1
    UNION ALL SELECT account.id FROM account JOIN pause ON pause.name = account.name AND pause.kind = 'account'
    UNION ALL SELECT account FROM bucket WHERE paused = 1
    UNION ALL SELECT account FROM outage WHERE account > 0)
"""
_KNOWN = {
    "import": "SELECT 1 FROM run WHERE import = ? LIMIT 1",
    "account": "SELECT 1 FROM account WHERE name = ?",
    "source": "SELECT 1 FROM account WHERE source = ? LIMIT 1",
    "bucket": "SELECT 1 FROM bucket JOIN account ON account.id = bucket.account "
    "WHERE substr(?1, 1, length(account.name) + 1) = account.name || '/' "
    "AND bucket.name = substr(?1, length(account.name) + 2) LIMIT 1",
}


class AccountReader:
    """Part of `FrontierReader`."""

    def __init__(self, database: apsw.Connection, path: Path) -> None:
        self._db, self._path = database, path

    def _rows(self, statement: str, *bindings: Any) -> list[tuple[Any, ...]]:
        with storage_errors(self._path, self._db):
            return list(self._db.execute(statement, bindings))

    def account(self, name: str) -> AccountReport | None:
        rows = self._rows(
            f"SELECT account.name, source, identity, refused, {READY}, coalesce(max(blocked_until), 0) "  # noqa: S608
            "FROM account LEFT JOIN bucket ON bucket.account = account.id WHERE account.name = ? GROUP BY account.id",
            name,
        )
        return AccountReport(*rows[0]) if rows else None

    def account_page(self, *, after: str, most: int, needs_a_look: bool, now: float) -> list[AccountReport]:
        which = f"{NEED_A_LOOK} AND" if needs_a_look else "?1 > 0 AND"
        names = self._rows(
            f"SELECT name FROM account WHERE {which} instr(name, '/') = 0 AND name > ?2 ORDER BY name LIMIT ?3",  # noqa: S608
            now,
            after,
            most,
        )
        return [found for (name,) in names if (found := self.account(name))]

    def buckets_of(self, account: str, most: int) -> list[BucketReport]:
        rows = self._rows(
            "SELECT bucket.name, coalesce((SELECT sum(ready) FROM queue WHERE bucket = bucket.id), 0) AS tasks, "
            "blocked_until FROM bucket JOIN account ON account.id = bucket.account WHERE account.name = ? "
            "ORDER BY tasks DESC, bucket.name LIMIT ?",
            account,
            most,
        )
        return [BucketReport(*row) for row in rows]

    def learned_of(self, account: str) -> dict[str, str]:
        rows = self._rows(
            "SELECT '', value FROM learned JOIN account ON key = account.id || '' WHERE account.name = ?1 "
            "UNION ALL SELECT bucket.name, value FROM account JOIN bucket ON bucket.account = account.id "
            "JOIN learned ON key = account.id || '/' || bucket.id WHERE account.name = ?1",
            account,
        )
        return dict(rows)

    def knows(self, kind: Pausable, name: str) -> bool:
        return bool(self._rows(_KNOWN[kind], name))

    def pauses(self) -> list[PauseNote]:
        with storage_errors(self._path, self._db):
            return all_pauses(self._db)

    def audit(self, *, since: float = 0.0, limit: int = 100) -> list[Act]:
        rows = self._rows(
            "SELECT at, by, act, subject, detail, count FROM (SELECT * FROM audit WHERE at >= ? ORDER BY at DESC, "
            "id DESC LIMIT ?) ORDER BY at, id",
            since,
            limit,
        )
        return [Act(*row) for row in rows]
