"""A queue of 10M tasks over 100,000 accounts, beside one of 20,000: enqueue, disk, memory, start, throughput, lease."""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import msgspec
import psutil
from rig import CHUNK, HERE, Fsync, about, install_source, table
from steady_source import Step, steady

import crawlerd.engine.engine as engine_module
from crawlerd.config.load import Settings
from crawlerd.config.load import load as load_with
from crawlerd.core.account import AccountSpec, Daemon, ImportSpec, LimitSpec, SinkSpec
from crawlerd.core.outcome import Complete
from crawlerd.core.task import Task
from crawlerd.engine import kinds
from crawlerd.engine.engine import Engine
from crawlerd.engine.queues import Pick
from crawlerd.engine.workbench import Workbench
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.sqlite.frontier import Frontier
from crawlerd.frontier.sqlite.reader import FrontierReader
from crawlerd.ratelimit.adaptive import Learned
from crawlerd.ratelimit.quota import Ask
from crawlerd.ratelimit.window import Stamp
from crawlerd.sources import registry

load = partial(load_with, registry=registry)

PROCESSES, THREADS = 2, 16
STARTERS = 64  # imports that are asked for at once: one alone would wait for a commit of the running ones each time
RUNNING = 100  # imports, about, the first account's among them: to start each of 100,000 takes minutes
THROTTLED = 2_000  # accounts, of which nine tenths are throttled
WARM_TASKS = 10_000  # performed after the last import has started, before anything is measured
LEASES = 200_000  # timed in isolation
LEASES_A_SECOND = 20_000  # in isolation, by a clock that the benchmark moves on
DAY = 86_000.0  # seconds that a throttled account waits
CONFIG = """
[daemon]
state_dir = "."
listen = "127.0.0.1:0"
[sinks.none]
type = "sqlite"
path = "none.db"
"""
ACCOUNT = """
[accounts.{name}]
source = "steady"
limits = []
[imports.{name}]
account = "{name}"
sink = "none"
streams = ["nothing"]
"""
Found = dict[str, float]


def shares(tasks: int, accounts: int) -> dict[str, int]:
    """Tasks by account: the first holds half, the others as equal parts of the rest as whole numbers permit."""
    first = tasks // 2
    each, more = divmod(tasks - first, accounts - 1)
    return {"a0": first} | {f"a{number}": each + (number <= more) for number in range(1, accounts)}


# Each part runs in a process of its own. They return what they measured.


def seed(place: Path, tasks: int, accounts: int) -> Found:
    """Accounts, each with one task of an interrupted run as far as it gets any."""
    frontier = Frontier(place, now=time.time())
    for name, share in shares(tasks, accounts).items():
        account = frontier.account(name, "steady")
        if share:
            first = kinds.new_task(steady, Step(f"parent_{account:012}", 0))
            frontier.start_run(name, account, [first], full=True, now=time.time())
    frontier.close()
    return {}


def enqueue(place: Path, tasks: int, accounts: int) -> Found:
    """The seeds become the queue, as children of completed tasks: transactions of about 10,000, every second one of the
    first account, the others in random order."""
    frontier = Frontier(place, now=time.time())
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
            (bucket,) = frontier.ready_buckets(number + 1)
            (parent,) = frontier.heads(bucket.id, (-1, -1), 1)
            children = [kinds.new_task(steady, Step(f"parent_{number:012}", index)) for index in range(count)]
            settled.append(Settled(parent, bucket.account, Complete(children=children)))
            made += count
        start, start_cpu = time.monotonic(), time.process_time()
        frontier.commit(settled, now=time.time())
        seconds, cpu = seconds + time.monotonic() - start, cpu + time.process_time() - start_cpu
    start = time.monotonic()
    frontier.close()
    seconds += time.monotonic() - start
    reader = FrontierReader.open(place)
    assert reader is not None
    assert reader.totals() == (tasks, 0, 0, 0), reader.totals()
    reader.close()
    return {
        "rate": made / seconds,
        "cpu": cpu / made * 1e6,
        "written": (psutil.Process().io_counters().write_bytes - written) / made,
        "size": sum(each.stat().st_size for each in place.glob("frontier.db*")) / tasks,
    }


