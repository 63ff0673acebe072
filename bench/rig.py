"""What the benchmarks stand on: a fixed cost of fsync, a queue filled in advance, CPU time by thread, and tables."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import psutil

from crawlerd.core.outcome import Complete
from crawlerd.frontier import open_frontier, open_reader
from crawlerd.frontier.contract import Settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crawlerd.core.task import NewTask

HERE = Path(__file__).resolve().parent
CHUNK = 10_000  # tasks a transaction when a queue is filled


class Fsync:
    """A preloaded library that fixes and counts what fsync costs. Compiled into `folder` with the system's cc."""

    def __init__(self, folder: Path) -> None:
        self._library = folder / "fsync.so"
        self._counter = folder / "fsyncs"
        self._counter.write_bytes(bytes(8))
        subprocess.run(
            ["cc", "-O2", "-shared", "-fPIC", "-o", self._library, HERE / "fsync.c", "-ldl"],
            check=True,
        )

    def environment(self, microseconds: int | None) -> dict[str, str]:
        """For a program whose fsyncs cost so much; None: what the disk takes. Always counted."""
        fixed = {} if microseconds is None else {"FSYNC_MICROSECONDS": str(microseconds)}
        return {**os.environ, "LD_PRELOAD": str(self._library), "FSYNC_COUNTER": str(self._counter), **fixed}

    def count(self) -> int:
        """Since the beginning, of all programs."""
        return int.from_bytes(self._counter.read_bytes(), sys.byteorder)


def install_source(folder: Path, name: str, target: str) -> None:
    """Registers a source, found at `target` ("module:object" in this directory), for whoever has `folder` on its path:
    put it, and this directory, on PYTHONPATH."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[crawlerd.sources]\n{name} = {target}\n")


def fill(state_dir: Path, source: str, tasks: Mapping[str, Iterable[NewTask]]) -> int:
    """Queues tasks by account, each as an interrupted run of the import of the account's own name.

    It goes through the frontier's own door: of each chunk but an account's first, one task is performed in advance.
    Returns how many are queued.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    frontier = open_frontier(state_dir, now=time.time())
    for name, wanted in tasks.items():
        account = frontier.account(name, source)
        rest = iter(wanted)
        frontier.start_run(name, account, list(islice(rest, CHUNK)), full=True, now=time.time())
        (bucket,) = (each.id for each in frontier.ready_buckets(account))
        while chunk := list(islice(rest, CHUNK)):
            (parent,) = frontier.heads(bucket, (-1, -1), 1)
            frontier.commit([Settled(parent, account, Complete(children=chunk))], now=time.time())
    frontier.close()
    reader = open_reader(state_dir)
    assert reader is not None
    ready, *_ = reader.totals()
    reader.close()
    return ready


class CpuMeter:
    """CPU seconds of this process's threads by name, and of worker processes, since it was made."""

    def __init__(self, workers: Sequence[int]) -> None:
        self._workers = [psutil.Process(pid) for pid in workers]
        self._own = time.process_time()
        self._threads = self._by_thread()
        self._others = self._by_workers()

    def read(self) -> dict[str, float]:
        """Of this whole process ("main"), of the workers together ("workers"), and of its threads by their names."""
        threads = {name: spent - self._threads.get(name, 0.0) for name, spent in self._by_thread().items()}
        return {"main": time.process_time() - self._own, "workers": self._by_workers() - self._others, **threads}

    def _by_thread(self) -> dict[str, float]:
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        spent = {each.id: each.user_time + each.system_time for each in psutil.Process().threads()}
        return {name: spent[number] for number, name in names.items() if number in spent}

    def _by_workers(self) -> float:
        return sum(sum(worker.cpu_times()[:2]) for worker in self._workers)


class Others:
    """What other processes take of the machine while a benchmark runs: they make its rates too low."""

    def __init__(self) -> None:
        self._busy, self._at = self._read(), time.monotonic()

    def __str__(self) -> str:
        cores = (self._read() - self._busy) / (time.monotonic() - self._at)
        return f"Other processes used {max(0.0, cores):.1f} of {psutil.cpu_count()} cores meanwhile."

    @staticmethod
    def _read() -> float:
        """CPU seconds of all processes but this one and its children that have ended."""
        whole, own = psutil.cpu_times(), psutil.Process().cpu_times()
        mine = own.user + own.system + own.children_user + own.children_system
        return float(sum(whole) - whole.idle - whole.iowait - mine)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table, numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    first, *others = widths
    lines = [
        " | ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
        for row in cells
    ]
    lines.insert(1, " | ".join(["-" * first, *("-" * (width - 1) + ":" for width in others)]))
    return "\n".join(f"| {line} |" for line in lines)


def about(*packages: str) -> str:
    """When, on what, with which versions; and how busy the machine was before."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("crawlerd", *packages))
    load = os.getloadavg()[0]
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {len(os.sched_getaffinity(0))} cores, load {load:.1f} before, "
        f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, {versions}"
    )
