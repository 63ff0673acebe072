"""How close a crawl of Stripe's lists comes to requests / limit, as the server saw it: long lists, and all at once."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import NormalDist

import requests
from aiohttp import web
from rig import about, table

from crawlerd.demo import api
from crawlerd.demo.objects import SPAN, START, Stream
from crawlerd.demo.server import Options, Server
from crawlerd.demo.stripe import split

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
limits = ["{rate}/second"]
bucket_limits = {bucket_limits}
[imports.a]
account = "a"
sink = "warehouse"
streams = {streams}
"""


BURSTS = sorted(Random(1).sample(range(SPAN), 200))  # the seconds in which they begin; each takes ten minutes
SHAPES: dict[str, Callable[[float], float]] = {  # when an object was created, of two years, by its place in the list
    "growing": lambda place: place**0.5,
    "shrinking": lambda place: place**2,
    "one peak": lambda place: NormalDist(0.5, 0.05).inv_cdf(min(max(place, 1e-9), 1 - 1e-9)),
    "200 bursts": lambda place: (BURSTS[int(place * 200)] + place * 200 % 1 * 600) / SPAN,
}


def shape(name: str) -> None:
    """Gives the objects of this process's local API other times than evenly spread ones."""

    def created(self: Stream, index: int, customers: int) -> int:
        return START + int(SPAN * SHAPES[name](index / self.count(customers)))

    Stream.created = created  # type: ignore[method-assign]  # the local API has no such option, and needs none


def crawl(server: Server, rate: int, endpoint: int, streams: Sequence[str]) -> int:
    """Imports the streams; returns how many records arrived."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        place = Path(name)
        limits = [f"{endpoint}/second"] if endpoint else []
        text = CONFIG.format(
            url=server.url, rate=rate, bucket_limits=json.dumps(limits), streams=json.dumps(list(streams))
        )
        (place / "crawlerd.toml").write_text(text)
        command = [sys.executable, "-m", "crawlerd", "import", "--all", "--json"]
        environment = {**os.environ, "KEY": Server.key(1)}
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=True)
        (run,) = json.loads(done.stdout)["imports"]["a"]
        return int(run["records"])


class Recording(api.LocalApi):
    """Also notes when each request arrived, and for what."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.arrivals: list[tuple[float, str]] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path == "/_arrivals":
            return web.json_response(self.arrivals)
        if request.raw_path.startswith("/v1/"):
            self.arrivals.append((time.monotonic(), split(request.path).stream))
        return await super().handle(request)


@contextmanager
def recording(**options: float | str) -> Iterator[Server]:
    """The local API in a process of its own."""
    command = [sys.executable, __file__, "--server", json.dumps({"parent": os.getpid(), **options})]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process.stdout.readline().split()[-1], process.pid)
        finally:
            process.terminate()


def measure(what: str, customers: int, rate: int, endpoint: int, streams: Sequence[str], latency: float) -> list[str]:
    """what: a name of SHAPES, or any other for evenly spread objects."""
    options = {"customers": customers, "rate": rate, "endpoint_rate": endpoint, "latency": latency, "cache_mb": 0}
    with recording(accounts=1, shape=what, **options) as server:
        records = crawl(server, rate, endpoint, streams)
        arrivals = requests.get(f"{server.url}/_arrivals", timeout=10).json()
        throttled = sum(server.stats().accounts[1].throttled.values())
    counts = Counter(stream for _, stream in arrivals if stream not in ("account", "events"))
    listed = [at for at, stream in arrivals if stream in counts]
    took = listed[-1] - listed[0]
    least = max(len(listed) / rate, *(count / (endpoint or rate) for count in counts.values()))
    return [
        what,
        f"{latency * 1000:.0f} ms",
        f"{records:,}",
        f"{len(listed):,}",
        f"{len(listed) / -(-customers // 100) - 1:+.1%}" if len(streams) == 1 else "",
        f"{took:.2f} s",
        f"{took / least - 1:+.1%}",
        f"{arrivals[-1][0] - arrivals[0][0] - took:.2f} s",
        str(throttled),
        " ".join(f"{name} {count / took:.1f}/s" for name, count in counts.most_common(3)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--server", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.server:
        api.LocalApi = Recording
        options = json.loads(asked.server)
        if (name := options.pop("shape")) in SHAPES:
            shape(name)
        asyncio.run(api.serve(Options(**options)))
        return
    rows = [
        measure(what, asked.customers, asked.rate, 0, ["customers"], latency)
        for what in ("even", *SHAPES)
        for latency in (0.02, 0.05, 0.15, 0.3)
    ]
    streams = ["customers", "payment_methods", "customer_balance_transactions", "customer_cash_balance_transactions"]
    rows.append(
        measure("interleaved", 1_000, asked.rate * 3 // 4, asked.rate // 4, [*streams, "charges", "invoices"], 0.05)
    )
    print(about())
    head = [
        "lists",
        "latency",
        "records",
        "requests",
        "over pages",
        "took",
        "over requests / limits",
        "before and after",
        "429s",
        "endpoints",
    ]
    print(table(head, rows))


if __name__ == "__main__":
    main()
