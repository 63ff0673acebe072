"""What a queue of 1M tasks costs: memory of the main process, time to the first request after kill -9, `status`."""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.rig.installation import Installation, crawlerd
from bench.rig.meters import MIB, Others, frontier_bytes
from bench.rig.queued import fill
from bench.rig.report import about, parsed, spread, table
from crawlerd.demo.objects import id_of
from crawlerd.demo.server import Server, running
from crawlerd.engine import kinds
from crawlerd.sources.stripe.below import PAGES_BELOW
from crawlerd.sources.stripe.stripe_api import stripe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.core.task import NewTask

ACCOUNTS = 10


def prepare(place: Path, server: Server, tasks: int) -> tuple[Installation, int]:
    """An installation with queued tasks of interrupted imports, and how many."""
    shutil.rmtree(place, ignore_errors=True)
    here = Installation(place)
    numbers = range(1, ACCOUNTS + 1)
    for number in numbers:
        account = {"base_url": server.url, "limits": ["100/second"], "bucket_limits": "100/second"}
        here.add(f"a{number}", "stripe", ["payment_methods"], key=Server.key(number), **account)
    here.write()
    return here, fill(here, "stripe", {f"a{n}": children(n, tasks // ACCOUNTS) for n in numbers})


def children(account: int, count: int) -> Iterator[NewTask]:
    for index in range(count):
        yield kinds.new_task(stripe, PAGES_BELOW["payment_methods"](id_of(account, "customers", index)))


@contextmanager
def daemon(here: Installation) -> Iterator[psutil.Process]:
    """`crawlerd run`, ended by kill -9."""
    with subprocess.Popen(crawlerd("run"), cwd=here.place, env=here.environment, stderr=subprocess.DEVNULL) as process:
        main = psutil.Process(process.pid)
        try:
            yield main
            assert process.poll() is None, f"it ended: {process.returncode}"
        finally:
            workers = main.children() if process.poll() is None else []
            process.send_signal(signal.SIGKILL)
            process.wait()
            psutil.wait_procs(workers, timeout=10)


def requests(server: Server, endpoint: str = "") -> int:
    """Those that were made so far, to all endpoints or one."""
    accounts = server.stats().accounts.values()
    return sum(seen.served for each in accounts for name, seen in each.endpoints.items() if endpoint in ("", name))


def wait_for_requests(server: Server, count: int, endpoint: str = "") -> float:
    """Until there were so many. Monotonic seconds, to a hundredth."""
    deadline = time.monotonic() + 30
    while requests(server, endpoint) < count:
        assert time.monotonic() < deadline, "no requests"
        time.sleep(0.01)
    return time.monotonic()


def memory(here: Installation, server: Server, seconds: float) -> tuple[float, int]:
    """MiB that the main process has at most, from its first tasks on, and the requests made meanwhile."""
    server.reset()
    with daemon(here) as main:
        wait_for_requests(server, 2 * ACCOUNTS)
        most, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            most = max(most, main.memory_info().rss)
            time.sleep(0.05)
    return most / MIB, requests(server)


def restart(here: Installation, server: Server) -> tuple[float, float]:
    """Seconds from the start of the process to its first request, which checks an account's key, and to the first one
    of a task. Then the process is killed."""
    server.reset()
    start = time.monotonic()
    with daemon(here):
        task = wait_for_requests(server, 1, "payment_methods")
    first = min(each.first for each in server.stats().accounts.values() if each.first is not None)
    return first - start, task - start


def wall(command: list[str], place: Path) -> float:
    start = time.monotonic()
    subprocess.run(command, cwd=place, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[20_000, 1_000_000])
    parser.add_argument("--seconds", type=float, default=8.0, help="of running, for the memory")
    parser.add_argument("--rounds", type=int, default=5, help="of restarts and of status")
    args = parsed(parser, tasks=[3_000], seconds=0.2, rounds=1)
    print(about(), "\n")
    others = Others()
    rows = []
    customers = max(args.tasks) // ACCOUNTS
    status = [str(Path(sys.executable).with_name("crawlerd")), "status"]
    with (
        tempfile.TemporaryDirectory(dir=".") as name,
        running(accounts=ACCOUNTS, customers=customers, rate=0) as server,
    ):
        place = Path(name).resolve() / "crawlerd"
        for tasks in args.tasks:
            here, queued = prepare(place, server, tasks)
            most, made = memory(here, server, args.seconds)
            starts = [restart(here, server) for _ in range(args.rounds)]
            stopped = [wall(status, place) for _ in range(args.rounds)]
            with daemon(here):
                wait_for_requests(server, 1)
                running_too = [wall(status, place) for _ in range(args.rounds)]
            bare = [wall([sys.executable, "-c", "pass"], place) for _ in range(args.rounds)]
            rows.append(
                (
                    f"{queued:,}",
                    f"{frontier_bytes(here.state_dir) / MIB:,.0f}",
                    f"{most:.1f}",
                    f"{made / args.seconds:,.0f}",
                    *(spread(all_, ".2f") for all_ in (*zip(*starts, strict=True), stopped, running_too, bare)),
                )
            )
    header = ("queued", "frontier MiB", "main process MiB", "requests/s", "s to the first request")
    print(table((*header, "to a task's first", "status, stopped", "status, running", "python -c pass"), rows))
    print(f"\n{others}")


if __name__ == "__main__":
    main()