def throttle(place: Path, accounts: int) -> Found:
    """All accounts but the first and every tenth wait for a Retry-After of a day."""
    frontier = Frontier(place, now=time.time())
    numbers = (number for number in range(1, accounts + 1) if (number - 1) % 10)
    buckets = [bucket.id for number in numbers for bucket in frontier.ready_buckets(number)]
    frontier.commit([], now=time.time(), blocked=dict.fromkeys(buckets, time.time() + DAY))
    frontier.close()
    return {"blocked": len(buckets)}


class TimedWorkbench(Workbench):
    """Notes what each lease took: seconds by the clock, which includes waits for the GIL, or of CPU."""

    clock = staticmethod(time.perf_counter)
    took: ClassVar[list[float]] = []
    _share = 0.0

    def choose(self, now: float, most: int) -> Pick | None:
        start = self.clock()
        pick = super().choose(now, most)
        self._share = self.clock() - start
        return pick

    def charge(self, pick: Pick, now: float) -> Stamp:
        start = self.clock()
        stamp = super().charge(pick, now)
        self.took.append(self._share + self.clock() - start)
        return stamp

    @classmethod
    def percentiles(cls) -> Found:
        """In µs."""
        took = sorted(cls.took)
        return {
            name: took[int((len(took) - 1) * at)] * 1e6
            for name, at in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("most", 1.0))
        }


def run(place: Path, tasks: int, accounts: int, seconds: float, spawned: float, toml: bool, every: int) -> Found:
    """The engine on the queue. spawned: monotonic time of this process's start. every: starts the imports of every
    so-many-th account alone. rss: resident MiB of the main process."""
    process = psutil.Process()

    def resident() -> float:
        return float(process.memory_info().rss) / 2**20

    found = {"rss bare": resident()}
    settings = load(place / "crawlerd.toml") if toml else settings_of(place, accounts)
    found |= {"s settings": time.monotonic() - spawned, "rss settings": resident()}
    start = time.monotonic()
    vars(engine_module)["Workbench"] = TimedWorkbench  # its times are wanted as they are inside the engine
    engine = Engine(settings)
    found |= {"s engine": time.monotonic() - start, "rss engine": resident()}
    names = [
        name for number, (name, share) in enumerate(shares(tasks, accounts).items()) if share and number % every == 0
    ]
    with engine:
        engine.start_import(names[0])
        while not engine.dispatcher.first_lease_at:
            assert engine.failure is None
            time.sleep(0.001)
        found["s first lease"] = engine.dispatcher.first_lease_at - spawned
        start = time.monotonic()
        with ThreadPoolExecutor(STARTERS) as starters:
            list(starters.map(engine.start_import, names[1:]))
        found["s imports"] = time.monotonic() - start
        outcomes, most = engine.dispatcher.outcomes, 0.0
        warm = outcomes["complete"] + WARM_TASKS
        while outcomes["complete"] < warm:
            assert engine.failure is None
            time.sleep(0.01)
        found["s under way"] = time.monotonic() - start
        before, begun, cpu = outcomes["complete"], time.monotonic(), time.process_time()
        TimedWorkbench.took.clear()
        while time.monotonic() < begun + seconds:
            time.sleep(0.1)
            most = max(most, resident())
        done = outcomes["complete"] - before
        found |= {
            "rate": done / (time.monotonic() - begun),
            "cpu": (time.process_time() - cpu) / done * 1e6,
            "rss": most,
        }
        found["rss worker"] = max(
            psutil.Process(pid).memory_info().rss / 2**20 for pid in engine.dispatcher.worker_pids
        )
        assert engine.failure is None
        found |= TimedWorkbench.percentiles()
    return found


class Everybody(NamedTuple):
    """Each account has these limits."""

    spec: LimitSpec

    def limits(self, number: int) -> tuple[str, LimitSpec]:
        return f"a{number}", self.spec


class Asked(NamedTuple):
    """In the place of the store: (bucket, count) of refills."""

    heads: list[tuple[int, int]]

    def refill(self, bucket: int, count: int) -> None:
        self.heads.append((bucket, count))

    def ask_quota(self, ask: Ask) -> None: ...
    def remember(self, key: str, learned: Learned) -> None: ...


