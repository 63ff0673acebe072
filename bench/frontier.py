"""A queue of 10M tasks over 100,000 accounts, beside one of 20,000: enqueue, disk, memory, lease, throughput, start."""

from __future__ import annotations

import gc
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import psutil
from rig import CHUNK
from steady_source import Step, steady

import crawlerd.engine.engine as engine_module
from crawlerd.core.account import AccountSpec, Daemon, ImportSpec, LimitSpec, SinkSpec
from crawlerd.core.outcome import Complete
from crawlerd.engine.engine import Engine
from crawlerd.engine.workbench import Choice, Workbench
from crawlerd.frontier.reader import FrontierReader
from crawlerd.frontier.sqlite import Frontier, Settled
from crawlerd.ratelimit.window import Stamp
from crawlerd.settings import Settings, load

PROCESSES, THREADS = 2, 16
MEMORY_SECONDS = 0.1  # between looks at the resident memory
STARTERS = 64
WARM_TASKS = 10_000
LEASES = 200_000  # timed in isolation
FAR = 86_000.0  # seconds that a throttled account stays so
CONFIG = """
[daemon]
state_dir = "{state_dir}"
listen = "127.0.0.1:0"
worker_processes = {processes}
threads_per_process = {threads}
[sinks.none]
type = "sqlite"
path = "none.db"
"""
ACCOUNT = """
[accounts.a{number}]
source = "steady"
limits = []
[imports.a{number}]
account = "a{number}"
sink = "none"
streams = ["nothing"]
"""


def shares(tasks: int, accounts: int) -> list[int]:
    """Tasks of each account: the first holds half, the others as equal parts of the rest as whole numbers permit."""
    first = tasks // 2
    each, more = divmod(tasks - first, accounts - 1)
    return [first, *(each + (number < more) for number in range(accounts - 1))]


# parts: each in a process of its own, in the directory `place`, whose findings are printed as JSON


def seed(place: Path, tasks: int, accounts: int) -> dict[str, float]:
    """Accounts with one task each of an interrupted run, as far as they get any."""
    frontier = Frontier(place, now=time.time())
    for number, share in enumerate(shares(tasks, accounts)):
        account = frontier.account(f"a{number}", "steady")
        if share:
            first = steady.new_task(Step(f"parent_{number:012}", 0))
            frontier.start_run(f"a{number}", account, [first], full=True, now=time.time())
    frontier.close()
    return {}


