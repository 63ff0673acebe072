"""What grows over time: memory, descriptors, threads and files of a daemon whose imports run again and again.

Prints a line at each interval, for as long as it is told to or until Ctrl-C; then what each run has added since the
first tenth of the time, in which caches fill. With `--pid`, watches a daemon that runs already instead.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import apsw
import psutil

from bench.rig.installation import Installation, crawlerd
from bench.rig.report import about, parsed, table
from crawlerd.demo.server import Server, running

if TYPE_CHECKING:
    from collections.abc import Iterator

WARM = 0.1  # of the time, before growth is counted
HEADER = ("s", "runs", "main KiB", "workers KiB", "fds", "threads", "frontier KiB", "its log", "sink KiB", "its log")


class Sample(NamedTuple):
    """One line. Sizes in KiB; of files, 0 where there is none."""

    seconds: int
    runs: int
    main: int
    workers: int
    descriptors: int
    threads: int
    frontier: int
    frontier_log: int
    sink: int
    sink_log: int


def sample(pid: int, since: float, frontier: Path, sink: Path | None) -> Sample:
    """Of a daemon and its workers. psutil.Error when it is gone."""
    main = psutil.Process(pid)
    assert main.status() != psutil.STATUS_ZOMBIE, "the daemon has ended"
    workers = 0
    for each in main.children():
        with suppress(psutil.NoSuchProcess):
            workers += each.memory_info().rss >> 10
    files = [frontier, frontier.with_name(f"{frontier.name}-wal")]
    files += [sink, sink.with_name(f"{sink.name}-wal")] if sink else []
    sizes = [each.stat().st_size >> 10 if each.exists() else 0 for each in files] + [0, 0]
    return Sample(
        round(time.monotonic() - since),
        runs_of(frontier),
        main.memory_info().rss >> 10,
        workers,
        main.num_fds(),
        main.num_threads(),
        *sizes[:4],
    )


def runs_of(frontier: Path) -> int:
    """How many have ended."""
    try:
        database = apsw.Connection(str(frontier), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.CantOpenError:
        return 0
    with closing(database), suppress(apsw.SQLError):  # it is not made yet
        database.set_busy_timeout(5_000)
        count: int = database.execute("SELECT count(*) FROM run WHERE state <> 'running'").get
        return count
    return 0


def samples(pid: int, frontier: Path, sink: Path | None, *, seconds: float, every: float) -> Iterator[Sample]:
    """One at each interval, until the time is over or the daemon has ended."""
    since = time.monotonic()
    with suppress(KeyboardInterrupt, psutil.NoSuchProcess):
        while True:
            yield sample(pid, since, frontier, sink)
            left = since + seconds - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(every, left))


def show(seen: Iterator[Sample]) -> None:
    """Prints each line when it comes, and the growth at the end."""
    lines: list[Sample] = []
    for each in seen:
        if not lines:
            print("  ".join(f"{name:>12}" for name in HEADER))
        print("  ".join(f"{value:>12,}" for value in each), flush=True)
        lines.append(each)
    first = next((each for each in lines if each.seconds >= WARM * lines[-1].seconds), lines[0])
    last, runs = lines[-1], max(1, lines[-1].runs - first.runs)
    grown = [(name, after - before) for name, before, after in zip(HEADER[2:], first[2:], last[2:], strict=True)]
    print(f"\nfrom {first.seconds} s to {last.seconds} s, {runs:,} runs")
    print(table(("", "grown", "a run"), [(name, f"{more:,}", f"{more / runs:.3f}") for name, more in grown]))


def prepared(place: Path, server: Server, accounts: int) -> Installation:
    """Imports of the local API that begin again each second."""
    here = Installation(place)
    for number in range(1, accounts + 1):
        key = Server.key(number)
        here.add(f"a{number}", "stripe", ["charges"], key=key, base_url=server.url, limits=[])
        here.repeat(f"a{number}", "1s")
    here.write()
    return here


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long to watch")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two lines")
    parser.add_argument("--accounts", type=int, default=20, help="imports that begin again each second")
    parser.add_argument("--pid", type=int, help="of a daemon that runs already")
    parser.add_argument("--state", type=Path, help="its state directory")
    parser.add_argument("--sink", type=Path, help="the file of a sink of its")
    args = parsed(parser, seconds=5.0, every=1.0, accounts=2)
    print(about(), "\n")
    if args.pid:
        frontier = args.state / "frontier.db"
        show(samples(args.pid, frontier, args.sink, seconds=args.seconds, every=args.every))
        return
    with tempfile.TemporaryDirectory() as folder, running(accounts=args.accounts, customers=5, rate=0) as server:
        here = prepared(Path(folder) / "soak", server, args.accounts)
        with subprocess.Popen(
            crawlerd("run"), cwd=here.place, env=here.environment, stderr=subprocess.DEVNULL
        ) as daemon:
            frontier = here.state_dir / "frontier.db"
            try:
                show(samples(daemon.pid, frontier, here.sink_path, seconds=args.seconds, every=args.every))
            finally:
                daemon.send_signal(signal.SIGTERM)
                daemon.wait(60)


if __name__ == "__main__":
    main()
