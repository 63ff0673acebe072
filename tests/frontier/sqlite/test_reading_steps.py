"""What is read costs what it shows, however much has happened: no method of the reader looks at all of a history."""

from __future__ import annotations

import inspect
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from crawlerd.core.erasure import ErasureScope
from crawlerd.frontier import open_frontier
from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.frontier.reader_contract import FrontierReader
from crawlerd.frontier.sqlite.database import FILE_NAME
from crawlerd.frontier.sqlite.reader import SqliteReader

if TYPE_CHECKING:
    from pathlib import Path

FEW, MANY = 600, 6_000
# Runs of three imports that have ended, one that is under way, letters of half of them in one group, what people did,
# and accounts that wait.
HISTORY = """
CREATE TEMP TABLE number AS WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {count})
SELECT n FROM number;
INSERT INTO kind(id, name) VALUES (1, 'shop.page');
INSERT INTO account(id, name, source) SELECT n, printf('a%06d', n), 'shop' FROM number;
INSERT INTO bucket(id, account, name, ready, blocked_until, reason, waits_for, blocked_since)
    SELECT n, n, 'pages', 1, 1e9 + n, 'quota', 'used up', 1.0 FROM number;
INSERT INTO run(id, import, account, "full", state, started_at, ended_at, done, records, submitted)
    SELECT n, 'i' || n % 3, 1, n % 5 = 0, 'completed', n, n + 1.0, 9, 90, n % 4 = 0 FROM number;
INSERT INTO run(id, import, account, "full", state, started_at, open)
    VALUES ({count} + 1, 'i0', 1, 1, 'running', 1.0, {count});
INSERT INTO queue SELECT n, {count} + 1, 1, 0 FROM number;
INSERT INTO tally(run, stream, records, seen) SELECT id, 'orders', 90, 90 FROM run;
INSERT INTO figure SELECT id, 1, 1, 0, 0, 0, 45, 0, 1 FROM run;
INSERT INTO run_slow SELECT id, 1, 0.5, 1, '{{}}' FROM run;
INSERT INTO run_event SELECT id, 1, 1.0, 'goes on' FROM run;
INSERT INTO fingerprint VALUES (1, '000000000001', 'shop', 'shop.page', 'Permanent', 404, 'gone');
INSERT INTO dead(
    seq, run, bucket, priority, kind, attempt, denied, stream, error, payload, at, fingerprint, key, number
)
    SELECT n, n, 1, 5, 1, 1, 0, 'orders', 'gone', '{{}}', n, 1, randomblob(16), n FROM number WHERE n % 2;
UPDATE run SET dead = 1, state = 'completed with dead letters' WHERE id % 2 AND state = 'completed';
INSERT INTO attempt SELECT n, 1, n, 1.0, 0.1, 404, 'GET', 'http://a/', 'gone' FROM number WHERE n % 2;
INSERT INTO audit(at, by, act, subject, detail, count) SELECT n, 'ada', 'retry', 'dead letters', '', 1 FROM number;
INSERT INTO operation(act, which, through, by, reason, state, began_at, ended_at, total)
    SELECT 'retry', '{{}}', 1, 'ada', '', 'done', n, n, 1 FROM number;
INSERT INTO rejected(at, item, put_at, text, reason) SELECT n, n, n, '', '' FROM number;
INSERT INTO answer SELECT n, '', n, x'' FROM number;
"""
ARGUMENTS: dict[str, Any] = {
    "account": "a000001",
    "accounts": ["a000001"],
    "act": "",
    "after": 0,
    "before": None,
    "by": "",
    "configured": ["i0", "i1"],
    "import_name": "i1",
    "imports": ["i0", "i1", "i2"],
    "key": "7",
    "kind": "account",
    "least": 3,
    "limit": 20,
    "most": 20,
    "most_read": 100,
    "name": "a000001",
    "names": ["i0"],
    "needs_a_look": False,
    "newest": True,
    "now": 10.0,
    "number": 7,
    "numbers": [7, 9],
    "one_each": True,
    "prefix": "",
    "run": 7,
    "runs": [7, 9],
    "scope": ErasureScope(accounts=("none",)),
    "since": 0.0,
    "sink_name": "w",
    "state": None,
    "streams": True,
    "stuck": {},
    "through": 1_000_000,
    "told": (),
    "wanted": (),
    "which": LetterFilter(group="000000000001"),
}
OTHERS: dict[str, dict[str, Any]] = {
    "charged": {"since": {"a": 1.5}},
    "run_states": {"after": 5, "through": 9},
    "account_page": {"after": ""},
    "busy_parts": {"account": "a000001"},
}
# Reads that count what waits, and are as long as that.
GROWING = {
    "wait_counts": "accounts by what they wait for",
    "waiting_accounts": "the same",
    "count_letters": "counted before people act on them; see `LetterCount`",
    "count_notes": "before all of an account is forgotten",
    "dead_groups": "runs with letters of a group: those that are kept",
    "quick_count": "the same",
    "overview": "accounts by what they wait for",
    "backlog": "accounts that have ready tasks",
    "most_ready": "the same",
    "totals": "runs that have dead letters: two steps each",
    "status": "the same",
}


def steps(folder: Path, count: int) -> dict[str, int]:
    """Of SQLite's machine, by method."""
    folder.mkdir()
    open_frontier(folder, now=0.0).close()
    with closing(apsw.Connection(str(folder / FILE_NAME))) as database:
        database.execute(HISTORY.format(count=count))
    taken = 0

    def step() -> bool:
        nonlocal taken
        taken += 1
        return False

    found = {}
    database = apsw.Connection(str(folder / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
    database.set_progress_handler(step, 1)
    with closing(SqliteReader(database, folder)) as reader:
        for name in METHODS:
            taken = 0
            parameters = list(inspect.signature(getattr(FrontierReader, name)).parameters)[1:]
            getattr(reader, name)(**{each: {**ARGUMENTS, **OTHERS.get(name, {})}[each] for each in parameters})
            found[name] = taken
    return found


METHODS = sorted(each for each in dir(FrontierReader) if not each.startswith("_") and each != "close")


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, int], dict[str, int]]:
    folder = tmp_path_factory.mktemp("histories")
    return steps(folder / "few", FEW), steps(folder / "many", MANY)


@pytest.mark.parametrize("name", sorted(set(METHODS) - GROWING.keys()))
def test_a_longer_history_takes_no_longer_to_read(taken: tuple[dict[str, int], dict[str, int]], name: str) -> None:
    few, many = taken
    assert many[name] < 2 * few[name] + 200
