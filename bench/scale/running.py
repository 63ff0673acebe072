"""Parts of `frontier.py` that run a queue: `python -m bench.scale.running PART ARGUMENTS`, one a process.

Each returns what it measured.
"""

from __future__ import annotations

import gc
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from bench.rig.meters import MIB
from bench.rig.process import part_asked
from bench.rig.queued import frontier_url
from bench.scale.filling import DAY, Found, shares
from bench.sources.steady import steady
from crawlerd.config.load import Settings, load
from crawlerd.core.configuration import AccountSpec, Daemon, ImportSpec, LimitSpec, SinkSpec
from crawlerd.core.metric_labels import AttemptOutcome
from crawlerd.core.task import Task
from crawlerd.engine.clock import Clock
from crawlerd.engine.crowds import UNBOUNDED
from crawlerd.engine.engine import Engine
from crawlerd.engine.outages import Outages
from crawlerd.engine.workbench import Workbench
from crawlerd.sources import registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.engine.queues import Pick
    from crawlerd.frontier.contract import OutageNote
    from crawlerd.frontier.waiting_contract import Queue
    from crawlerd.ratelimit.adaptive import Learned
    from crawlerd.ratelimit.quota import Ask
    from crawlerd.ratelimit.window import Stamp

PROCESSES, THREADS = 2, 16
STARTERS = 64  # imports that are asked for at once: one alone would wait for a commit of the running ones each time
LEASES_A_SECOND = 20_000  # in isolation, by a clock that the benchmark moves on


class LeaseTimer:
    """Notes what each lease of a workbench takes, wherever that workbench is used.

    clock: seconds that include waits for the GIL, or of CPU alone.
    """

    def __init__(self, bench: Workbench, clock: Callable[[], float]) -> None:
        self._choose, self._charge, self._clock = bench.choose, bench.charge, clock
        self._share = 0.0
        self.took: list[float] = []
        bench.choose, bench.charge = self.choose, self.charge  # type: ignore[method-assign]  # of this one alone

    def choose(self, now: float, most: int, threads: int = UNBOUNDED) -> Pick | None:
        start = self._clock()
        pick = self._choose(now, most, threads)
        self._share = self._clock() - start
        return pick

    def charge(self, pick: Pick, now: float) -> Stamp:
        start = self._clock()
        stamp = self._charge(pick, now)
        self.took.append(self._share + self._clock() - start)
        return stamp

    def percentiles(self) -> Found:
        """In µs."""
        took = sorted(self.took)
        return {
            name: took[int((len(took) - 1) * at)] * 1e6
            for name, at in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("most", 1.0))
        }


def run(
    place: Path, tasks: int, accounts: int, seconds: float, spawned: float, toml: bool, every: int, warm: int
) -> Found:
    """The engine on the queue.

    spawned: monotonic time of this process's start.
    every: starts the imports of every so-many-th account alone.
    warm: tasks that are performed after the last import has started, before anything is measured.
    In what it returns, rss is the resident MiB of the main process.
    """
    process = psutil.Process()

    def resident() -> float:
        return float(process.memory_info().rss) / MIB

    found = {"rss bare": resident()}
    settings = load(place / "crawlerd.toml", registry=registry) if toml else settings_of(place, accounts)
    found |= {"s settings": time.monotonic() - spawned, "rss settings": resident()}
    start = time.monotonic()
    engine = Engine(settings)
    timer = LeaseTimer(engine.dispatcher._bench, time.perf_counter)
    found |= {"s engine": time.monotonic() - start, "rss engine": resident()}
    names = [
        name for number, (name, share) in enumerate(shares(tasks, accounts).items()) if share and number % every == 0
    ]
    with engine:
        engine.runs.start_import(names[0])
        while not engine.dispatcher.first_lease_at:
            assert engine.failure is None
            time.sleep(0.001)
        found["s first lease"] = engine.dispatcher.first_lease_at - spawned
        start = time.monotonic()
        with ThreadPoolExecutor(STARTERS) as starters:
            list(starters.map(engine.runs.start_import, names[1:]))
        found["s imports"] = time.monotonic() - start
        outcomes, most = next(iter(engine.attempt_counts.by_source().values())).outcomes, 0.0
        enough = outcomes[AttemptOutcome.COMPLETE] + warm
        while outcomes[AttemptOutcome.COMPLETE] < enough:
            assert engine.failure is None
            time.sleep(0.01)
        found["s under way"] = time.monotonic() - start
        before, begun, cpu = outcomes[AttemptOutcome.COMPLETE], time.monotonic(), time.process_time()
        timer.took.clear()
        while time.monotonic() < begun + seconds:
            time.sleep(0.1)
            most = max(most, resident())
        done = outcomes[AttemptOutcome.COMPLETE] - before
        found |= {
            "rate": done / (time.monotonic() - begun),
            "cpu": (time.process_time() - cpu) / done * 1e6,
            "rss": most,
        }
        found["rss worker"] = max(
            psutil.Process(pid).memory_info().rss / MIB for pid in engine.dispatcher.worker_pids.values()
        )
        assert engine.failure is None
        found |= timer.percentiles()
    return found


