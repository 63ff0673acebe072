"""What `status` costs with 100,000 accounts and 500,000 runs, stopped, and counting the accounts, as each scrape does.

All accounts have a task and wait, most of them for a quota; the runs have ended, but for a hundred.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

import apsw

from bench.rig.report import about, parsed, table
from crawlerd.frontier import open_frontier, open_reader

NOW = time.time()
REASONS = ["quota", "throttled", "limit", "outage"]


def fill(state_dir: Path, accounts: int, runs: int, running: int, imports: int, tasks: int = 1) -> None:
    """Straight into the tables, since half a million runs would take hours. tasks: that are ready, of each account."""
    open_frontier(state_dir, now=NOW).close()
    with closing(apsw.Connection(str(state_dir / "frontier.db"))) as db, db:
        each = range(1, accounts + 1)
        db.executemany("INSERT INTO account(id, name, source) VALUES (?, ?, 'shop')", ((n, f"a{n:06}") for n in each))
        db.executemany(
            "INSERT INTO bucket(id, account, name, ready, blocked_until, reason, waits_for, blocked_since) "
            "VALUES (?, ?, 'pages', ?, ?, ?, '400 of 400 requests of the day are used', ?)",
            ((n, n, tasks, NOW + n % 86_400, REASONS[n % 7 % 4], NOW) for n in each),
        )
        db.executemany("INSERT INTO queue VALUES (?, ?, ?, 0)", ((n, runs + 1 + n % running, tasks) for n in each))
        db.execute("INSERT INTO kind(name) VALUES ('shop.page')")
        db.executemany(
            "INSERT INTO ready(bucket, run, priority, seq, kind, attempt, crashes, payload) "
            """VALUES (?, ?, 5, ?, 1, 0, 0, '{"page":1}')""",
            ((n, runs + 1 + n % running, tasks * n + place) for n in each for place in range(tasks)),
        )
        db.execute("UPDATE next_seq SET value = ?", (tasks * (accounts + 1),))
        db.executemany(
            'INSERT INTO run(id, import, account, "full", state, started_at, ended_at, done, records) '
            "VALUES (?, ?, ?, 1, 'completed', ?, ?, 9, 900)",
            (
                (n, f"import{n % imports}", 1 + n % accounts, NOW - runs + n, NOW - runs + n + 30)
                for n in range(1, runs + 1)
            ),
        )
        db.executemany(
            'INSERT INTO run(id, import, account, "full", state, started_at, open) '
            "VALUES (?, ?, ?, 1, 'running', ?, ?)",
            (
                (runs + 1 + n, f"import{n % imports}", 1 + n, NOW, tasks * len(range(n, accounts, running)))
                for n in range(running)
            ),
        )


def cpu(command: list[str], place: Path) -> tuple[float, int]:
    """Seconds of CPU, and lines."""
    before = os.times()
    done = subprocess.run(command, cwd=place, stdout=subprocess.PIPE, check=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent, done.stdout.count(b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=500_000)
    parser.add_argument("--imports", type=int, nargs="+", default=[20, 5_000])
    parser.add_argument("--rounds", type=int, default=5)
    args = parsed(parser, accounts=1_000, runs=2_000, imports=[20], rounds=1)
    print(about(), "\n")
    rows = []
    for imports in args.imports:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            (place / "var").mkdir(mode=0o700)
            (place / "crawlerd.toml").write_text('[daemon]\nstate_dir = "var"\n')
            fill(place / "var", args.accounts, args.runs, 100, imports)
            command = [str(Path(sys.executable).with_name("crawlerd")), "status"]
            found = [cpu(command, place) for _ in range(args.rounds)]
            counting = []
            reader = open_reader(place / "var")
            assert reader is not None
            with closing(reader):
                for _ in range(args.rounds):
                    start = time.process_time()
                    counts = reader.wait_counts(NOW)
                    counting.append(time.process_time() - start)
            assert sum(counts.values()) == args.accounts, counts
        seconds = f"{median(each for each, _ in found):.2f}"
        rows.append((f"{imports:,}", seconds, max(lines for _, lines in found), f"{1000 * median(counting):.0f}"))
    head = ("imports", "`status`, s of CPU", "lines", "counting accounts, ms of CPU")
    print(table([f"{args.accounts:,} accounts, {args.runs:,} runs; {head[0]}", *head[1:]], rows))


if __name__ == "__main__":
    main()
