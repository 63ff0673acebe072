"""Durable no-op tasks a second: crawlerd's whole engine and Huey's SqliteHuey consumer, at three costs of fsync."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.rig.fsync import COSTS, Fsync
from bench.rig.installation import Installation
from bench.rig.meters import CpuMeter, Others
from bench.rig.process import install_source, module
from bench.rig.queued import fill
from bench.rig.report import about, parsed, table
from bench.sources.noop import Nothing, noop
from crawlerd.config.load import load
from crawlerd.engine import kinds
from crawlerd.engine.engine import Engine
from crawlerd.sources import registry

HUEY = """
from huey import SqliteHuey
app = SqliteHuey(filename="huey.db", results={results}, fsync=True)
@app.task()
def nothing(number):
    return number
"""
HUEY_FILL = """
from huey_app import app, nothing
rows = [(app.storage.name, app.serialize_task(nothing.s(number))) for number in range({tasks})]
with app.storage.db(commit=True) as cursor:
    cursor.executemany("insert into task (queue, data, priority) values (?, ?, 0)", rows)
"""
HUEY_RATE = 25_000  # tasks a second that it does not reach
HUEY_WORKERS = [("thread", 1), ("thread", 4), ("process", 1), ("process", 2)]


def crawlerd_part(tasks: int) -> None:
    """In a process of its own, in a prepared directory: empties the queue and writes down what that took."""
    settings = load(Path("crawlerd.toml"), registry=registry)
    with Engine(settings) as engine:
        for name in settings.imports:
            engine.runs.start_import(name)
        while not engine.dispatcher.first_lease_at:
            time.sleep(0.0005)
        meter = CpuMeter(list(engine.dispatcher.worker_pids.values()))
        left = len(settings.imports)
        while left and engine.failure is None:
            engine.changed.wait()
            engine.changed.clear()
            left -= len(engine.runs.ended())
        seconds = time.monotonic() - engine.dispatcher.first_lease_at
        spent = meter.read()
        commits = engine.store.counts.commits
    assert engine.failure is None
    found = {"rate": tasks / seconds, "commits": commits, **{who: each / tasks * 1e6 for who, each in spent.items()}}
    Path("found.json").write_text(json.dumps(found))


def crawlerd(folder: Path, args: argparse.Namespace, environment: dict[str, str]) -> dict[str, float]:
    """Fills a queue, then measures a process that empties it. The rate counts from first lease to last commit."""
    place = folder / "crawlerd"
    shutil.rmtree(place, ignore_errors=True)
    each = args.tasks // args.accounts
    here = Installation(
        place,
        sources=folder / "sources",
        base=environment,
        worker_processes=args.processes,
        threads_per_process=args.threads,
    )
    queue = {f"a{number}": (kinds.new_task(noop, Nothing(at)) for at in range(each)) for number in range(args.accounts)}
    for name in queue:
        here.add(name, "noop", ["nothing"])
    here.write()
    queued = fill(here, "noop", queue)
    command = module("bench.peers.noop", "--part", "--tasks", str(queued))
    subprocess.run([*args.under, *command], cwd=place, env=here.environment, check=True)
    found: dict[str, float] = json.loads((place / "found.json").read_text())
    return found


def huey(
    folder: Path, environment: dict[str, str], seconds: float, *, results: bool, workers: tuple[str, int]
) -> float:
    """Tasks a second that the consumer takes, within `seconds` from its first ones.

    Huey deletes a task before it performs it. results: whether it then keeps what the task returned, which is the only
    durable sign that it was performed, and a second commit.
    """
    place = folder / "huey"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    tasks = round(HUEY_RATE * (seconds + 1))
    (place / "huey_app.py").write_text(HUEY.format(results=results))
    in_place = {**environment, "PYTHONPATH": "."}
    subprocess.run([sys.executable, "-c", HUEY_FILL.format(tasks=tasks)], cwd=place, env=in_place, check=True)
    reader = sqlite3.connect(f"file:{place}/huey.db?mode=ro", uri=True)
    program = str(Path(sys.executable).with_name("huey_consumer"))
    command = [program, "huey_app.app", "-k", workers[0], "-w", str(workers[1]), "-q", "-n", "-C"]
    consumer = subprocess.Popen(command, cwd=place, env=in_place, start_new_session=True)

    def left() -> int:
        return int(reader.execute("SELECT coalesce(max(id) - min(id) + 1, 0) FROM task").fetchone()[0])

    try:
        while (first := left()) == tasks:
            time.sleep(0.005)
        start = time.monotonic()
        time.sleep(seconds)
        last, end = left(), time.monotonic()
        assert last > 0, "Huey was through too early: raise HUEY_RATE"
        return (first - last) / (end - start)
    finally:
        os.killpg(consumer.pid, signal.SIGKILL)
        consumer.wait()
        reader.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--accounts", type=int, default=10, help="that the tasks are spread over, without limits")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0, help="of Huey, in each round")
    parser.add_argument("--cost", choices=COSTS, action="append", help="of fsync; all by default")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--under", type=str.split, default=[], help="a profiler to run crawlerd under")
    parser.set_defaults(huey_workers=HUEY_WORKERS)
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    args = parsed(parser, tasks=2_000, accounts=2, rounds=1, seconds=0.3, cost=["free"], huey_workers=[("thread", 1)])
    if args.part:
        crawlerd_part(args.tasks)
        return
    print(about("huey"), "\n")
    others = Others()
    rates, spent = [], []
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        install_source(folder / "sources", "noop")
        fsync = Fsync(folder)
        for cost in args.cost or COSTS:
            environment = fsync.environment(COSTS[cost])
            peers = {kept: quickest(folder, environment, args, kept) for kept in (True, False) if not args.no_peer}
            ours: list[dict[str, float]] = []
            theirs: dict[bool, list[float]] = {kept: [] for kept in peers}
            before, syncs = 0, 0
            for _ in range(args.rounds):
                for kept, workers in peers.items():
                    theirs[kept].append(huey(folder, environment, args.seconds, results=kept, workers=workers))
                before = fsync.count()
                ours.append(crawlerd(folder, args, environment))
                syncs += fsync.count() - before
            rate = [each["rate"] for each in ours]
            row = [cost, *best_of(rate)]
            for kept, workers in peers.items():
                ratio = max(rate) / max(theirs[kept])
                row += [*best_of(theirs[kept]), f"{workers[1]} {workers[0]}", f"{ratio:.1f}"]
            rates.append(row)
            commits = sum(each["commits"] for each in ours)
            spent.append(
                (
                    cost,
                    *(f"{min(each[who] for each in ours):.1f}" for who in ("main", "dispatcher", "store", "workers")),
                    f"{args.tasks * args.rounds / commits:.0f}",
                    f"{syncs / commits:.2f}",
                )
            )
    huey_columns = ["median", "workers", "ratio"]
    header = ["fsync", "crawlerd tasks/s", "median"]
    if not args.no_peer:
        header += ["Huey, results kept", *huey_columns, "Huey, no results", *huey_columns]
    print(table(header, rates), "\n")
    header = ["fsync", "least CPU µs a task: main process", "its dispatcher", "its store", "workers"]
    print(table([*header, "tasks a commit", "fsyncs a commit"], spent))
    print(f"\n{others}")


def quickest(folder: Path, environment: dict[str, str], args: argparse.Namespace, kept: bool) -> tuple[str, int]:
    """The workers with which Huey is quickest."""
    settings: list[tuple[str, int]] = args.huey_workers
    if len(settings) == 1:
        return settings[0]
    tried = {
        workers: huey(folder, environment, args.seconds / 3, results=kept, workers=workers) for workers in settings
    }
    return max(tried, key=tried.__getitem__)


def best_of(rates: list[float]) -> tuple[str, str]:
    """The best and the median: what else runs on a machine only ever slows."""
    return f"{max(rates):,.0f}", f"{statistics.median(rates):,.0f}"


if __name__ == "__main__":
    main()
