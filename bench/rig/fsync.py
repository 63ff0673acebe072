"""A fixed cost of fsync, so that programs are compared on the same disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COSTS: dict[str, int | None] = {"free": 0, "1 ms": 1000, "as the disk has it": None}  # µs


class Fsync:
    """A preloaded library that fixes and counts what fsync costs. Compiled into `folder` with the system's cc."""

    def __init__(self, folder: Path) -> None:
        self._library = folder / "fsync.so"
        self.counter = folder / "fsyncs"
        self.counter.write_bytes(bytes(8))
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self._library, source, "-ldl"], check=True)

    def environment(self, microseconds: int | None) -> dict[str, str]:
        """For a program whose fsyncs cost so much; None: what the disk takes. Always counted."""
        fixed = {} if microseconds is None else {"FSYNC_MICROSECONDS": str(microseconds)}
        return {**os.environ, "LD_PRELOAD": str(self._library), "FSYNC_COUNTER": str(self.counter), **fixed}

    def count(self) -> int:
        """Since the beginning, of all programs."""
        return fsyncs(self.counter)


def fsyncs(counter: Path) -> int:
    """What a counter stands at."""
    return int.from_bytes(counter.read_bytes(), sys.byteorder)