class _Everybody(NamedTuple):
    """Each account has these limits."""

    spec: LimitSpec

    def limits(self, number: int) -> tuple[str, LimitSpec]:
        return self.name(number), self.spec

    def name(self, account: int) -> str:
        return f"a{account}"

    def usual_origin(self, account: int) -> tuple[str, float]:
        return "https://api.example.com", math.inf

    def note_outage(self, key: tuple[str, int], note: OutageNote | None) -> None: ...


class _Asked(NamedTuple):
    """In the place of the store: (bucket, count) of refills."""

    heads: list[tuple[int, int]]

    def refill(self, queue: Queue, count: int) -> None:
        self.heads.append((queue[0], count))

    def ask_quota(self, ask: Ask) -> None: ...
    def remember(self, key: str, learned: Learned) -> None: ...


def lease(accounts: int, limited: bool, throttled: bool, leases: int) -> Found:
    """`choose` and `charge` alone, so many times, in CPU time, since nothing is there to wait for; limits see a clock
    that is moved on evenly."""
    gc.disable()  # as in the engine, where so many are not in memory
    spec = LimitSpec(limits=("100/second",), bucket_limits=("25/second",)) if limited else LimitSpec()
    asked: list[tuple[int, int]] = []
    everybody = _Everybody(spec)
    bench = Workbench(everybody, _Asked(asked), Outages(everybody, everybody, Clock()))
    timer = LeaseTimer(bench, time.thread_time)
    now, sequence = 0.0, 0

    def answer() -> None:
        nonlocal sequence
        for number, count in asked:
            tasks = [Task(sequence + n, number, 5, 1, "steady.step", 0, "{}") for n in range(1, count + 1)]
            sequence += count
            blocked_until = DAY if throttled and (number - 1) % 10 else 0.0
            bench.add_heads(number, number, "step", 1, tasks, more=True, blocked_until=blocked_until, now=now)
        asked.clear()

    asked += [(number, 1) for number in range(1, accounts + 1)]
    answer()
    for warm in (True, False):
        timer.took.clear()
        while len(timer.took) < (leases // 10 if warm else leases):
            pick = bench.choose(now, 1)
            if pick is not None:
                bench.charge(pick, now)
                bench.finish(pick, now)
            answer()
            now = max(now, bench.next_at()) if pick is None else now + 1 / LEASES_A_SECOND
            assert now < math.inf
    return timer.percentiles()


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
            frontier=frontier_url(place),
        ),
        accounts={name: AccountSpec(name=name, source="steady") for name in names},
        limits={name: LimitSpec() for name in names},
        sources={"steady": steady},
        descriptions={},
        sinks={"warehouse": SinkSpec(name="warehouse", type="sqlite", path=place / "warehouse.db")},
        imports={name: ImportSpec(name=name, account=name, sink="warehouse", streams=("nothing",)) for name in names},
    )


if __name__ == "__main__":
    part_asked(run, lease)