def lease(accounts: int, limited: bool, throttled: bool) -> Found:
    """`choose` and `charge` alone, in CPU time, since nothing is there to wait for; limits see a clock that is moved on
    evenly."""
    gc.disable()  # as in the engine, where so many are not in memory
    TimedWorkbench.clock = staticmethod(time.thread_time)
    spec = LimitSpec(limits=("100/second",), bucket_limits=("25/second",)) if limited else LimitSpec()
    asked: list[tuple[int, int]] = []
    bench = TimedWorkbench(Everybody(spec), Asked(asked))
    now, sequence = 0.0, 0

    def answer() -> None:
        nonlocal sequence
        for number, count in asked:
            tasks = [Task(sequence + n, number, 5, 1, "steady.step", 0, "{}") for n in range(1, count + 1)]
            sequence += count
            blocked_until = DAY if throttled and (number - 1) % 10 else 0.0
            bench.add_heads(number, number, "step", tasks, more=True, blocked_until=blocked_until, now=now)
        asked.clear()

    asked += [(number, 1) for number in range(1, accounts + 1)]
    answer()
    for warm in (True, False):
        bench.took.clear()
        while len(bench.took) < (LEASES // 10 if warm else LEASES):
            pick = bench.choose(now, 1)
            if pick is not None:
                bench.charge(pick, now)
                bench.finish(pick, now)
            answer()
            now = max(now, bench.next_at()) if pick is None else now + 1 / LEASES_A_SECOND
            assert now < math.inf
    return bench.percentiles()


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
        descriptions={},
        sinks={"none": SinkSpec(name="none", type="sqlite", path=place / "none.db")},
        imports={name: ImportSpec(name=name, account=name, sink="none", streams=("nothing",)) for name in names},
    )


def write_config(place: Path, accounts: int) -> None:
    names = [f"a{number}" for number in range(accounts)]
    (place / "crawlerd.toml").write_text(CONFIG + "".join(ACCOUNT.format(name=name) for name in names))


def part(name: str, environment: Mapping[str, str], **arguments: object) -> Found:
    """Runs a part in a process of its own."""
    arguments |= {"spawned": time.monotonic()} if name == "run" else {}
    command = [sys.executable, __file__, "--part", name, json.dumps(arguments, default=str)]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=Found)


def median(found: Iterable[Found]) -> Found:
    rounds = list(found)
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


def spread(values: Iterable[float], form: str = ",.0f") -> str:
    """Median (least-most)."""
    all_ = list(values)
    return f"{statistics.median(all_):{form}} ({min(all_):{form}}-{max(all_):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 1_000_000, 10_000_000])
    parser.add_argument("--accounts", type=int, nargs="+", default=[10, 100_000], help="the first of which holds half")
    parser.add_argument("--seconds", type=float, default=10.0, help="of running, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--place", type=Path, default=Path(), help="a directory with a few free GB")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        name, arguments = args.part[0], json.loads(args.part[1])
        if "place" in arguments:
            arguments["place"] = Path(arguments["place"])
        print(json.dumps(globals()[name](**arguments)))
        return
    print(about("apsw"), "\n")
    with tempfile.TemporaryDirectory(dir=args.place) as name:
        folder = Path(name).resolve()
        (folder / "sources").mkdir()
        install_source(folder / "sources", "steady", "steady_source:steady")
        path = os.pathsep.join([str(folder / "sources"), str(HERE), os.environ.get("PYTHONPATH", "")])
        sizes(folder, {"PYTHONPATH": path}, args)


def fill(place: Path, tasks: int, accounts: int, environment: Mapping[str, str], free: Mapping[str, str]) -> Found:
    """A queue. Seeding it is made cheap, since an account's first transaction is not what is measured."""
    place.mkdir()
    part("seed", {**free, **environment}, place=place, tasks=tasks, accounts=accounts)
    return part("enqueue", environment, place=place, tasks=tasks, accounts=accounts)


