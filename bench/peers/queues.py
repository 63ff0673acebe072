"""Enqueue, lease and acknowledge, in one thread: the frontier itself, persist-queue, Huey and litequeue."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import persistqueue
from huey.storage import SqliteStorage
from litequeue import LiteQueue
from persistqueue.serializers import json as json_serializer

from bench.rig.fsync import COSTS, Fsync, fsyncs
from bench.rig.process import answered, environment, module
from bench.rig.queued import CHUNK
from bench.rig.report import about, parsed, spread, table
from crawlerd.core.outcome import Complete
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.sqlite.frontier import SqliteFrontier
from crawlerd.frontier.waiting_contract import FIRST

PRIORITY = 5


class Found(NamedTuple):
    """Of one round. put, take: a second. fsyncs: a task that was taken. mode: journal and synchronous, as SQLite has
    them. crash: what becomes of a task that was leased and not acknowledged."""

    put: float
    take: float
    fsyncs: float
    mode: str
    crash: str


class Queue(ABC):
    """One queue, in the directory `place`. crash: see `Found`."""

    crash: str

    @abstractmethod
    def __init__(self, place: Path) -> None: ...

    @abstractmethod
    def fill(self, payloads: list[str]) -> None:
        """Quickly, by the queue's own table where it knows no bulk."""

    @abstractmethod
    def put(self, payload: str) -> int:
        """Returns how many were put: some queues put groups."""

    @abstractmethod
    def take(self) -> int:
        """Leases the next task, and acknowledges it. Returns how many, as `put`."""

    @abstractmethod
    def pragma(self, name: str) -> object: ...


class CrawlerdFrontier(Queue):
    """group: children, and completed tasks, of one transaction."""

    crash = "leased again"

    def __init__(self, place: Path, group: int) -> None:
        self._frontier, self._group = SqliteFrontier(place, now=time.time()), group
        self._account = self._frontier.account("a", "noop")

    def _commit(self, settled: list[Settled]) -> None:
        self._frontier.commit(settled, now=time.time())

    def fill(self, payloads: list[str]) -> None:
        new = [NewTask("noop", "noop", PRIORITY, payload) for payload in payloads]
        self._frontier.start_run("a", self._account, new[:CHUNK], full=True, now=time.time())
        ((bucket, run),) = self._frontier.ready_queues(self._account)
        self._queue = bucket.id, run
        for start in range(CHUNK, len(new), CHUNK):
            (parent,) = self._frontier.heads(self._queue, FIRST, 1)
            self._commit([Settled(parent, self._account, Complete(children=new[start : start + CHUNK]))])

    def put(self, payload: str) -> int:
        (parent,) = self._frontier.heads(self._queue, FIRST, 1)  # tasks come from tasks
        children = [NewTask("noop", "noop", PRIORITY, payload) for _ in range(self._group)]
        self._commit([Settled(parent, self._account, Complete(children=children))])
        return self._group

    def take(self) -> int:
        tasks = self._frontier.heads(self._queue, FIRST, self._group)
        self._commit([Settled(task, self._account, Complete()) for task in tasks])
        return len(tasks)

    def pragma(self, name: str) -> object:
        return self._frontier._db.pragma(name)


class AckQueue(Queue):
    """persist-queue's SQLiteAckQueue. clear: acknowledged rows are deleted, a thousand at a time."""

    crash = "given again at the next start"

    def __init__(self, place: Path, *, clear: bool) -> None:
        self._queue: Any = persistqueue.SQLiteAckQueue(str(place), serializer=json_serializer)
        self._clear, self._acked = clear, 0

    def fill(self, payloads: list[str]) -> None:
        rows = [(json_serializer.dumps(payload), time.time()) for payload in payloads]
        with self._queue._putter as connection:
            connection.executemany(self._queue._sql_insert, rows)

    def put(self, payload: str) -> int:
        self._queue.put(payload)
        return 1

    def take(self) -> int:
        self._queue.ack(id=self._queue.get(block=False, raw=True)["pqid"])
        self._acked += 1
        if self._clear and self._acked % 1000 == 0:
            self._queue.clear_acked_data(max_delete=1000, keep_latest=0)
        return 1

    def pragma(self, name: str) -> object:
        return self._queue._putter.execute(f"PRAGMA {name}").fetchone()[0]


class PriorityQueue(Queue):
    """persist-queue's."""

    crash = "lost"

    def __init__(self, place: Path) -> None:
        self._queue: Any = persistqueue.PriorityQueue(str(place), serializer=json_serializer)

    def fill(self, payloads: list[str]) -> None:
        rows = [(json_serializer.dumps(payload), time.time(), PRIORITY) for payload in payloads]
        with self._queue._putter as connection:
            connection.executemany(self._queue._sql_insert, rows)

    def put(self, payload: str) -> int:
        self._queue.put(payload, priority=PRIORITY)
        return 1

    def take(self) -> int:
        self._queue.get(block=False)
        return 1

    def pragma(self, name: str) -> object:
        return self._queue._putter.execute(f"PRAGMA {name}").fetchone()[0]


