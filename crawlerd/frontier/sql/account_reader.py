"""Reads about accounts and buckets, and the audit, for people."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.reasons import ASKED
from crawlerd.frontier.reports import NOTHING, AccountReport, Act, BlockReport, BucketReport
from crawlerd.frontier.sql.answer_rows import kept_answer
from crawlerd.frontier.sql.lowered_rows import all_lowered
from crawlerd.frontier.sql.pause_rows import all_pauses
from crawlerd.frontier.sql.wait_counts import wait_counts, waiting_accounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from crawlerd.core.lowered import LimitNote
    from crawlerd.core.pauses import Pausable, PauseNote
    from crawlerd.frontier.acts_contract import KeptAnswer
    from crawlerd.frontier.reports import Told
    from crawlerd.frontier.sql.database_contract import Database

READY = "coalesce(sum((SELECT sum(queue.ready) FROM queue WHERE queue.bucket = bucket.id)), 0)"
FIRST_DIGITS = 18
FIRST = f"""min(format('%0{FIRST_DIGITS}.6f', blocked_until) || json_array(blocked_until, coalesce(reason, 'throttled'),
    coalesce(waits_for, '{ASKED}'), blocked_since)) FILTER (WHERE bucket.ready > 0 AND bucket.paused = 0)"""
FACTS = (
    f"min(account.name), min(source), max(identity), max(refused), {READY}, coalesce(max(blocked_until), 0), {FIRST}"
)
HAS_RUNS = "max(iif(EXISTS (SELECT 1 FROM run WHERE run.account = account.id AND state = 'running' AND {} > 0), 1, 0))"
ACCOUNTS = f"""
SELECT {FACTS}, {HAS_RUNS.format("delayed")}, {HAS_RUNS.format("waiting")}
FROM account LEFT JOIN bucket ON bucket.account = account.id
{{}} GROUP BY substr(account.name, 1, instr(account.name || '/', '/') - 1) ORDER BY {{}}
"""  # noqa: S608 - our own text
ACCOUNT = ACCOUNTS.format("WHERE account.name = ?1 OR (account.name > ?1 || '/' AND account.name < ?1 || '0')", "1")
NEED_A_LOOK = """
account.id IN (
    SELECT id FROM account WHERE refused IS NOT NULL
    UNION ALL SELECT account FROM bucket INDEXED BY bucket_ready WHERE ready > 0 AND paused = 0 AND blocked_until > ?1
        AND coalesce(reason, 'throttled') <> 'limit'
    UNION ALL SELECT account.id FROM account JOIN pause ON pause.name = account.name AND pause.kind = 'account'
    UNION ALL SELECT account.id FROM pause JOIN account ON account.source = pause.name WHERE pause.kind = 'source'
    UNION ALL SELECT account FROM bucket WHERE paused = 1
    UNION ALL SELECT account.id FROM account JOIN lowered ON lowered.account = account.name
    UNION ALL SELECT account FROM outage WHERE account > 0)
