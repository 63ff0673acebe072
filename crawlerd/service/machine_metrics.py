"""Metrics of the machine: versions, worker processes, files and disks. They are read from the system at the scrape."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from typing import TYPE_CHECKING

from crawlerd import frontier
from crawlerd.core.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from crawlerd.engine.engine import Engine
    from crawlerd.service.metric_families import Scrape

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
USER, SYSTEM, RESIDENT = 11, 12, 21  # fields of /proc/PID/stat after the command's name, see proc(5)


def add_machine(scrape: Scrape, engine: Engine) -> None:
    """Adds the metrics. A value that cannot be read has no series."""
    scrape.set("build_info", 1, __version__, platform.python_version(), frontier.database_version())
    for number, pid in engine.dispatcher.worker_pids.items():
        with suppress(OSError, IndexError):  # the process or file is gone
            seconds, resident = usage(pid)
            scrape.set("worker_resident_memory_bytes", resident, str(number))
            scrape.set("worker_cpu_seconds", seconds, str(number))
    state_dir = engine.settings.daemon.state_dir
    files, disks = frontier.files(state_dir), {"state_dir": state_dir}
    for name, sink in sorted(engine.settings.sinks.copy().items()):
        files[f"sinks.{name}"] = sink.database
        files[f"sinks.{name}/wal"] = sink.database.with_name(f"{sink.database.name}-wal")
        disks[f"sinks.{name}"] = sink.database.parent
    for file, path in files.items():
        found = size(path)
        if found is None and file.endswith("wal") and path.parent.is_dir():
            found = 0  # the log's file is made when the database is opened
        scrape.set("file_size_bytes", found, file)
    for disk, path in disks.items():
        with suppress(OSError):
            system = os.statvfs(path)
            scrape.set("disk_free_bytes", system.f_bavail * system.f_frsize, disk)
            scrape.set("disk_size_bytes", system.f_blocks * system.f_frsize, disk)
    scrape.set("backup_last_success_timestamp_seconds", frontier.last_backup(state_dir))


def usage(pid: int) -> tuple[float, int]:
    """CPU seconds that a process has used, and its resident memory in bytes. Raises OSError or IndexError if it is
    gone."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[USER]) + int(fields[SYSTEM])) / TICKS, int(fields[RESIDENT]) * PAGE_BYTES


def size(path: Path) -> int | None:
    """The size of a file in bytes; None if it does not exist or may not be read."""
    try:
        return path.stat().st_size
    except OSError:
        return None
