"""What a scrape costs: `python -m bench.scale.scrape [--smoke]`.

CPU of one scrape of `/metrics`, and of `/metrics/imports`, by the number of imports, each with a history of runs and a
quota; next to it, in the same process, of writing as many samples as text, which no exporter can do without. No worker
runs: what is measured is the main process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from bench.sources.steady import steady
from crawlerd.config.load import Settings
from crawlerd.core.configuration import AccountSpec, Daemon, ImportSpec, LimitSpec, SinkSpec
from crawlerd.core.outcome import Complete
from crawlerd.core.task import NewTask
from crawlerd.engine.engine import Engine
from crawlerd.frontier import open_frontier
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.waiting_contract import FIRST, Block
from crawlerd.service.metric_families import Scrape
from crawlerd.service.metrics import Metrics
from crawlerd.sink import Totals

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.frontier.quota_contract import QuotaRows

RUNS = 5  # of each import
CHARGES = 50  # of each quota
DAY = 86_400.0


class _Samples:
    """Families that are made already."""

    def __init__(self, scrape: Scrape) -> None:
        self._made = list(scrape.collect())

    def collect(self) -> list[object]:
        return list(self._made)


def settings_of(place: Path, imports: int) -> Settings:
    names = [f"import-{number:05}" for number in range(imports)]
    daemon = Daemon(
        state_dir=place / "var",
        listen=("127.0.0.1", 0),
        worker_processes=2,
        threads_per_process=16,
        drain_seconds=0.1,
        visibility_seconds=300.0,
        max_worker_memory_bytes=1 << 30,
        log_level="error",
    )
    return Settings(
        daemon=daemon,
        accounts={name: AccountSpec(name=name, source="steady") for name in names},
        limits={name: LimitSpec(limits=("10/second", "10000/day")) for name in names},
        sources={"steady": steady},
        descriptions={},
        sinks={"one": SinkSpec(name="one", type="sqlite", path=place / "one.db")},
        imports={
            name: ImportSpec(name=name, account=name, sink="one", streams=tuple(steady.streams)) for name in names
        },
    )


def fill(settings: Settings) -> None:
    """Runs of each import that have ended, and of a tenth one that waits for its API; each account's quota is used in
    part."""
    now = time.time()
    settings.daemon.state_dir.mkdir(parents=True)
    frontier = open_frontier(settings.daemon.state_dir, now=now)
    numbers = frontier.account_numbers(dict.fromkeys(settings.accounts, "steady"))
    task = NewTask("steady.step", "page", 5, "{}")
    try:
        for place, (name, account) in enumerate(numbers.items()):
            for _ in range(RUNS):
                run = frontier.start_run(name, account, [task], full=True, now=now - DAY, streams=["numbers"]).run
                bucket = frontier.bucket_number(account, "page")
                done = [Settled(each, account, Complete()) for each in frontier.heads((bucket, run), FIRST, 1)]
                frontier.commit(done, now=now - DAY / 2, totals={(run, "numbers"): Totals(100, 100)})
            if place % 10 == 0:
                frontier.start_run(name, account, [task] * 3, full=True, now=now)
                frontier.commit([], now=now, blocked={bucket: Block(now + DAY / 2)})
            key = f"LIMITER/{account}/10000/1/day"
            frontier.commit([], now=now, charge=partial(charge, frontier.quota_rows, key, now))
    finally:
        frontier.close()


def charge(rows: QuotaRows, key: str, now: float) -> None:
    for number in range(CHARGES):
        rows.charge(key, now - DAY / 2 + number, 100)


def cost(work: Callable[[], object], rounds: int) -> float:
    """CPU of the process, in ms; the median."""
    took = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        took.append((time.process_time() - start) * 1e3)
    return median(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--imports", type=int, nargs="*", default=[5, 100, 2000])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--smoke", action="store_true")
    asked = parser.parse_args()
    print("| imports | page | series | ms of CPU | ms to write them alone | wall ms |")
    print("|---:|---|---:|---:|---:|---:|")
    for imports in [3] if asked.smoke else asked.imports:
        with tempfile.TemporaryDirectory() as folder:
            settings = settings_of(Path(folder), imports)
            fill(settings)
            engine = Engine(settings)
            engine.start()
            try:
                row(engine, imports, 1 if asked.smoke else asked.rounds)
            finally:
                engine.stop(0.1)


def row(engine: Engine, imports: int, rounds: int) -> None:
    metrics = Metrics(engine)
    for page, encoded, scrape in (
        ("/metrics", metrics.exposition, metrics.whole),
        ("/metrics/imports", metrics.imports, metrics.of_imports),
    ):
        text = encoded("")[0].decode()
        series = sum(len(family.samples) for family in text_string_to_metric_families(text))
        registry = CollectorRegistry()
        registry.register(_Samples(scrape()))  # type: ignore[arg-type]  # what it asks of a collector
        start = time.monotonic()
        encoded("")
        wall = (time.monotonic() - start) * 1e3
        both = cost(partial(encoded, ""), rounds), cost(partial(generate_latest, registry), rounds)
        print(f"| {imports:,} | `{page}` | {series:,} | {both[0]:.1f} | {both[1]:.1f} | {wall:.1f} |")


if __name__ == "__main__":
    main()
