"""The reads of metrics and plans. See `MetricReader`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.frontier.metric_contract import ImportFigures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Rows = Callable[..., list[Any]]

_IMPORTS = """
WITH running(import, open) AS MATERIALIZED (
    SELECT import, sum(open) FROM run INDEXED BY run_running WHERE state = 'running' GROUP BY import
),
each(name, last, completed, whole) AS MATERIALIZED (
    SELECT value,
        (SELECT id FROM run WHERE import = value AND state <> 'running' AND ad_hoc IS NULL ORDER BY id DESC LIMIT 1),
        (SELECT id FROM run WHERE import = value AND state IN ('completed', 'completed with dead letters')
            AND ad_hoc IS NULL ORDER BY id DESC LIMIT 1),
        (SELECT id FROM run INDEXED BY run_full WHERE import = value AND "full" = 1
            AND state IN ('completed', 'completed with dead letters') AND ad_hoc IS NULL AND part IS NULL
            ORDER BY id DESC LIMIT 1)
    FROM json_each(?)
)
SELECT name,
    (SELECT ended_at FROM run WHERE import = name AND state = 'completed' AND ad_hoc IS NULL AND part IS NULL
        ORDER BY id DESC LIMIT 1),
    run.ended_at - run.started_at, run.state,
    CASE WHEN completed = last THEN 0 ELSE (SELECT count(*) FROM run WHERE import = name AND state = 'failed'
        AND ad_hoc IS NULL AND id > coalesce(completed, 0)) END,
    running.open,
    (SELECT dead FROM run WHERE import = name AND ad_hoc IS NULL ORDER BY id DESC LIMIT 1),
    (SELECT sum(seen) FROM tally WHERE run = whole)
FROM each LEFT JOIN run ON run.id = last LEFT JOIN running ON running.import = name
"""
_OWNER = "substr(account.name, 1, instr(account.name || '/', '/') - 1)"
_READY = f"""
SELECT {_OWNER}, sum(ready) AS tasks FROM bucket INDEXED BY bucket_ready JOIN account ON account.id = bucket.account
WHERE ready > 0 AND paused = 0 GROUP BY 1 ORDER BY tasks DESC, 1 LIMIT ?
"""  # noqa: S608 - our own text
_KEYS = """
WITH RECURSIVE each(key) AS (
    SELECT min(key) FROM quota
    UNION ALL SELECT (SELECT min(key) FROM quota WHERE key > each.key) FROM each WHERE each.key IS NOT NULL
)
SELECT key FROM each WHERE key IS NOT NULL
"""
_KEYS_OF = """
WITH RECURSIVE own(first) AS (SELECT 'LIMITER/' || id || '/' FROM account WHERE name = ?1), each(key) AS (
    SELECT min(key) FROM quota, own WHERE key > first AND key < first || char(1114111)
    UNION ALL SELECT (SELECT min(key) FROM quota, own WHERE key > each.key AND key < first || char(1114111))
    FROM each WHERE each.key IS NOT NULL
)
SELECT key FROM each WHERE key IS NOT NULL LIMIT ?2
"""
_CHARGED = """
SELECT j.key, (SELECT sum(count) FROM quota WHERE quota.key = j.key AND at > j.value) FROM json_each(?) AS j
"""

_CHARGES = """
SELECT key, at, count FROM account CROSS JOIN quota
WHERE account.name = ? AND key >= 'LIMITER/' || account.id || '/' AND key < 'LIMITER/' || account.id || '0' AND at > ?
ORDER BY key, at
"""  # '0' follows '/'


def import_figures(rows: Rows, imports: Sequence[str]) -> dict[str, ImportFigures]:
    """See `MetricReader`."""
    return {name: ImportFigures(*row) for name, *row in rows(_IMPORTS, _json(list(imports)))}


def most_ready(rows: Rows, most: int) -> list[tuple[str, int]]:
    """See `MetricReader`."""
    return list(rows(_READY, most))


def quota_keys(rows: Rows) -> list[str]:
    """See `MetricReader`."""
    return [key for (key,) in rows(_KEYS)]


def quota_keys_of(rows: Rows, account: str, most: int) -> list[str]:
    """See `MetricReader`."""
    return [key for (key,) in rows(_KEYS_OF, account, most)]


def charged(rows: Rows, since: Mapping[str, float]) -> dict[str, int]:
    """See `MetricReader`."""
    return {key: count or 0 for key, count in rows(_CHARGED, _json(dict(since)))}


def charges_of(rows: Rows, account: str, since: float) -> dict[str, list[tuple[float, int]]]:
    """See `MetricReader`."""
    found: dict[str, list[tuple[float, int]]] = {}
    for key, at, count in rows(_CHARGES, account, since):
        found.setdefault(key, []).append((at, count))
    return found


def bucket_names(rows: Rows, numbers: Sequence[int]) -> dict[int, str]:
    """See `MetricReader`."""
    return dict(rows("SELECT bucket.id, name FROM json_each(?) JOIN bucket ON bucket.id = value", _json(list(numbers))))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
