"""How evenly and how closely limits are kept, by arrivals at the server: `crawlerd import` and a script."""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import requests
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from bench.rig.installation import Installation
from bench.rig.installation import crawlerd as command_of
from bench.rig.process import environment, module
from bench.rig.recording import arrivals, recording
from bench.rig.report import about, parsed, spread, table
from crawlerd.demo.objects import id_of
from crawlerd.demo.server import Server

CLOSE = 0.020  # seconds that a gap between two requests may differ from the interval
LATENCY = 0.05
THREADS = 16  # of the peer


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
    throttled = sum(sum(each.throttled.values()) for each in server.stats().accounts.values())
    return Seen([at for at, _ in arrivals(server)], throttled)


class Program(NamedTuple):
    """What is measured. command(server, place, limits, customers) prepares and returns it."""

    name: str
    command: Callable[[Server, Path, Sequence[str], int], list[str]]


def crawlerd(smooth: bool, server: Server, place: Path, limits: Sequence[str], _: int) -> list[str]:
    here = Installation(place, worker_processes=2)
    account = {"base_url": server.url, "limits": list(limits), "bucket_limits": [], "smooth": smooth}
    here.add("a", "stripe", ["payment_methods"], key=Server.key(1), **account)
    here.write()
    return command_of("import", "--all", "--json")


def script(server: Server, _: Path, limits: Sequence[str], customers: int) -> list[str]:
    return module("bench.limits.rate", "--script", server.url, str(customers), *limits)


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
QUOTAS = [["10/second"], ["50/second", "300/minute"]]


def run(program: Program, limits: Sequence[str], customers: int, *, rate: int, lives: Sequence[float] = ()) -> Seen:
    """rate: that the server enforces. lives: seconds after which the program is killed, and started again but for the
    last time. Without them it runs to its end."""
    with (
        tempfile.TemporaryDirectory(dir=".") as name,
        recording(accounts=1, customers=customers, rate=rate, latency=LATENCY) as server,
    ):
        place = Path(name).resolve()
        command = program.command(server, place, limits, customers)
        variables = {**environment(), "KEY_A": Server.key(1)}
        for seconds in lives or (None,):
            with subprocess.Popen(
                command, cwd=place, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
                process.kill()
                assert lives or process.wait() == 0, process.returncode
        shutil.rmtree(place / "var", ignore_errors=True)
        return seen(server)


def even(programs: Sequence[Program], seconds: float, rounds: int) -> str:
    """10/s under light load: the gaps between arrivals."""
    rows = []
    for program in programs:
        found = [run(program, ["10/second"], int(10 * seconds), rate=0) for _ in range(rounds)]
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


def held(programs: Sequence[Program], rates: Sequence[int], seconds: float, rounds: int) -> str:
    """The share of the permitted rate, against a server that enforces it."""
    rows = []
    for rate in rates:
        for program in programs:
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


def killed(
    programs: Sequence[Program], kills: int, quotas: Sequence[Sequence[str]], seconds: float, rounds: int
) -> str:
    """kill -9 in mid-import: what the server saw over all lives."""
    draw = random.Random(1)
    rows = []
    for limits in quotas:
        for program in programs:
            found = []
            for _ in range(rounds):
                spans = [draw.uniform(1.5, 3.5) for _ in range(kills)]
                if "minute" in limits[-1]:
                    spans.append(seconds - sum(spans))
                found.append(run(program, limits, 2000, rate=0, lives=spans))
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
    parser.add_argument("--even-seconds", type=float, default=20.0, help="that each import of the even starts lasts")
    parser.add_argument("--kills", type=int, default=5, help="of each program")
    parser.add_argument("--quota-seconds", type=float, default=80.0, help="that a quota is watched for")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--script", nargs="+", help=argparse.SUPPRESS)
    parser.set_defaults(programs=PROGRAMS, quotas=QUOTAS)
    args = parsed(
        parser,
        rates=[100],
        seconds=0.5,
        even_seconds=1.0,
        kills=1,
        quota_seconds=4.0,
        rounds=1,
        programs=[CRAWLERD, SCRIPT],
        quotas=QUOTAS[1:],
    )
    if args.script:
        url, customers, *limits = args.script
        run_script(url, limits, int(customers))
    else:
        print(about("limits", "requests"), "\n")
        print("Even starts, by arrival at the server\n")
        print(even(args.programs, args.even_seconds, args.rounds), "\n", flush=True)
        print("Held rate, of a server that enforces it\n")
        print(held(args.programs, args.rates, args.seconds, args.rounds), "\n", flush=True)
        print("Killed with SIGKILL and started again\n")
        print(killed(args.programs, args.kills, args.quotas, args.quota_seconds, args.rounds))


if __name__ == "__main__":
    main()
