"""Which accounts wait for what, and how many. Reads only the accounts that have tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crawlerd.frontier.reports import Told
    from crawlerd.frontier.sql.database_contract import Database

# Each row of `said` has a reason why an account, or a part of it, waits. The reason with the lowest place counts, and
# among these the one with the earliest time: it is that of the bucket that may start first. `operations.account_waits`
# gives the same reason for a single account.
_REASONS = """
WITH told(account, reason, until) AS MATERIALIZED (
    SELECT CAST(j.value->>0 AS BIGINT), j.value->>1, CAST(j.value->>2 AS DOUBLE PRECISION) FROM json_each(?2) AS j
),
part(id, owner) AS MATERIALIZED (
    SELECT part.id, coalesce(account.id, part.id) FROM account AS part
    LEFT JOIN account ON account.name = substr(part.name, 1, instr(part.name, '/') - 1) WHERE instr(part.name, '/') > 0
),
said(account, place, until, reason) AS (
    SELECT account, CASE reason WHEN 'importing' THEN 0 WHEN 'refused' THEN 1 WHEN 'paused' THEN 2 ELSE 5 END,
        until, reason FROM told
    UNION ALL SELECT id, 1, 0, 'refused' FROM account WHERE refused IS NOT NULL
    UNION ALL SELECT account.id, 2, 0, 'paused' FROM pause JOIN account ON account.name = pause.name
        WHERE kind = 'account'
    UNION ALL SELECT account.id, 2, 0, 'paused' FROM pause JOIN account ON source = pause.name WHERE kind = 'source'
    UNION ALL SELECT account, 3, 0, 'outage' FROM outage WHERE account > 0 AND account NOT IN (SELECT account FROM told)
    UNION ALL SELECT account, 4, 0, held.value FROM json_each(?3) AS held JOIN run ON run.id = CAST(held.key AS BIGINT)
        WHERE account NOT IN (SELECT account FROM told)
    UNION ALL SELECT account, 5, blocked_until,
        CASE WHEN blocked_until > ?1 THEN coalesce(reason, 'throttled') ELSE 'workers' END
        FROM bucket INDEXED BY bucket_ready WHERE ready > 0 AND paused = 0 AND account NOT IN (SELECT account FROM told)
    UNION ALL SELECT account, 6, 0, 'paused' FROM bucket WHERE paused = 1
        AND EXISTS (SELECT 1 FROM queue WHERE queue.bucket = bucket.id AND queue.ready > 0)
    UNION ALL SELECT bucket.account, 6, 0, 'paused' FROM run CROSS JOIN queue ON queue.run = run.id
        JOIN bucket ON bucket.id = queue.bucket WHERE state = 'running' AND run.paused = 1 AND queue.ready > 0
    UNION ALL SELECT account, 7, 0, 'retry' FROM run WHERE state = 'running' AND delayed > 0
    UNION ALL SELECT account, 8, 0, 'group' FROM run WHERE state = 'running' AND waiting > 0
),
chosen AS (
    SELECT {owner} AS account, reason, min(place * 1e12 + until)
    FROM {grouped}
)
SELECT reason, {of_each} FROM chosen GROUP BY reason
"""
_WHOLE = _REASONS.replace("{grouped}", "said GROUP BY account").replace("{owner}", "account")  # quicker
_PARTS = _REASONS.replace(
    "{grouped}", "said LEFT JOIN part ON part.id = account GROUP BY coalesce(owner, account)"
).replace("{owner}", "coalesce(owner, account)")
# One row: for each row, apsw releases the interpreter's lock and takes it again.
_BY_NAME = """SELECT json_group_array(id) FROM (SELECT id FROM account WHERE instr(name, '/') = 0 ORDER BY name)"""
_ACCOUNTS = "SELECT count(*), count(*) FILTER (WHERE instr(name, '/') > 0) FROM account"


def wait_counts(db: Database, now: float, told: Iterable[Told], stuck: Mapping[int, str]) -> dict[str, int]:
    """See `FrontierReader`."""
    ((accounts, parts),) = db.execute(_ACCOUNTS)
    counts: dict[str, int] = dict(_chosen(db, "count(*)", now, told, stuck, parts=parts > 0))
    counts["idle"] = max(0, accounts - parts - sum(counts.values()))
    return counts


def waiting_accounts(db: Database, now: float, told: Iterable[Told], stuck: Mapping[int, str]) -> dict[str, list[int]]:
    """See `FrontierReader`."""
    ((_, parts),) = db.execute(_ACCOUNTS)
    reasons: dict[int, str] = {}
    for reason, numbers in _chosen(db, "json_group_array(account)", now, told, stuck, parts=parts > 0):
        reasons |= dict.fromkeys(msgspec.json.decode(numbers, type=list[int]), reason)
    found: dict[str, list[int]] = {}
    for number in msgspec.json.decode(db.execute(_BY_NAME).get, type=list[int]):
        found.setdefault(reasons.get(number, "idle"), []).append(number)
    return found


def _chosen(
    db: Database, of_each: str, now: float, told: Iterable[Told], stuck: Mapping[int, str], *, parts: bool
) -> list[tuple[str, Any]]:
    """The value of the expression `of_each` for the accounts with each reason, by reason."""
    said = msgspec.json.encode(list(told)).decode()
    held = msgspec.json.encode({str(run): reason for run, reason in stuck.items()}).decode()
    statement = (_PARTS if parts else _WHOLE).replace("{of_each}", of_each)
    return list(db.execute(statement, (now, said, held)))