def sizes(folder: Path, environment: Mapping[str, str], args: argparse.Namespace) -> None:
    """Prints all tables."""
    free = Fsync(folder).environment(0)
    engine_rows, start_rows = [], []
    print("Enqueue, in transactions of 10,000\n", flush=True)
    filled: dict[tuple[int, int], Found] = {}
    for accounts in args.accounts:
        for tasks in args.sizes:
            place = folder / f"{tasks}-{accounts}"
            filled[accounts, tasks] = fill(place, tasks, accounts, environment, free)
    rows = [
        (f"{tasks:,}", f"{accounts:,}", *(f"{each[key]:,.{digits}f}" for key, digits in FILL_COLUMNS.values()))
        for (accounts, tasks), each in filled.items()
    ]
    print(table(("tasks", "accounts", *FILL_COLUMNS), rows), "\n", flush=True)
    for accounts, tasks in filled:
        place = folder / f"{tasks}-{accounts}"
        every = max(1, min(accounts, tasks // 2) // RUNNING)
        rounds = [
            part(
                "run",
                environment,
                place=place,
                tasks=tasks,
                accounts=accounts,
                seconds=args.seconds,
                toml=False,
                every=every,
            )
            for _ in range(args.rounds)
        ]
        which = (f"{tasks:,}", f"{accounts:,}")
        engine_rows.append((*which, *(spread((e[key] for e in rounds), form) for key, form in RUN_COLUMNS.values())))
        write_config(place, accounts)
        found = part("run", environment, place=place, tasks=tasks, accounts=accounts, seconds=1, toml=True, every=every)
        start_rows.append((*which, *(f"{found[key]:,.{digits}f}" for key, digits in START_COLUMNS.values())))
    print("The engine, 2 worker processes, tasks without limits that yield one more each\n")
    print(table(("tasks", "accounts", *RUN_COLUMNS), engine_rows), "\n", flush=True)
    print("Its start, from a configuration file\n")
    print(table(("tasks", "accounts", *START_COLUMNS), start_rows), "\n", flush=True)
    rows = []
    for accounts in args.accounts:
        for limited, throttled in ((False, False), (True, False), (True, True)):
            found = part("lease", environment, accounts=accounts, limited=limited, throttled=throttled)
            kind = f"{'100/second, buckets 25/second' if limited else 'none'}{', 90% throttled' if throttled else ''}"
            rows.append((f"{accounts:,}", kind, *(f"{each:,.1f}" for each in found.values())))
    print("A lease alone\n")
    print(table(("accounts", "limits", *LEASE_COLUMNS), rows), "\n", flush=True)
    if max(args.accounts) >= 100:
        throttled_accounts(folder, environment, free, min(max(args.accounts), THROTTLED), args)


def throttled_accounts(
    folder: Path, environment: Mapping[str, str], free: Mapping[str, str], accounts: int, args: argparse.Namespace
) -> None:
    """Prints the throughput of a tenth of the accounts, alone and beside nine tenths that are throttled."""
    place, tasks = folder / "throttled", 10 * accounts
    fill(place, tasks, accounts, environment, free)
    part("throttle", environment, place=place, accounts=accounts)
    found: dict[int, list[Found]] = {10: [], 1: []}
    for _ in range(args.rounds):
        for every, rounds in found.items():
            rounds.append(
                part(
                    "run",
                    environment,
                    place=place,
                    tasks=tasks,
                    accounts=accounts,
                    seconds=args.seconds,
                    toml=False,
                    every=every,
                )
            )
    rows = [
        (
            "alone" if every == 10 else f"beside {accounts * 9 // 10:,} throttled accounts",
            spread(each["rate"] for each in rounds),
            f"{median(rounds)['rate'] / median(found[10])['rate']:.1%}",
            spread(each["cpu"] for each in rounds),
        )
        for every, rounds in found.items()
    ]
    header = (f"{accounts // 10:,} accounts", "tasks/s", "of those alone", "main process µs/task")
    print(f"Throttled accounts, {tasks:,} tasks\n")
    print(table(header, rows), flush=True)
    shutil.rmtree(place)


FILL_COLUMNS = {
    "tasks/s": ("rate", 0),
    "CPU µs/task": ("cpu", 1),
    "bytes written/task": ("written", 0),
    "file bytes/task": ("size", 0),
}
RUN_COLUMNS = {
    "tasks/s": ("rate", ",.0f"),
    "main process µs/task": ("cpu", ",.0f"),
    "lease µs p50": ("p50", ".1f"),
    "p99": ("p99", ".1f"),
    "p99.9": ("p999", ",.0f"),
    "most": ("most", ",.0f"),
    "MiB settings": ("rss settings", ",.0f"),
    "engine": ("rss engine", ",.0f"),
    "running": ("rss", ",.0f"),
    "a worker": ("rss worker", ",.0f"),
    "s to the first lease": ("s first lease", ".2f"),
    "s to start all imports": ("s imports", ".1f"),
    "s under way": ("s under way", ".1f"),
}
START_COLUMNS = {
    "s to read it": ("s settings", 2),
    "to open the frontier": ("s engine", 2),
    "to the first lease, in all": ("s first lease", 2),
    "MiB before": ("rss bare", 0),
    "after reading it": ("rss settings", 0),
    "running": ("rss", 0),
}
LEASE_COLUMNS = ("µs p50", "p99", "p99.9", "most")


if __name__ == "__main__":
    main()
