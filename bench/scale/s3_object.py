"""What an S3 object of any size takes of memory: records of noise, from a server that makes the object by a formula.

Every record of the gathered object is compared.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from pathlib import Path

from bench.rig.aws import batch_installation, batch_server, watched
from bench.rig.batch_server import record
from bench.rig.meters import Others, Peaks
from bench.rig.report import about, parsed, table
from bench.rig.testbed import Pricing, Store

MB = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, nargs="+", default=[200])
    parser.add_argument("--bytes", type=int, default=2_000, help="of a record")
    args = parsed(parser, mb=[0.5])
    print(about("boto3", "moto"))
    others = Others()
    header = ["object, MB", "records", "s", "AWS requests", "main process, MB", "largest worker, MB", "frontier, MB"]
    rows = [measured(mb, args.bytes) for mb in args.mb]
    print(f"\n{table(header, rows)}\n\n{others}")


def measured(mb: float, size: int) -> list[object]:
    count, peaks = int(mb * MB) // size, Peaks()
    with (
        batch_server(str(count), str(size)) as server,
        Pricing(lambda asked: (200, [{"total": int(each["price"]) * 2} for each in asked])).running() as pricing,
        tempfile.TemporaryDirectory() as folder,
    ):
        store = Store(server, "large")
        store.put("large", b"only its name and ETag: the server knows the rest")
        here = batch_installation(Path(folder) / "here", store, pricing)
        server.seen()
        began = time.monotonic()
        disk = watched(here, "prices", peaks)
        seconds = time.monotonic() - began
        check(store, count, size)
        seen = len(server.seen()["seen"])
    found = (each / MB for each in (peaks.main, peaks.worker, disk))
    return [f"{mb:,g}", f"{count:,}", f"{seconds:.0f}", seen, *map(round, found)]


def check(store: Store, count: int, size: int) -> None:
    """Line by line: this program cannot hold the file either."""
    body = store.s3.get_object(Bucket=store.bucket, Key="out/large.json.gz")["Body"]
    with gzip.open(body) as lines:
        assert next(lines) == b'{"batchId":"large","records":[\n'
        for number in range(count):
            found = json.loads(next(lines).rstrip(b",\n").removesuffix(b"]}"))
            asked = record(number, size)
            assert found == {"index": number, "request": asked, "response": {"total": int(asked["price"]) * 2}}, number
        assert not lines.read(10).strip(b"]}\n")
    state = store.state("large")
    assert (state["state"], state["taskCount"], state["done"], state["failed"]) == ("done", count, count, 0)


if __name__ == "__main__":
    main()
