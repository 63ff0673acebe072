"""A batch of records in S3: crawlerd beside the script that users write, against local servers, in one run.

`python bench/s3_batch.py [--records N] [--rounds N]` takes the times of each whole command, from its start to its end.
`python bench/s3_batch.py large --mb N` shows what an object of N MB takes of memory.
The servers are moto's, which counts (`batch_server.py`), and an HTTP service that doubles prices.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import psutil
import requests
from batch_server import record
from botocore.config import Config
from rig import HERE, Others, about, table

sys.path.insert(0, str(HERE.parent / "tests"))
from aws_proxy import Organization
from batches import Pricing, Store, assert_exact, doubled, records, settle
from installation import Installation, Running

CHUNK = 100
THREADS = 16  # of the script
MB = 1_000_000


class Server(Organization):
    """The counting server."""

    def seen(self) -> dict[str, Any]:
        with urlopen(f"http://{self.address}/.seen") as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    command = [sys.executable, str(HERE / "batch_server.py"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process.stdout.readline().strip(), {})
        finally:
            process.kill()


# the script


def script(url: str, bucket: str, status: str, items: str, service: str) -> None:
    """As users write it: everything in memory, threads for the chunks, boto3's adaptive retries and batch_writer."""
    config = Config(retries={"mode": "adaptive", "max_attempts": 10}, max_pool_connections=THREADS)
    session = boto3.Session(region_name="us-east-1")
    s3 = session.client("s3", endpoint_url=url, config=config)
    local = threading.local()

    def process(batch: str, start: int, chunk: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not hasattr(local, "table"):  # neither is safe in several threads
            local.http = requests.Session()
            with lock:
                resource = boto3.Session(region_name="us-east-1").resource("dynamodb", endpoint_url=url, config=config)
            local.table = resource.Table(items)
        answer = local.http.post(service, json={"records": chunk}, timeout=30)
        answer.raise_for_status()
        found = [
            {"index": start + at, "request": each, "response": response}
            for at, (each, response) in enumerate(zip(chunk, answer.json(), strict=True))
        ]
        with local.table.batch_writer() as writer:
            for item in found:
                texts = {name: json.dumps(item[name]) for name in ("request", "response")}
                writer.put_item(Item={"batchId": batch, "index": item["index"], **texts})
        return found

    lock = threading.Lock()
    states = session.resource("dynamodb", endpoint_url=url, config=config).Table(status)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="in/", Delimiter="/"):
        for each in page.get("Contents", []):
            key, batch = each["Key"], Path(each["Key"]).stem
            rows = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())["records"]
            states.put_item(Item={"batchId": batch, "state": "processing", "taskCount": len(rows)})
            with ThreadPoolExecutor(THREADS) as pool:
                starts = range(0, len(rows), CHUNK)
                done = pool.map(lambda at, rows=rows, batch=batch: process(batch, at, rows[at : at + CHUNK]), starts)
                gathered = [item for chunk in done for item in chunk]
            body = gzip.compress(json.dumps({"batchId": batch, "records": gathered}).encode(), compresslevel=6)
            s3.put_object(Bucket=bucket, Key=f"out/{batch}.json.gz", Body=body)
            counts = {"batchId": batch, "state": "done", "taskCount": len(rows), "done": len(gathered), "failed": 0}
            states.put_item(Item=counts)
            s3.copy_object(Bucket=bucket, Key=f"in/done/{batch}.json", CopySource={"Bucket": bucket, "Key": key})
            s3.delete_object(Bucket=bucket, Key=key)


# what is measured


def installed(folder: Path, store: Store, pricing: Pricing, processes: int) -> Installation:
    here = settle(
        lambda **options: Installation(folder, daemon={"worker_processes": processes}, **options), store, chunk=CHUNK
    )
    pricing.serve(here)
    return here


