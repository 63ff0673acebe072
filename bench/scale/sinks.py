"""How many records a second each sink takes, and what sweeping costs."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from bench.rig.meters import Others
from bench.rig.report import about, parsed, table
from crawlerd.core.configuration import SinkSpec, SinkType
from crawlerd.sink import Batch, Delivery
from crawlerd.sinks import open_sink

FILES: tuple[SinkType, ...] = ("sqlite", "jsonl", "persist-queue")  # all but those that others read from
PAGE, GROUP = 100, 50  # records a task, tasks a group
FIELDS = ["id", "object", "email", "name", "created", "balance", "metadata", "livemode"]


def customer(number: int, run: int) -> tuple[str, dict[str, Any]]:
    """200 bytes, as a small API object; a tenth of them changes with each run."""
    key = f"cus_{number:09d}"
    balance = run if number % 10 == 0 else 0
    values = (
        key,
        "customer",
        f"u{number}@example.com",
        f"Ada {number}",
        1_700_000_000 + number,
        balance,
        {"a": "b"},
        True,
    )
    return key, dict(zip(FIELDS, values, strict=True))


def deliveries(numbers: list[int], run: int) -> list[Delivery]:
    pages = [[customer(number, run) for number in numbers[at : at + PAGE]] for at in range(0, len(numbers), PAGE)]
    batches = [
        Batch("customers", len(page), [key for key, _ in page], [msgspec.json.encode(each) for _, each in page], FIELDS)
        for page in pages
    ]
    return [Delivery("stripe", "acme", run, 10.0 * run, task, [batch]) for task, batch in enumerate(batches)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    options = parsed(parser, records=2_000)
    print(about("persist-queue"), "\n")
    others = Others()
    rows = []
    for kind in FILES:
        for order in ("ascending", "random"):
            numbers = list(range(options.records))
            if order == "random":
                random.Random(1).shuffle(numbers)
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                sink = open_sink(SinkSpec(name="sink", type=kind, path=Path(folder) / "sink"))
                for run, what in enumerate(("all new", "a tenth changed"), start=1):
                    work = deliveries(numbers, run)
                    began, cpu = time.perf_counter(), time.process_time()
                    for at in range(0, len(work), GROUP):
                        sink.write(work[at : at + GROUP], 10.0 * run + 1)
                    sink.ended(run)
                    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
                    began = time.perf_counter()
                    sink.write(
                        [Delivery("stripe", "acme", run, 10.0 * run, 0, [], [("customers", "")])], 10.0 * run + 2
                    )
                    sweep = time.perf_counter() - began
                    rates = [f"{options.records / spent:,.0f}" for spent in (wall, cpu)]
                    rows.append([kind, order, what, *rates, f"{sweep:.2f}"])
                sink.close()
    print(table(["sink", "keys", "run", "records/s", "records/s of CPU", "sweep, s"], rows))
    print(f"\n{others}")


if __name__ == "__main__":
    main()
