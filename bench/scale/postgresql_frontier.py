"""The frontier in PostgreSQL, next to the one in SQLite: cycles a second, in turns.

A cycle leases a task and completes it with one child, in groups of 500, over 100 buckets; all frontiers do the same.
One of them is behind a network on which a way and back take a millisecond.

    python -m bench.scale.postgresql_frontier [--tasks 20000] [--cycles 20000] [--rounds 3] [--delay 0.001]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.rig.delay_proxy import delayed
from bench.rig.report import about, parsed, table
from bench.rig.testbed import postgres_server
from crawlerd.core.outcome import Complete
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.postgresql.frontier import PostgresFrontier
from crawlerd.frontier.postgresql.session import Place
from crawlerd.frontier.sqlite.frontier import SqliteFrontier
from crawlerd.frontier.waiting_contract import FIRST, Wanted

if TYPE_CHECKING:
    from crawlerd.frontier.sql.frontier import SqlFrontier
    from crawlerd.frontier.waiting_contract import Key, Queue

BUCKETS, GROUP = 100, 500
PAYLOAD = '{"starting_after":"cus_0123456789abcdef","limit":100}'


def filled(it: SqlFrontier, tasks: int) -> dict[Queue, Key]:
    """Its queues, with so many tasks, as `cycled` takes them."""
    account = it.account("acme", "stripe")
    each = [NewTask("s.page", f"b{number % BUCKETS}", 5, PAYLOAD) for number in range(tasks)]
    for start in range(0, tasks, 200_000):
        it.start_run(f"import {start}", account, each[start : start + 200_000], full=True, now=time.time())
    return {(bucket.id, run): FIRST for bucket, run in it.ready_queues(None)}


def cycled(it: SqlFrontier, queues: dict[Queue, Key], cycles: int) -> float:
    """Cycles a second. queues: each with the key of the last task that was leased, as the engine keeps it."""
    began, done = time.perf_counter(), 0
    names = {bucket: it.bucket(bucket).name for bucket, _ in queues}
    children = {bucket: [NewTask("s.page", name, 5, PAYLOAD)] for bucket, name in names.items()}
    while done < cycles:
        share = max(1, GROUP // len(queues))
        tasks = [task for found in it.heads_many([Wanted(*each, share) for each in queues.items()]) for task in found]
        tasks = tasks[:GROUP]
        queues |= {(task.bucket, task.run): (task.priority, task.seq) for task in tasks}
        it.commit(
            [Settled(task, 1, Complete(children=children[task.bucket])) for task in tasks],
            now=time.time(),
        )
        it.next_due()  # as the engine does, to know how long it may wait
        done += len(tasks)
    return done / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--cycles", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0.001, help="seconds of a way and back")
    given = parsed(parser, tasks=1_000, cycles=1_000, rounds=1)
    folder = Path(tempfile.mkdtemp())
    with postgres_server(fsync="on", shared_buffers="128MB") as server, delayed(server.port, given.delay) as network:
        far = server.url().replace(f":{server.port}/", f":{network.port}/")
        its: dict[str, SqliteFrontier | PostgresFrontier] = {
            "SQLite": SqliteFrontier(folder, now=time.time()),
            "PostgreSQL": PostgresFrontier(Place(server.url()), now=time.time()),
            f"PostgreSQL, {given.delay * 1000:g} ms away": PostgresFrontier(Place(far, "far"), now=time.time()),
        }
        rows = []
        queues = {name: filled(it, given.tasks) for name, it in its.items()}
        for number in range(given.rounds):
            rates = {}
            for name, it in its.items():
                before, proxy = psutil.Process().cpu_times(), network.cpu()
                rates[name] = cycled(it, queues[name], given.cycles)
                after = psutil.Process().cpu_times()
                cpu = (after.user + after.system - before.user - before.system) / given.cycles * 1e6
                proxied = (network.cpu() - proxy) / given.cycles * 1e6
                ratio = rates[name] / rates["SQLite"]
                rows.append([number + 1, name, f"{rates[name]:,.0f}", f"{ratio:.2f}", f"{cpu:,.0f}", f"{proxied:,.0f}"])
        print(about("apsw", "psycopg"))
        print(table(["round", "frontier", "cycles/s", "ratio", "our CPU, µs", "the proxy's, µs"], rows))
        for it in its.values():
            it.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
