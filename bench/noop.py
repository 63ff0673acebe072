"""Durable no-op tasks a second: crawlerd's whole engine beside Huey's SqliteHuey consumer, at three costs of fsync."""

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

from rig import HERE, CpuMeter, Fsync, about, fill, install_source, table

CONFIG = """
[daemon]
state_dir = "var"
listen = "127.0.0.1:0"
worker_processes = {processes}
threads_per_process = {threads}
[sinks.none]
type = "sqlite"
path = "var/none.db"
"""
ACCOUNT = """
[accounts.{name}]
source = "noop"
[imports.{name}]
account = "{name}"
sink = "none"
streams = ["nothing"]
"""
HUEY_TASKS = 60_000
HUEY = """
from huey import SqliteHuey
app = SqliteHuey(filename="huey.db", results=False, fsync=True)
@app.task()
def nothing(number):
    pass
"""
HUEY_FILL = f"""
from huey_app import app, nothing
rows = [(app.storage.name, app.serialize_task(nothing.s(number))) for number in range({HUEY_TASKS})]
with app.storage.db(commit=True) as cursor:
    cursor.executemany("insert into task (queue, data, priority) values (?, ?, 0)", rows)
"""
HUEY_WORKERS = [("thread", 1), ("thread", 4), ("process", 1), ("process", 2)]
COSTS = {"free": 0, "1 ms": 1000, "as the disk has it": None}


def crawlerd_part(tasks: int) -> None:
    """In a process of its own, in a prepared directory: empties the queue and writes down what that took."""
    from crawlerd.engine.engine import Engine
    from crawlerd.settings import load

    settings = load(Path("crawlerd.toml"))
    with Engine(settings) as engine:
        for name in settings.imports:
            engine.start_import(name)
        while not engine.dispatcher.first_lease_at:
            time.sleep(0.0005)
        meter = CpuMeter(engine.dispatcher.worker_pids)
        left = len(settings.imports)
        while left and engine.failure is None:
            engine.changed.wait()
            engine.changed.clear()
            left -= len(engine.ended())
        seconds = time.monotonic() - engine.dispatcher.first_lease_at
        spent = meter.read()
        commits = engine.store.commits
    assert engine.failure is None
    found = {"rate": tasks / seconds, "commits": commits, **{who: each / tasks * 1e6 for who, each in spent.items()}}
    Path("found.json").write_text(json.dumps(found))


def crawlerd(folder: Path, args: argparse.Namespace, environment: dict[str, str]) -> dict[str, float]:
    """Fills a queue, then measures a process that empties it. The rate counts from first lease to last commit."""
    from noop_source import Nothing, noop

    place = folder / "crawlerd"
    shutil.rmtree(place, ignore_errors=True)
    each = args.tasks // args.accounts
    names = [f"a{number}" for number in range(args.accounts)]
    fill(place / "var", "noop", {name: (noop.new_task(Nothing(number)) for number in range(each)) for name in names})
    accounts = "".join(ACCOUNT.format(name=name) for name in names)
    config = CONFIG.format(processes=args.processes, threads=args.threads) + accounts
    (place / "crawlerd.toml").write_text(config)
    command = [sys.executable, __file__, "--part", "--tasks", str(each * args.accounts)]
    path = os.pathsep.join([str(folder / "sources"), str(HERE), environment.get("PYTHONPATH", "")])
    subprocess.run([*args.under, *command], cwd=place, env={**environment, "PYTHONPATH": path}, check=True)
    return json.loads((place / "found.json").read_text())


def huey(folder: Path, kind: str, workers: int, seconds: float, environment: dict[str, str]) -> float:
    """Tasks a second that the consumer takes, within `seconds` from its first one."""
    place = folder / "huey"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "huey_app.py").write_text(HUEY)
    subprocess.run([sys.executable, "-c", HUEY_FILL], cwd=place, env={**environment, "PYTHONPATH": "."}, check=True)
    reader = sqlite3.connect(f"file:{place}/huey.db?mode=ro", uri=True)
    command = ["huey_consumer", "huey_app.app", "-k", kind, "-w", str(workers), "-q", "-n", "-C"]
    command[0] = str(Path(sys.executable).with_name(command[0]))
    consumer = subprocess.Popen(command, cwd=place, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)

    def left() -> int:
        return int(reader.execute("select max(id) - min(id) + 1 from task").fetchone()[0] or 0)

    try:
        while (first := left()) == HUEY_TASKS:
            time.sleep(0.005)
        start = time.monotonic()
        time.sleep(seconds)
        last, end = left(), time.monotonic()
        assert last > 0, "Huey was through too early: raise HUEY_TASKS"
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
    parser.add_argument("--seconds", type=float, default=5.0, help="of Huey, in each round")
    parser.add_argument("--cost", choices=COSTS, action="append", help="of fsync; all by default")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--under", type=str.split, default=[], help="a program to run crawlerd under, such as a profiler")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        crawlerd_part(args.tasks)
        return
    print(about("huey"), "\n")
    rows = []
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        (folder / "sources").mkdir()
        install_source(folder / "sources", "noop", "noop_source:noop")
        fsync = Fsync(folder)
        for cost in args.cost or COSTS:
            environment = fsync.environment(COSTS[cost])
            workers = None
            if not args.no_peer:
                tried = {each: huey(folder, *each, args.seconds / 3, environment) for each in HUEY_WORKERS}
                workers = max(tried, key=tried.__getitem__)
            ours, peers, syncs = [], [], []
            for _ in range(args.rounds):
                if workers:
                    peers.append(huey(folder, *workers, args.seconds, environment))
                before = fsync.count()
                ours.append(crawlerd(folder, args, environment))
                syncs.append(fsync.count() - before)
            middle = {key: statistics.median(each[key] for each in ours) for key in ours[0]}
            peer = statistics.median(peers) if peers else float("nan")
            rows.append(
                (
                    cost,
                    f"{middle['rate']:,.0f}",
                    f"{min(e['rate'] for e in ours):,.0f}-{max(e['rate'] for e in ours):,.0f}",
                    f"{peer:,.0f}",
                    f"{workers[1]} {workers[0]}" if workers else "",
                    f"{middle['rate'] / peer:.0f}",
                    *(f"{middle[key]:.1f}" for key in ("main", "dispatcher", "store", "workers")),
                    f"{args.tasks / middle['commits']:.0f}",
                    f"{statistics.median(syncs) / middle['commits']:.2f}",
                )
            )
    header = ("fsync", "crawlerd tasks/s", "range", "Huey tasks/s", "its best workers", "ratio")
    spent = ("main process µs/task", "dispatcher", "store", "workers", "tasks a commit", "fsyncs a commit")
    print(table((*header, *spent), rows))


if __name__ == "__main__":
    main()
