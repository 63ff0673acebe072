"""What a benchmark takes of the machine, and what others take meanwhile."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1 << 20


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time."""
    times = process.cpu_times()
    return float(times.user + times.system)


def frontier_bytes(state_dir: Path) -> int:
    """On the disk, with its log; of a database, without the server's."""
    if (url := state_dir / "frontier.url").exists():
        with psycopg.connect(url.read_text()) as session:
            row = session.execute("SELECT pg_database_size(current_database())").fetchone()
            assert row
            return int(row[0])
    return sum(each.stat().st_size for each in state_dir.glob("frontier.db*"))


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
        return sum(map(cpu_seconds, self._workers))


class Peaks:
    """Resident bytes at their most, of a main process and of its largest worker, seen from outside."""

    def __init__(self) -> None:
        self.main = self.worker = 0

    def mib(self) -> tuple[int, int]:
        """Of the main process, and of the worker."""
        return self.main // MIB, self.worker // MIB

    def sample(self, main: int, workers: Sequence[psutil.Process]) -> None:
        """main: its process id."""
        with suppress(psutil.NoSuchProcess):
            self.main = max(self.main, psutil.Process(main).memory_info().rss)
            self.worker = max([self.worker, *(each.memory_info().rss for each in workers)])


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