def compare(count: int, rounds: int) -> None:
    print(about("boto3", "moto"))
    others = Others()
    rows: list[list[object]] = []
    with serving() as server, Pricing(lambda asked: (200, doubled(asked))).running() as pricing:
        for number in range(rounds):
            for program in ("script", "crawlerd"):
                store = Store(server, f"{program}-{number}")
                store.put("b1", {"records": records(count)})
                with tempfile.TemporaryDirectory() as folder:
                    here = installed(Path(folder) / "here", store, pricing, 2)
                    before = server.seen()["cpu"]
                    pricing.seen.clear()
                    began = time.time()
                    if program == "crawlerd":
                        done = here.run("import", "prices", seconds=600)
                        assert done.code == 0, done.stdout + done.stderr
                    else:
                        names = (store.url, store.bucket, store.status, store.items, f"{pricing.url}/price")
                        command = [sys.executable, __file__, "script", *names]
                        subprocess.run(command, env=here.environment, check=True)
                    seconds = time.time() - began
                found = server.seen()
                check(store, program, count)
                seen = found["seen"]
                spent = Counter[str]()
                for operation, _, took, _ in seen:
                    spent[operation] += took
                rows.append(
                    [
                        f"{program}, round {number + 1}",
                        f"{seconds:.1f}",
                        f"{max(at + took for _, at, took, _ in seen) - min(at for _, at, _, _ in seen):.1f}",
                        len(seen),
                        len(pricing.seen),
                        sum(status == 400 or status >= 500 for *_, status in seen),
                        f"{found['cpu'] - before:.1f}",
                    ]
                )
                counts = Counter(each[0] for each in seen)
                print({name: (counts[name], round(spent[name], 2)) for name in counts}, file=sys.stderr)
    header = ["program", "s", "s, first to last request", "AWS requests", "HTTP requests", "refused", "moto's CPU s"]
    print(f"\n{count:,} records, chunks of {CHUNK}\n\n{table(header, rows)}\n\n{others}")


def check(store: Store, program: str, count: int) -> None:
    """Every record once, in the table and in the file."""
    if program == "crawlerd":
        assert_exact(store, "b1", records(count))
        return
    asked = records(count)
    expected = [{"request": each, "response": result} for each, result in zip(asked, doubled(asked), strict=True)]
    assert store.stored("b1") == dict(enumerate(expected))
    assert [{name: each[name] for name in ("request", "response")} for each in store.gathered("b1")] == expected


# memory


class Peaks:
    """Resident memory at its most, MB, of a main process and of its largest worker, seen from outside."""

    def __init__(self) -> None:
        self.main = self.worker = 0.0

    def sample(self, running: Running) -> None:
        with suppress(psutil.NoSuchProcess):
            self.main = max(self.main, psutil.Process(running.pid).memory_info().rss / MB)
            self.worker = max([self.worker, *(each.memory_info().rss / MB for each in running.workers())])


def large(sizes: list[int], size: int) -> None:
    print(about("boto3", "moto"))
    others = Others()
    rows: list[list[object]] = []
    for mb in sizes:
        count, peaks = mb * MB // size, Peaks()
        with (
            serving(str(count), str(size)) as server,
            Pricing(lambda asked: (200, [{"total": int(each["price"]) * 2} for each in asked])).running() as pricing,
            tempfile.TemporaryDirectory() as folder,
        ):
            store = Store(server, "large")
            store.put("large", b"only its name and ETag: the server knows the rest")
            here = installed(Path(folder) / "here", store, pricing, 2)
            server.seen()
            began = time.monotonic()
            running = here.start("import", "prices")
            disk = 0.0
            while running.running:
                peaks.sample(running)
                disk = max(disk, sum(each.stat().st_size for each in (here.folder / "var").glob("frontier.db*")) / MB)
                with suppress(subprocess.TimeoutExpired):
                    running.process.wait(0.1)
            done = running.finish()
            assert done.code == 0, done.stdout + done.stderr
            seconds = time.monotonic() - began
            check_large(store, count, size)
            seen = len(server.seen()["seen"])
            rows.append(
                [f"{mb:,}", f"{count:,}", f"{seconds:.0f}", seen, *(round(x) for x in (peaks.main, peaks.worker, disk))]
            )
    header = ["object, MB", "records", "s", "AWS requests", "main process, MB", "largest worker, MB", "frontier, MB"]
    print(f"\n{table(header, rows)}\n\n{others}")


def check_large(store: Store, count: int, size: int) -> None:
    """Line by line: nor can this program hold the file."""
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


def main() -> None:
    if sys.argv[1:2] == ["script"]:
        script(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["compare", "large"], default="compare")
    parser.add_argument("--records", type=int, default=10_001)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mb", type=int, nargs="+", default=[200])
    parser.add_argument("--bytes", type=int, default=2_000, help="of a record of the large object")
    arguments = parser.parse_args()
    if arguments.what == "large":
        large(arguments.mb, arguments.bytes)
    else:
        compare(arguments.records, arguments.rounds)


if __name__ == "__main__":
    main()
