"""Parents whose lists were read to their end: bytes on disk, memory, and what a group's look-up costs, at a million."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from bench.rig.report import about, parsed, table
from crawlerd.core.outcome import Complete
from crawlerd.core.task import IfNew, NewTask, parent_hash
from crawlerd.frontier import open_frontier
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.sqlite.database import FILE_NAME
from crawlerd.frontier.waiting_contract import FIRST

GROUP = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parents", type=int, default=1_000_000)
    count: int = parsed(parser, parents=2_000).parents
    print(about(), "\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        frontier = open_frontier(path, now=0.0)
        account = frontier.account("acme", "shop")
        groups = count // GROUP
        starts = [NewTask("shop.start", "start", 5, "{}")] * (groups + 2)
        frontier.start_run("shop", account, starts, full=True, now=0.0)
        tasks = frontier.heads((1, 1), FIRST, groups + 2)
        before, memory = (path / FILE_NAME).stat().st_size, _memory()
        started = time.process_time()
        for number, task in enumerate(tasks[:groups]):
            read = [("orders", parent_hash(f"{number}/{each}"), True) for each in range(GROUP)]
            frontier.commit([Settled(task, account, Complete(parents=read))], now=0.0)
        noted = (time.process_time() - started) / count
        look_ups = []
        for task, new in ((tasks[-2], False), (tasks[-1], True)):
            children = [_below(f"{each * groups // GROUP}/{each}{'x' * new}") for each in range(GROUP)]
            started = time.process_time()
            frontier.commit([Settled(task, account, Complete(children=children))], now=0.0)
            look_ups.append(f"{(time.process_time() - started) / GROUP * 1e6:.1f}")
        frontier.close()
        size = (path / FILE_NAME).stat().st_size - before
        grown = (_memory() - memory) / 1024
    header = ["parents", "MB", "bytes each", "µs to note one", "µs to ask for a known one", "a new one", "memory, MB"]
    row = [f"{count:,}", f"{size / 1e6:.1f}", f"{size / count:.1f}", f"{noted * 1e6:.1f}", *look_ups, f"{grown:.1f}"]
    print(table(header, [row]))


def _below(parent: str) -> NewTask:
    full = NewTask("shop.orders", "orders", 5, f'{{"of":"{parent}"}}', unique=True)
    since = f'{{"of":"{parent}","since":1}}'
    return NewTask("shop.orders", "orders", 5, since, unique=True, if_new=IfNew("orders", parent_hash(parent), full))


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
