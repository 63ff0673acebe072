"""How evenly and how closely limits are kept, by arrivals at the server: `crawlerd import` and a script beside it."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import requests
from aiohttp import web
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from rig import about, table

from crawlerd.demo import api
from crawlerd.demo.objects import id_of
from crawlerd.demo.server import Options, Server

CONFIG = """
[daemon]
state_dir = "var"
listen = "127.0.0.1:0"
worker_processes = 2
[sinks.warehouse]
type = "sqlite"
path = "var/warehouse.db"
[accounts.a]
source = "stripe"
base_url = "{url}"
api_key = {{ env = "KEY" }}
limits = {limits}
bucket_limits = []
smooth = {smooth}
[imports.a]
account = "a"
sink = "warehouse"
streams = ["payment_methods"]
"""
CLOSE = 0.020  # seconds that a gap between two requests may differ from the interval
LATENCY = 0.05
THREADS = 16  # of the peer


class Recording(api.LocalApi):
    """Also notes when each request arrived, in monotonic seconds."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.arrivals: list[float] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path == "/_arrivals":
            return web.json_response(self.arrivals)
        if request.raw_path.startswith("/v1/"):
            self.arrivals.append(time.monotonic())
        return await super().handle(request)


@contextmanager
def recording(*, rate: int, customers: int) -> Iterator[Server]:
    """The local API in a process of its own, with one account. rate: that it enforces, 0 for none."""
    options = {"accounts": 1, "customers": customers, "rate": rate, "latency": LATENCY, "parent": os.getpid()}
    command = [sys.executable, __file__, "--server", json.dumps(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.fullmatch(r"listening on (\S+)\n", process.stdout.readline())
            assert found is not None
            yield Server(found[1], process.pid)
        finally:
            process.terminate()


class Seen(NamedTuple):
    """arrivals: monotonic seconds, in order. throttled: 429s."""

    arrivals: list[float]
    throttled: int

    def most(self, seconds: float) -> int:
        """Arrivals in any window that is so long; two that are a window apart are in it together no more."""
        first, most = 0, 0
        for last, at in enumerate(self.arrivals):
            while self.arrivals[first] <= at - seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def share(self, rate: float) -> float:
        """Of what the limit permits from the first arrival to the last."""
        return (len(self.arrivals) - 1) / (self.arrivals[-1] - self.arrivals[0]) / rate

    def close(self, interval: float) -> float:
        """Share of the gaps that are as long as the interval, within CLOSE."""
        gaps = [later - earlier for earlier, later in pairwise(self.arrivals)]
        return sum(abs(gap - interval) <= CLOSE for gap in gaps) / len(gaps)

    def middle_gap(self) -> float:
        return statistics.median(later - earlier for earlier, later in pairwise(self.arrivals))


def seen(server: Server) -> Seen:
    arrivals = requests.get(f"{server.url}/_arrivals", timeout=10).json()
    return Seen(arrivals, sum(sum(each.throttled.values()) for each in server.stats().accounts.values()))


class Program(NamedTuple):
    """What is measured. command(server, place, limits, customers) prepares and returns it."""

    name: str
    command: Callable[[Server, Path, Sequence[str], int], list[str]]


def crawlerd(smooth: bool, server: Server, place: Path, limits: Sequence[str], _: int) -> list[str]:
    settings = {"limits": json.dumps(limits), "smooth": json.dumps(smooth)}
    (place / "crawlerd.toml").write_text(CONFIG.format(url=server.url, **settings))
    return [sys.executable, "-m", "crawlerd", "import", "--all", "--json"]


def script(server: Server, _: Path, limits: Sequence[str], customers: int) -> list[str]:
    return [sys.executable, __file__, "--script", server.url, str(customers), *limits]


def run_script(url: str, limits: Sequence[str], customers: int) -> None:
    """The peer: a thread pool whose threads wait for the moving windows, all tested before any is hit. It keeps no note
    of what it has done."""
    limiter, items = MovingWindowRateLimiter(MemoryStorage()), [parse(limit) for limit in limits]
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=THREADS))
    headers = {"Authorization": f"Bearer {Server.key(1)}"}

    def get(index: int) -> None:
        while not (all(limiter.test(item) for item in items) and all(limiter.hit(item) for item in items)):
            resets = [limiter.get_window_stats(item) for item in items]
            wait = max((reset_time for reset_time, remaining in resets if not remaining), default=0.0) - time.time()
            time.sleep(min(max(0.001, wait), 1.0))
        customer = id_of(1, "customers", index)
        session.get(f"{url}/v1/customers/{customer}/payment_methods", headers=headers, timeout=60)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(get, range(customers)))


