"""Parents whose lists were read to their end: bytes on disk, memory, and what a group's look-up costs, at a million."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from crawlerd.core.outcome import Complete
from crawlerd.core.task import IfNew, NewTask, parent_hash
from crawlerd.frontier import open_frontier
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.sqlite.schema import FILE_NAME

GROUP = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parents", type=int, default=1_000_000)
    count: int = parser.parse_args().parents
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        frontier = open_frontier(path, now=0.0)
        account = frontier.account("acme", "shop")
        groups = count // GROUP
        starts = [NewTask("shop.start", "start", 5, "{}")] * (groups + 2)
        frontier.start_run("shop", account, starts, full=True, now=0.0)
        tasks = frontier.heads(1, (-1, -1), groups + 2)
        before, memory = (path / FILE_NAME).stat().st_size, _memory()
        started = time.process_time()
        for number, task in enumerate(tasks[:groups]):
            read = [("orders", parent_hash(f"{number}/{each}"), True) for each in range(GROUP)]
            frontier.commit([Settled(task, account, Complete(parents=read))], now=0.0)
        noted = (time.process_time() - started) / count
        for words, task, new in (("known", tasks[-2], False), ("new", tasks[-1], True)):
            children = [_below(f"{each * groups // GROUP}/{each}{'x' * new}") for each in range(GROUP)]
            started = time.process_time()
            frontier.commit([Settled(task, account, Complete(children=children))], now=0.0)
            print(f"look-up and task of a {words} parent: {(time.process_time() - started) / GROUP * 1e6:.1f} us")
        frontier.close()
        size = (path / FILE_NAME).stat().st_size - before
        print(
            f"{count:,} parents: {size / 1e6:.1f} MB, {size / count:.1f} bytes each; noted in {noted * 1e6:.1f} us of "
            f"CPU each; memory grew by {(_memory() - memory) / 1024:.1f} MB"
        )


def _below(parent: str) -> NewTask:
    full = NewTask("shop.orders", "orders", 5, f'{{"of":"{parent}"}}', unique=True)
    since = f'{{"of":"{parent}","since":1}}'
    return NewTask("shop.orders", "orders", 5, since, unique=True, if_new=IfNew("orders", parent_hash(parent), full))


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
