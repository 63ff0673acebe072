"""Half a million runs of one import that are forgotten in slices: how long each of the commits takes.

Other work waits for such a commit. In the second case, every other run is kept for its dead letters and must not be
looked at again with each slice; in the third, nothing is old, which must be found out at once.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import apsw

from bench.rig.report import about, parsed, table
from crawlerd.frontier import open_frontier
from crawlerd.frontier.sqlite.database import FILE_NAME

PRUNED = 200  # as the engine asks for
DAY = 86_400.0
FILL = """
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {runs})
INSERT INTO run(id, import, account, "full", state, started_at, ended_at, done, dead)
SELECT n, 'shop', 1, n = 1, iif(n % {each} = 0, 'completed with dead letters', 'completed'), n, n + 1.0, 90,
    n % {each} = 0 FROM number;
INSERT INTO tally(run, stream, records, seen) SELECT id, 'orders', 90, 90 FROM run;
INSERT INTO figure SELECT run.id, 1, value, 0, 0, 0, 45, 0, 1 FROM run, json_each('[1, 2]');
INSERT INTO figure(run, what, a, c, v) SELECT id, 2, 0, 1, 1 FROM run;
INSERT INTO figure(run, what, a, b, v) SELECT run.id, 3, value, 1, 45 FROM run, json_each('[1, 2]');
INSERT INTO figure(run, what, a, v, w, x) SELECT id, 4, 1, 90.0, 9.0, 9.0 FROM run;
INSERT INTO figure(run, what, a, b, v) SELECT run.id, 5, 1, value, 20 FROM run, json_each('[1, 2, 3]');
INSERT INTO figure(run, what, a, v, w) SELECT id, 6, 200, 90, 9000 FROM run;
INSERT INTO run_slow SELECT run.id, value, 0.5, 1, '{{"page":1}}' FROM run, json_each('[1, 2, 3]');
INSERT INTO run_event SELECT id, 1, 1.0, 'goes on' FROM run WHERE id % 10 = 0;
"""


class Case(NamedTuple):
    """
    each: of so many runs, one is kept for its dead letters.
    newest: runs that are kept.
    before: older ones are not; Unix seconds.
    """

    name: str
    each: int
    newest: int
    before: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500_000)
    parser.add_argument("--cases", type=int, default=4, help="only the first ones")
    args = parsed(parser, runs=3_000)
    runs: int = args.runs
    print(about(), "\n")
    cases = (
        Case("the newest 100 stay", runs + 1, 100, 0.0),
        Case("half of them stay for dead letters", 2, 100, 0.0),
        Case("nothing is old", runs + 1, 2 * runs, 0.0),
        Case("those of the last days stay", runs + 1, 2 * runs, 0.9 * runs),
    )
    rows = []
    for case in cases[: args.cases]:
        seconds, cpu, gone = pruned(case, runs)
        seconds.sort()
        rows.append(
            [
                case.name,
                f"{runs:,}",
                f"{gone:,}",
                f"{len(seconds):,}",
                f"{seconds[len(seconds) // 2] * 1e3:.1f}",
                f"{seconds[int(len(seconds) * 0.99)] * 1e3:.1f}",
                f"{seconds[-1] * 1e3:.1f}",
                f"{cpu * 1e3:.1f}",
            ]
        )
    print(table(["case", "runs", "forgotten", "commits", "p50, ms", "p99, ms", "longest, ms", "most CPU, ms"], rows))


def pruned(case: Case, runs: int) -> tuple[list[float], float, int]:
    """Seconds of each commit, the most CPU seconds of one, and how many runs are gone."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        with closing(open_frontier(state, now=0.0)) as frontier:
            frontier.account("acme", "shop")
        with closing(apsw.Connection(str(state / FILE_NAME))) as database:
            database.execute("PRAGMA synchronous = OFF; BEGIN")
            database.execute(FILL.format(runs=runs, each=case.each) + "COMMIT")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        seconds, cpu = [], 0.0
        with closing(open_frontier(state, now=0.0)) as frontier:
            while True:
                started, spent = time.perf_counter(), time.process_time()
                found = frontier.prune_runs("shop", case.newest, case.before, PRUNED)
                seconds.append(time.perf_counter() - started)
                cpu = max(cpu, time.process_time() - spent)
                if not found:
                    break
        with closing(apsw.Connection(str(state / FILE_NAME))) as database:
            left: int = database.execute("SELECT count(*) FROM run").get
            kept = database.execute("SELECT count(DISTINCT run) FROM run_stage WHERE run NOT IN (SELECT id FROM run)")
            assert kept.get == 0
        return seconds, cpu, runs - left


if __name__ == "__main__":
    main()