"""
_OWNER = "substr(account.name, 1, instr(account.name || '/', '/') - 1)"
_OWNERS = "SELECT name FROM account WHERE ?1 IS NOT NULL AND instr(name, '/') = 0 AND "
_LAST = "char(1114111)"  # comes after all characters of names
PARTS_READ = 5  # rows to read for each account, since several rows may be buckets or parts of one account
_LOOKS = [
    f"SELECT {_OWNER} FROM account {rest} LIMIT ?2"  # noqa: S608 - our own text
    for rest in (
        "INDEXED BY account_refused WHERE refused IS NOT NULL AND ?1 > 0",
        "JOIN outage ON outage.account = account.id WHERE ?1 > 0",
        "JOIN bucket INDEXED BY bucket_ready ON account.id = bucket.account WHERE ready > 0 AND paused = 0 "
        "AND blocked_until > ?1 AND coalesce(reason, 'throttled') <> 'limit'",
    )
]
_KNOWN = {
    "import": "SELECT 1 FROM run WHERE import = ? LIMIT 1",
    "account": "SELECT 1 FROM account WHERE name = ?",
    "source": "SELECT 1 FROM account WHERE source = ? LIMIT 1",
    "bucket": "SELECT 1 FROM bucket JOIN account ON account.id = bucket.account "
    "WHERE substr(?1, 1, length(account.name) + 1) = account.name || '/' "
    "AND bucket.name = substr(?1, length(account.name) + 2) LIMIT 1",
}


class AccountReader:
    """Reads accounts, buckets and the audit. Part of `FrontierReader`."""

    def __init__(self, database: Database, path: Path) -> None:
        self._db, self._path = database, path

    @abstractmethod
    def _errors(self) -> AbstractContextManager[None]:
        """What the database finds wrong within it, as crawlerd's errors."""

    def _rows(self, statement: str, *bindings: Any) -> list[tuple[Any, ...]]:
        with self._errors():
            return list(self._db.execute(statement, bindings))

    def account(self, name: str) -> AccountReport | None:
        rows = self._rows(ACCOUNT, name)
        return account_report(rows[0]) if rows else None

    def account_page(
        self, *, after: str, most: int, needs_a_look: bool, now: float, prefix: str = ""
    ) -> list[AccountReport]:
        first = "> ?2" if after >= prefix else ">= ?4"
        between = f"{_OWNER} {first} AND {_OWNER} < ?4 || {_LAST} ORDER BY 1 LIMIT ?3"
        statement = f"SELECT DISTINCT {_OWNER} FROM account WHERE {NEED_A_LOOK} AND {between}"  # noqa: S608 - our own text
        if not needs_a_look:
            statement = _OWNERS + between.replace(_OWNER, "name")  # the expression of the index
        names = self._rows(statement, now, after, most, prefix)
        return [found for (name,) in names if (found := self.account(name))]

    def account_names(self, numbers: Sequence[int]) -> list[str]:
        rows = self._rows(
            "SELECT name FROM json_each(?) AS j LEFT JOIN account ON account.id = j.value ORDER BY j.key",
            msgspec.json.encode(list(numbers)).decode(),
        )
        return [name or "" for (name,) in rows]

    def first_to_look_at(self, most: int, now: float) -> list[str]:
        """The names of accounts that need attention: refused ones, then those without an answer, then waiting ones."""
        found: dict[str, None] = {}
        for statement in _LOOKS:
            if len(found) < most:
                found |= dict.fromkeys(name for (name,) in self._rows(statement, now, PARTS_READ * most))
        return list(found)[:most]

    def backlog(self, most: int) -> list[tuple[str, int]]:
        return self._rows(
            f"SELECT {_OWNER}, sum(ready) AS tasks FROM bucket JOIN account ON account.id = bucket.account "  # noqa: S608 - our own text
            "WHERE ready > 0 GROUP BY 1 ORDER BY tasks DESC, 1 LIMIT ?1",
            most,
        )

    def busy_parts(self, account: str, most: int) -> list[str]:
        rows = self._rows(
            "SELECT DISTINCT account.name FROM account JOIN bucket ON bucket.account = account.id "
            "WHERE account.name > ?1 || '/' AND account.name < ?1 || '0' AND bucket.ready > 0 LIMIT ?2",
            account,
            most,
        )
        return [name for (name,) in rows]

    def running_of(self, account: str, most: int) -> list[int]:
        rows = self._rows(
            "SELECT run.id FROM run INDEXED BY run_of_account JOIN account ON account.id = run.account "
            "WHERE account.name = ? AND run.state = 'running' ORDER BY run.id LIMIT ?",
            account,
            most,
        )
        return [number for (number,) in rows]

    def wait_counts(self, now: float, told: Iterable[Told] = (), stuck: Mapping[int, str] = NOTHING) -> dict[str, int]:
        with self._errors():
            return wait_counts(self._db, now, told, stuck)

    def waiting_accounts(
        self, now: float, told: Iterable[Told] = (), stuck: Mapping[int, str] = NOTHING
    ) -> dict[str, list[int]]:
        with self._errors():
            return waiting_accounts(self._db, now, told, stuck)

    def buckets_of(self, account: str, most: int) -> list[BucketReport]:
        rows = self._rows(
            "SELECT bucket.name, coalesce((SELECT sum(ready) FROM queue WHERE bucket = bucket.id), 0) AS tasks, "
            "blocked_until, coalesce(reason, 'throttled') FROM bucket JOIN account ON account.id = bucket.account "
            "WHERE account.name = ? ORDER BY tasks DESC, bucket.name LIMIT ?",
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
        with self._errors():
            return all_pauses(self._db)

    def lowered(self) -> list[LimitNote]:
        with self._errors():
            return all_lowered(self._db)

    def kept_answer(self, key: str, now: float) -> KeptAnswer | None:
        with self._errors():
            return kept_answer(self._db, key, now)

    def audit(
        self, *, since: float = 0.0, limit: int = 100, before: int | None = None, by: str = "", act: str = ""
    ) -> list[Act]:
        rows = self._rows(
            "SELECT at, by, act, subject, detail, count, id FROM (SELECT * FROM audit WHERE at >= ?1 "
            "AND (?3 IS NULL OR (at, id) < (SELECT at, id FROM audit WHERE id = ?3)) "
            "AND ?4 IN ('', by) AND ?5 IN ('', act) ORDER BY at DESC, id DESC LIMIT ?2) ORDER BY at, id",
            since,
            limit,
            before,
            by,
            act,
        )
        return [Act(*row) for row in rows]


def account_report(row: Sequence[Any]) -> AccountReport:
    """Makes a report of a row of ACCOUNTS."""
    name, source, identity, refused, ready, blocked_until, first, retries, gathers = row
    block = BlockReport(*msgspec.json.decode(first[FIRST_DIGITS:])) if first else None
    return AccountReport(name, source, identity, refused, ready, blocked_until, block, bool(retries), bool(gathers))
