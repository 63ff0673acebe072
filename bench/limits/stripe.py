"""How close a crawl of Stripe's lists comes to requests / limit, as the server saw it: long lists, and all at once."""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.rig.installation import Installation
from bench.rig.recording import SHAPES, arrivals, recording
from bench.rig.report import about, parsed, table
from crawlerd.demo.server import Server


def crawl(server: Server, rate: int, endpoint: int, streams: Sequence[str]) -> int:
    """Imports the streams; returns how many records arrived."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        here = Installation(Path(name).resolve(), worker_processes=2)
        account = {"base_url": server.url, "limits": [f"{rate}/second"]}
        account["bucket_limits"] = [f"{endpoint}/second"] if endpoint else []
        here.add("a", "stripe", streams, key=Server.key(1), **account)
        here.write()
        (run,) = here.import_all()["imports"]["a"]
        return int(run["records"])


def measure(what: str, customers: int, rate: int, endpoint: int, streams: Sequence[str], latency: float) -> list[str]:
    """what: a name of SHAPES, or any other for evenly spread objects."""
    options = {"customers": customers, "rate": rate, "endpoint_rate": endpoint, "latency": latency, "cache_mb": 0}
    with recording(accounts=1, shape=what, **options) as server:
        records = crawl(server, rate, endpoint, streams)
        seen = arrivals(server)
        throttled = sum(server.stats().accounts[1].throttled.values())
    counts = Counter(stream for _, stream in seen if stream not in ("account", "events"))
    listed = [at for at, stream in seen if stream in counts]
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
        f"{seen[-1][0] - seen[0][0] - took:.2f} s",
        str(throttled),
        " ".join(f"{name} {count / took:.1f}/s" for name, count in counts.most_common(3)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--below", type=int, default=1_000, help="customers where the lists below them are read too")
    parser.add_argument("--shapes", nargs="+", default=["even", *SHAPES], help="how the times of objects are spread")
    parser.add_argument("--latencies", type=float, nargs="+", default=[0.02, 0.05, 0.15, 0.3], help="in seconds")
    args = parsed(parser, customers=2_000, below=10, shapes=["growing"], latencies=[0.02])
    rows = [
        measure(what, args.customers, args.rate, 0, ["customers"], latency)
        for what in args.shapes
        for latency in args.latencies
    ]
    streams = ["customers", "payment_methods", "customer_balance_transactions", "customer_cash_balance_transactions"]
    rows.append(
        measure("interleaved", args.below, args.rate * 3 // 4, args.rate // 4, [*streams, "charges", "invoices"], 0.05)
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