CRAWLERD = Program("crawlerd", partial(crawlerd, True))
BURSTING = Program("crawlerd, smooth = false", partial(crawlerd, False))
SCRIPT = Program("script", script)
PROGRAMS = (CRAWLERD, BURSTING, SCRIPT)


def run(program: Program, limits: Sequence[str], customers: int, *, rate: int, lives: Sequence[float] = ()) -> Seen:
    """rate: that the server enforces. lives: seconds after which the program is killed, and started again but for the
    last time. Without them it runs to its end."""
    with tempfile.TemporaryDirectory(dir=".") as name, recording(rate=rate, customers=customers) as server:
        place = Path(name).resolve()
        command = program.command(server, place, limits, customers)
        environment = {**os.environ, "KEY": Server.key(1)}
        for seconds in lives or [None]:
            with subprocess.Popen(
                command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
                process.kill()
                assert lives or process.wait() == 0, process.returncode
        shutil.rmtree(place / "var", ignore_errors=True)
        return seen(server)


def spread(values: Sequence[float], form: str) -> str:
    """Median (least-most)."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def even(rounds: int) -> str:
    """10/s under light load: the gaps between arrivals."""
    rows = []
    for program in PROGRAMS:
        found = [run(program, ["10/second"], 200, rate=0) for _ in range(rounds)]
        rows.append(
            (
                program.name,
                str(sum(len(each.arrivals) for each in found)),
                spread([each.close(0.1) for each in found], ".1%"),
                spread([each.middle_gap() * 1000 for each in found], ".1f"),
                spread([each.share(10) for each in found], ".1%"),
                str(max(each.most(1.0) for each in found)),
            )
        )
    header = ("10/second", "requests", "gaps of 100 ± 20 ms", "middle gap, ms", "share of the rate", "most in 1 s")
    return table(header, rows)


def held(rates: Sequence[int], seconds: float, rounds: int) -> str:
    """The share of the permitted rate, against a server that enforces it."""
    rows = []
    for rate in rates:
        for program in PROGRAMS:
            found = [run(program, [f"{rate}/second"], int(rate * seconds), rate=rate) for _ in range(rounds)]
            rows.append(
                (
                    f"{rate}/second",
                    program.name,
                    str(sum(len(each.arrivals) for each in found)),
                    spread([each.share(rate) for each in found], ".1%"),
                    str(max(each.most(1.0) for each in found)),
                    str(sum(each.throttled for each in found)),
                )
            )
    return table(("limit", "", "requests", "share of the rate", "most in 1 s", "429s"), rows)


def killed(quota_seconds: float, rounds: int) -> str:
    """kill -9 in mid-import: what the server saw over all lives."""
    draw = random.Random(1)
    rows = []
    for limits in (["10/second"], ["50/second", "300/minute"]):
        for program in PROGRAMS:
            found = []
            for _ in range(rounds):
                lives = [draw.uniform(1.5, 3.5) for _ in range(5)]
                if "minute" in limits[-1]:
                    lives.append(quota_seconds - sum(lives))
                found.append(run(program, limits, 2000, rate=0, lives=lives))
            rows.append(
                (
                    ", ".join(limits),
                    program.name,
                    str(sum(len(each.arrivals) for each in found)),
                    str(max(each.most(1.0) for each in found)),
                    f"{max(each.most(60.0) for each in found)}" if len(limits) > 1 else "",
                )
            )
    return table(("limits", "", "requests", "most in 1 s", "most in 60 s"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, nargs="*", default=[10, 25, 100, 500])
    parser.add_argument("--seconds", type=float, default=15.0, help="that each import of the held rates lasts")
    parser.add_argument("--quota-seconds", type=float, default=80.0, help="that a quota is watched for")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", help=argparse.SUPPRESS)
    parser.add_argument("--script", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.server:
        vars(api)["LocalApi"] = Recording
        asyncio.run(api.serve(msgspec.json.decode(args.server, type=Options)))
    elif args.script:
        url, customers, *limits = args.script
        run_script(url, limits, int(customers))
    else:
        print(about("limits", "requests"), "\n")
        print("Even starts, by arrival at the server\n")
        print(even(args.rounds), "\n", flush=True)
        print("Held rate, of a server that enforces it\n")
        print(held(args.rates, args.seconds, args.rounds), "\n", flush=True)
        print("Killed with SIGKILL five times and started again\n")
        print(killed(args.quota_seconds, args.rounds))


if __name__ == "__main__":
    main()
