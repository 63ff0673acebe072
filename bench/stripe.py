"""How close a crawl of Stripe's lists comes to requests ÷ limit, as the server saw it: long lists, and all at once."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rig import about, table

from crawlerd.demo.server import Server, running

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


def measure(what: str, customers: int, rate: int, endpoint: int, streams: Sequence[str], latency: float) -> list[str]:
    with running(
        accounts=1, customers=customers, rate=rate, endpoint_rate=endpoint, latency=latency, cache_mb=0
    ) as server:
        records = crawl(server, rate, endpoint, streams)
        seen = server.stats().accounts[1]
    assert seen.first is not None
    assert seen.last is not None
    took, requests = seen.last - seen.first, seen.requests
    least = max(requests / rate, *(each.served / (endpoint or rate) for each in seen.endpoints.values()))
    pages = -(-customers // 100)
    return [
        what,
        f"{latency * 1000:.0f} ms",
        f"{records:,}",
        f"{requests:,}",
        f"{requests / pages - 1:+.1%}" if len(streams) == 1 else "",
        f"{took:.1f} s",
        f"{took / least - 1:+.1%}",
        str(sum(seen.throttled.values())),
        " ".join(
            f"{name} {each.served / took:.1f}/s" for name, each in sorted(seen.endpoints.items()) if each.served > took
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=100)
    asked = parser.parse_args()
    rows = [
        measure("customers", asked.customers, asked.rate, 0, ["customers"], latency) for latency in (0.02, 0.05, 0.15)
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
        "over requests ÷ limits",
        "429s",
        "endpoints",
    ]
    print(table(head, rows))


if __name__ == "__main__":
    main()