class HueyStorage(Queue):
    """The storage of SqliteHuey(fsync=True), without Huey's own messages and workers."""

    crash = "lost"

    def __init__(self, place: Path) -> None:
        self._storage = SqliteStorage(filename=str(place / "huey.db"), fsync=True)

    def fill(self, payloads: list[str]) -> None:
        rows = [(self._storage.name, payload.encode(), PRIORITY) for payload in payloads]
        with self._storage.db(commit=True) as cursor:
            cursor.executemany("insert into task (queue, data, priority) values (?, ?, ?)", rows)

    def put(self, payload: str) -> int:
        self._storage.enqueue(payload.encode(), PRIORITY)
        return 1

    def take(self) -> int:
        assert self._storage.dequeue()
        return 1

    def pragma(self, name: str) -> object:
        return self._storage.sql(f"PRAGMA {name}", results=True)[0][0]


class LiteQueueFull(Queue):
    """litequeue, whose own synchronous = NORMAL loses acknowledged transactions at a power cut: set to FULL."""

    crash = "locked, until list_locked finds it"

    def __init__(self, place: Path) -> None:
        self._queue = LiteQueue(place / "lite.db", sqlite_cache_size_bytes=8_000)  # KiB, whatever its name says
        self._queue.conn.execute("PRAGMA synchronous = FULL")

    def fill(self, payloads: list[str]) -> None:
        with self._queue.transaction():
            for payload in payloads:
                self._queue.put(payload)

    def put(self, payload: str) -> int:
        self._queue.put(payload)
        return 1

    def take(self) -> int:
        self._queue.done(self._queue.pop().message_id)
        return 1

    def pragma(self, name: str) -> object:
        return self._queue.conn.execute(f"PRAGMA {name}").fetchone()[0]


QUEUES: dict[str, Callable[[Path], Queue]] = {
    "crawlerd's frontier, groups of 500": partial(CrawlerdFrontier, group=500),
    "crawlerd's frontier, one by one": partial(CrawlerdFrontier, group=1),
    "Huey, SqliteStorage(fsync=True)": HueyStorage,
    "litequeue, synchronous set to full": LiteQueueFull,
    "persist-queue SQLiteAckQueue, cleared": partial(AckQueue, clear=True),
    "persist-queue SQLiteAckQueue": partial(AckQueue, clear=False),
    "persist-queue PriorityQueue": PriorityQueue,
}


def measure(name: str, place: Path, queued: int, seconds: float, counter: Path) -> Found:
    """In a process of its own: rates at about `queued` tasks, and fsyncs of each task that was taken."""
    queue = QUEUES[name](place)
    queue.fill([payload(number) for number in range(queued)])
    numbers = count(queued)

    def rate(act: Callable[[], int]) -> tuple[float, int]:
        done, start = 0, time.monotonic()
        while (now := time.monotonic()) < start + seconds and done < queued // 2:
            done += act()
        return done / (now - start), done

    put, _ = rate(lambda: queue.put(payload(next(numbers))))
    before = fsyncs(counter)
    take, done = rate(queue.take)
    spent = fsyncs(counter) - before
    modes = {0: "off", 1: "normal", 2: "full"}
    mode = f"{queue.pragma('journal_mode')}, {modes[int(str(queue.pragma('synchronous')))]}"
    return Found(put, take, spent / done, mode, queue.crash)


def payload(number: int) -> str:
    return json.dumps({"customer": f"cus_{number:014}", "starting_after": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--seconds", type=float, default=3.0, help="of putting, and of taking")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cost", choices=COSTS, action="append", help="of fsync; all by default")
    parser.add_argument("--part", nargs=5, help=argparse.SUPPRESS)
    args = parsed(parser, sizes=[2_000], seconds=0.05, rounds=1, cost=["free"])
    if args.part:
        name, place, queued, seconds, counter = args.part
        print(json.dumps(measure(name, Path(place), int(queued), float(seconds), Path(counter))))
        return
    print(about("persist-queue", "huey", "litequeue"), "\n")
    rows = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        fsync = Fsync(Path(folder).resolve())
        for cost in args.cost or COSTS:
            for queued in args.sizes:
                found: dict[str, list[Found]] = {name: [] for name in QUEUES}
                for _ in range(args.rounds):
                    for name, all_ in found.items():
                        all_.append(part(fsync, COSTS[cost], name, queued, args.seconds))
                rows += [row(cost, queued, name, all_) for name, all_ in found.items()]
    header = (
        "fsync",
        "queued",
        "",
        "put/s",
        "taken/s",
        "fsyncs a task",
        "journal, synchronous",
        "after a crash",
    )
    print(table(header, rows))


def part(fsync: Fsync, cost: int | None, name: str, queued: int, seconds: float) -> Found:
    with tempfile.TemporaryDirectory(dir=".") as place:
        arguments = [name, str(Path(place).resolve()), str(queued), str(seconds), str(fsync.counter)]
        command = module("bench.peers.queues", "--part", *arguments)
        return answered(command, environment(base=fsync.environment(cost)), Found)


def row(cost: str, queued: int, name: str, found: list[Found]) -> tuple[str, ...]:
    take = [each.take for each in found]
    return (
        cost,
        f"{queued:,}",
        name,
        f"{statistics.median(each.put for each in found):,.0f}",
        spread(take, ",.0f"),
        f"{statistics.median(each.fsyncs for each in found):.3f}",
        found[0].mode,
        found[0].crash,
    )


if __name__ == "__main__":
    main()