def enqueue(place: Path, tasks: int, accounts: int) -> dict[str, float]:
    """The seeds become the tasks: children of completed ones, in transactions of 10,000, accounts in random order."""
    frontier = Frontier(place, now=time.time())
    numbers = {f"a{n}": frontier_account for n, frontier_account in enumerate(range(1, accounts + 1))}
    buckets = {name: frontier.ready_buckets(number) for name, number in numbers.items()}
    wanted = shares(tasks, accounts)
    small = [number for number in range(1, accounts) if wanted[number] > 1]
    random.Random(1).shuffle(small)
    groups: list[list[tuple[int, int]]] = [[]]
    for number in small:
        if sum(count for _, count in groups[-1]) >= CHUNK:
            groups.append([])
        groups[-1].append((number, wanted[number]))
    left = wanted[0] - 1
    for group in range(0, 2 * max(1, -(-left // CHUNK)), 2):  # the first account's turn is every second one
        groups.insert(group, [(0, min(CHUNK, left) + 1)])
        left -= min(CHUNK, left)
    made, spent = 0, 0.0
    io, cpu, begun = psutil.Process().io_counters().write_bytes, time.process_time(), time.monotonic()
    for group in groups:
        settled = []
        for number, count in group:
            (bucket,) = buckets[f"a{number}"]
            (parent,) = frontier.heads(bucket.id, (-1, -1), 1)
            children = [steady.new_task(Step(f"parent_{number:012}", index)) for index in range(count)]
            settled.append(Settled(parent, bucket.account, Complete(children=children)))
        start = time.monotonic()
        frontier.commit(settled, now=time.time())
        spent += time.monotonic() - start
        made += sum(count for _, count in group)
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    frontier.close()
    written = psutil.Process().io_counters().write_bytes - io
    reader = FrontierReader.open(place)
    assert reader is not None
    assert reader.totals() == (tasks, 0, 0), reader.totals()
    reader.close()
    size = sum(each.stat().st_size for each in place.glob("frontier.db*"))
    return {"made": made, "commit": spent, "seconds": seconds, "cpu": cpu, "written": written, "size": size}


def throttle(place: Path, accounts: int) -> dict[str, float]:
    """90% of the accounts, all but the first and every tenth, wait for a Retry-After of a day."""
    frontier = Frontier(place, now=time.time())
    blocked = {}
    for number in range(1, accounts + 1):
        if (number - 1) % 10:
            blocked.update({bucket.id: time.time() + FAR for bucket in frontier.ready_buckets(number)})
    frontier.commit([], now=time.time(), blocked=blocked)
    frontier.close()
    return {"blocked": len(blocked)}


class TimedWorkbench(Workbench):
    """Notes what each lease took: wall-clock seconds, waits for the GIL included."""

    took: ClassVar[list[float]] = []
    _share = 0.0

    def choose(self, now: float, most: int) -> list[Choice]:
        start = time.perf_counter()
        choices = super().choose(now, most)
        self._share = (time.perf_counter() - start) / max(1, len(choices))
        return choices

    def charge(self, choice: Choice, now: float) -> Stamp:
        start = time.perf_counter()
        stamp = super().charge(choice, now)
        self.took.append(self._share + time.perf_counter() - start)
        return stamp


def run(
    place: Path, tasks: int, accounts: int, seconds: float, spawned: float, *, toml: bool, only: int
) -> dict[str, float]:
    """The engine on the queue. only: starts the imports of the first and every so-many-th account alone."""
    process = psutil.Process()

    def resident() -> float:
        return process.memory_info().rss / 2**20

    found = {"rss bare": resident()}
    settings = load(place / "crawlerd.toml") if toml else settings_of(place, accounts)
    gc.collect()
    found |= {"s settings": time.monotonic() - spawned, "rss settings": resident()}
    start = time.monotonic()
    engine_module.Workbench = TimedWorkbench
    engine = Engine(settings)
    found |= {"s engine": time.monotonic() - start, "rss engine": resident()}
    start = time.monotonic()
    with engine:
        names = [f"a{n}" for n, share in enumerate(shares(tasks, accounts)) if share and n % only == 0]
        engine.start_import(names[0])
        while not engine.dispatcher.first_lease_at:
            assert engine.failure is None
            time.sleep(0.001)
        found["s first lease"] = engine.dispatcher.first_lease_at - spawned
        with ThreadPoolExecutor(STARTERS) as starters:  # one alone would wait for a commit each time
            list(starters.map(engine.start_import, names[1:]))
        found["s imports"] = time.monotonic() - start
        outcomes, most = engine.dispatcher.outcomes, 0.0
        warm = outcomes["complete"] + WARM_TASKS
        while outcomes["complete"] < warm:
            assert engine.failure is None
            time.sleep(0.01)
        found |= {"s under way": time.monotonic() - start, "rss imports": resident()}
        before, begun, commits = outcomes["complete"], time.monotonic(), engine.store.commits
        cpu = process.cpu_times()
        TimedWorkbench.took.clear()
        while time.monotonic() < begun + seconds:
            time.sleep(MEMORY_SECONDS)
            most = max(most, resident())
        done, elapsed = outcomes["complete"] - before, time.monotonic() - begun
        spent = sum(process.cpu_times()[:2]) - sum(cpu[:2])
        took = sorted(TimedWorkbench.took)
        assert engine.failure is None
        found |= {
            "rss": most,
            "rss worker": max(psutil.Process(pid).memory_info().rss / 2**20 for pid in engine.dispatcher.worker_pids),
            "rate": done / elapsed,
            "cpu": spent / done * 1e6,
            "tasks a commit": done / (engine.store.commits - commits),
            **{name: took[int(len(took) * at)] * 1e6 for name, at in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))},
            "most": took[-1] * 1e6,
        }
    return found


def settings_of(place: Path, accounts: int) -> Settings:
    """What `load` makes of the file, without the file."""
    names = [f"a{number}" for number in range(accounts)]
    return Settings(
        daemon=Daemon(
            state_dir=place,
            listen=("127.0.0.1", 0),
            worker_processes=PROCESSES,
            threads_per_process=THREADS,
            drain_seconds=10.0,
            visibility_seconds=300.0,
            max_worker_memory_bytes=1 << 30,
            log_level="warning",
        ),
        accounts={name: AccountSpec(name=name, source="steady") for name in names},
        limits={name: LimitSpec() for name in names},
        sources={"steady": steady},
        sinks={"none": SinkSpec(name="none", type="sqlite", path=place / "none.db")},
        imports={name: ImportSpec(name=name, account=name, sink="none", streams=("nothing",)) for name in names},
    )
