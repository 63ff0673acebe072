"""A slice of old runs costs what it removes, however many runs there are, and whatever they are."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest

from crawlerd.frontier import open_frontier
from crawlerd.frontier.sql.prune import prune
from crawlerd.frontier.sqlite.database import FILE_NAME

if TYPE_CHECKING:
    from pathlib import Path

RUNS = """
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {count})
INSERT INTO run(id, import, account, "full", state, started_at, ended_at, dead, submitted)
SELECT n, 'shop', 1, n = 1, 'completed', n, n + 1.0, {dead}, {submitted} FROM number
"""
KEPT, REMOVED = 50, 5


def steps(folder: Path, count: int, dead: str, submitted: str, before: float) -> int:
    folder.mkdir()
    with closing(open_frontier(folder, now=0.0)) as frontier:
        frontier.account("acme", "shop")
    taken = 0

    def step() -> bool:
        nonlocal taken
        taken += 1
        return False

    with closing(apsw.Connection(str(folder / FILE_NAME))) as database:
        database.execute(RUNS.format(count=count, dead=dead, submitted=submitted))
        database.set_progress_handler(step, 1)
        prune(database, "shop", KEPT, before, REMOVED)
        database.set_progress_handler(None)
    return taken


@pytest.mark.parametrize("before", [0.0, 20.0, 1e9], ids=["by number", "by age", "all are old"])
@pytest.mark.parametrize("dead", ["0", "n % 2", "n % 10 > 0"])
@pytest.mark.parametrize("submitted", ["0", "1", "n % 2", "n > 100"])
def test_more_runs_make_no_slice_longer(tmp_path: Path, dead: str, submitted: str, before: float) -> None:
    few = steps(tmp_path / "few", 400, dead, submitted, before)
    many = steps(tmp_path / "many", 8_000, dead, submitted, before)
    assert many < 2 * few
