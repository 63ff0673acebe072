"""Reads what notices are made from: refused accounts, imports that fail, runs that have ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_REFUSED = "SELECT name, refused FROM account INDEXED BY account_refused WHERE refused IS NOT NULL ORDER BY id LIMIT ?"
_BAD = "run.import = j.value AND ad_hoc IS NULL AND state IN ('failed', 'completed with dead letters')"
# Older runs are read only of imports whose newest run has failed.
_FAILING = f"""
SELECT name, runs, last FROM (
    SELECT j.value AS name,
           (SELECT count(*) FROM run WHERE {_BAD} AND id > coalesce((
                SELECT id FROM run AS good WHERE good.import = j.value AND good.ad_hoc IS NULL
                AND good.state = 'completed' ORDER BY id DESC LIMIT 1), 0)) AS runs,
           last
    FROM (SELECT value, (SELECT id FROM run WHERE import = value AND ad_hoc IS NULL
              AND state IN ('completed', 'failed', 'completed with dead letters') ORDER BY id DESC LIMIT 1) AS last
          FROM json_each(?1)) AS j
    JOIN run AS newest ON newest.id = last AND newest.state <> 'completed')
WHERE runs >= ?2
"""  # noqa: S608 - our own text
_FIRST = """
SELECT name, at FROM (SELECT value AS name, (SELECT started_at FROM run WHERE import = value ORDER BY id LIMIT 1) AS at
FROM json_each(?)) WHERE at IS NOT NULL
"""
_STATES = """
SELECT id, state FROM run WHERE state = 'running'
UNION SELECT id, state FROM run WHERE id IN (SELECT value FROM json_each(?1))
UNION SELECT id, state FROM run WHERE id > ?2 AND id <= ?3
"""


def refused_accounts(read: Callable[..., list[Any]], most: int) -> list[tuple[str, str]]:
    """See `FrontierReader`. read: runs a statement with bindings."""
    return [(name, reason) for name, reason in read(_REFUSED, most)]


def first_started(read: Callable[..., list[Any]], imports: Sequence[str]) -> dict[str, float]:
    """See `FrontierReader`. read: runs a statement with bindings."""
    return dict(read(_FIRST, json.dumps(list(imports))))


def failing(read: Callable[..., list[Any]], imports: Sequence[str], least: int) -> dict[str, tuple[int, int]]:
    """See `FrontierReader`. read: runs a statement with bindings."""
    return {name: (runs, last) for name, runs, last in read(_FAILING, json.dumps(list(imports)), least)}


def run_states(read: Callable[..., list[Any]], numbers: Sequence[int], after: int, through: int) -> dict[int, str]:
    """See `FrontierReader`. read: runs a statement with bindings."""
    return dict(read(_STATES, json.dumps(list(numbers)), after, through))


def newest_run(read: Callable[..., list[Any]]) -> int:
    """See `FrontierReader`. read: runs a statement with bindings."""
    ((number,),) = read("SELECT coalesce(max(id), 0) FROM run")
    return int(number)
