"""Parts of `frontier.py` that fill a queue: `python -m bench.scale.filling PART ARGUMENTS`, one a process.

Each returns what it measured.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import psutil

from bench.rig.meters import frontier_bytes
from bench.rig.process import part_asked
from bench.rig.queued import CHUNK, attached, open_frontier, queued
from bench.sources.steady import Step, steady
from crawlerd.core.outcome import Complete
from crawlerd.engine import kinds
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.waiting_contract import FIRST, Block

DAY = 86_000.0  # seconds that a throttled account waits
Found = dict[str, float]


def shares(tasks: int, accounts: int) -> dict[str, int]:
    """Tasks by account: the first holds half, the others as equal parts of the rest as whole numbers permit."""
    first = tasks // 2
    each, more = divmod(tasks - first, accounts - 1)
    return {"a0": first} | {f"a{number}": each + (number <= more) for number in range(1, accounts)}


def seed(place: Path, tasks: int, accounts: int) -> Found:
    """Accounts, each with one task of an interrupted run as far as it gets any."""
    frontier = open_frontier(place)
    sink = attached(frontier, place / "warehouse.db")
    for name, share in shares(tasks, accounts).items():
        account = frontier.account(name, "steady")
        if share:
            first = kinds.new_task(steady, Step(f"parent_{account:012}", 0))
            frontier.start_run(name, account, [first], full=True, now=time.time(), sink=sink)
    frontier.close()
    return {}


def enqueue(place: Path, tasks: int, accounts: int) -> Found:
    """The seeds become the queue, as children of completed tasks: transactions of about 10,000, every second one of the
    first account, the others in random order."""
    frontier = open_frontier(place)
    wanted = list(shares(tasks, accounts).values())
    small = [number for number in range(1, accounts) if wanted[number] > 1]
    random.Random(1).shuffle(small)
    groups: list[list[tuple[int, int]]] = [[]]
    for number in small:
        if sum(count for _, count in groups[-1]) >= CHUNK:
            groups.append([])
        groups[-1].append((number, wanted[number]))
    left = wanted[0] - 1
    for turn in range(-(-left // CHUNK)):
        groups.insert(2 * turn, [(0, min(CHUNK, left - turn * CHUNK) + 1)])
    made, seconds, cpu = 0, 0.0, 0.0
    written = psutil.Process().io_counters().write_bytes
    for group in groups:
        settled = []
        for number, count in group:
            ((bucket, run),) = frontier.ready_queues(number + 1)
            (parent,) = frontier.heads((bucket.id, run), FIRST, 1)
            children = [kinds.new_task(steady, Step(f"parent_{number:012}", index)) for index in range(count)]
            settled.append(Settled(parent, bucket.account, Complete(children=children)))
            made += count
        start, start_cpu = time.monotonic(), time.process_time()
        frontier.commit(settled, now=time.time())
        seconds, cpu = seconds + time.monotonic() - start, cpu + time.process_time() - start_cpu
    start = time.monotonic()
    frontier.close()
    seconds += time.monotonic() - start
    assert queued(place) == tasks, queued(place)
    return {
        "rate": made / seconds,
        "cpu": cpu / made * 1e6,
        "written": (psutil.Process().io_counters().write_bytes - written) / made,
        "size": frontier_bytes(place) / tasks,
    }


def throttle(place: Path, accounts: int) -> Found:
    """All accounts but the first and every tenth wait for a Retry-After of a day."""
    frontier = open_frontier(place)
    numbers = (number for number in range(1, accounts + 1) if (number - 1) % 10)
    buckets = [bucket.id for number in numbers for bucket, _ in frontier.ready_queues(number)]
    frontier.commit([], now=time.time(), blocked=dict.fromkeys(buckets, Block(time.time() + DAY)))
    frontier.close()
    return {"blocked": len(buckets)}


if __name__ == "__main__":
    part_asked(seed, enqueue, throttle)
