"""A batch of records in S3: crawlerd and the script that users write, against local servers, in one run.

It takes the times of each whole command, from its start to its end. The servers are moto's, which counts, and an HTTP
service that doubles prices.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config

from bench.rig.aws import CHUNK, batch_installation, batch_server
from bench.rig.meters import Others
from bench.rig.process import environment, module
from bench.rig.report import about, parsed, table
from bench.rig.testbed import Pricing, Store, assert_exact, doubled, records

THREADS = 16  # of the script


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


def compare(count: int, rounds: int) -> None:
    print(about("boto3", "moto"))
    others = Others()
    rows: list[list[object]] = []
    with batch_server() as server, Pricing(lambda asked: (200, doubled(asked))).running() as pricing:
        for number in range(rounds):
            for program in ("script", "crawlerd"):
                store = Store(server, f"{program}-{number}")
                store.put("b1", {"records": records(count)})
                with tempfile.TemporaryDirectory() as folder:
                    here = batch_installation(Path(folder) / "here", store, pricing)
                    before = server.seen()["cpu"]
                    pricing.seen.clear()
                    began = time.time()
                    if program == "crawlerd":
                        done = here.run("import", "prices", seconds=600)
                        assert done.code == 0, done.stdout + done.stderr
                    else:
                        names = (store.url, store.bucket, store.status, store.items, f"{pricing.url}/price")
                        command = module("bench.peers.s3_batch", "--script", *names)
                        subprocess.run(command, env=environment(base=here.environment), check=True)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_001)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--script", nargs=5, help=argparse.SUPPRESS)
    args = parsed(parser, records=150, rounds=1)
    if args.script:
        script(*args.script)
    else:
        compare(args.records, args.rounds)


if __name__ == "__main__":
    main()
