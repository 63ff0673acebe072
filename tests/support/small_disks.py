"""Disks that a test may fill."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL_DISK_KIB = 5120


@contextmanager
def small_disk_at(folder: Path) -> Iterator[Path]:
    """A file system of SMALL_DISK_KIB; the test is skipped where none can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_KIB}k", "crawlerd-test", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"FULL DISKS ARE NOT TESTED: cannot mount a small one here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Takes all space that is left, to the last byte. The file to remove."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """The disk is full meanwhile."""
    filler = fill(disk)
    yield
    filler.unlink()
