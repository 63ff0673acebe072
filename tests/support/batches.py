"""Batches of records in S3: buckets and tables of moto's server, an installation for them, what must be there."""

from __future__ import annotations

import gzip
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.aws_proxy import Organization
    from support.installation import Installation

FUNCTION = """
import os, time

def double(records):
    with open(os.environ["CALLS"], "a") as file:
        file.write(f"{len(records)}\\n")
    time.sleep(float(os.environ.get("SLEEP", "0")))  # work that takes its time
    return [{"itemNo": each["itemNo"], "total": each["price"] * 2} for each in records]
"""


class Store:
    """The buckets and tables of one test."""

    def __init__(self, moto: Organization, name: str) -> None:
        self.url = f"http://{moto.address}"
        self.s3, self.dynamodb, self.sqs = (moto.client(each) for each in ("s3", "dynamodb", "sqs"))
        self.bucket, self.status, self.items = f"batches-{name}", f"status-{name}", f"items-{name}"
        self.s3.create_bucket(Bucket=self.bucket)
        self._table(self.status, {"batchId": "S"})
        self._table(self.items, {"batchId": "S", "index": "N"})

    def _table(self, name: str, key: dict[str, str]) -> None:
        self.dynamodb.create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": each, "KeyType": kind} for each, kind in zip(key, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": kind} for each, kind in key.items()],
            BillingMode="PAY_PER_REQUEST",
        )

    def put(self, batch: str, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.s3.put_object(Bucket=self.bucket, Key=f"in/{batch}.json", Body=data)

    def put_as(self, name: str, body: bytes, **options: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"in/{name}", Body=body, **options)

    def objects(self) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def rows(self, table: str) -> list[dict[str, Any]]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table)
        return [TypeDeserializer().deserialize({"M": each}) for page in pages for each in page["Items"]]

    def state(self, batch: str) -> dict[str, Any]:
        return next(each for each in self.rows(self.status) if each["batchId"] == batch)

    def stored(self, batch: str) -> dict[int, dict[str, Any]]:
        return {
            int(each["index"]): {name: json.loads(each[name]) for name in ("request", "response") if name in each}
            | ({"error": each["error"]} if "error" in each else {})
            for each in self.rows(self.items)
            if each["batchId"] == batch
        }

    def gathered(self, batch: str) -> list[dict[str, Any]]:
        body = self.s3.get_object(Bucket=self.bucket, Key=f"out/{batch}.json.gz")["Body"].read()
        found = json.loads(gzip.decompress(body))
        assert found["batchId"] == batch
        assert [each["index"] for each in found["records"]] == list(range(len(found["records"])))
        return list(found["records"])


def settle(install: Callable[..., Installation], store: Store, **options: Any) -> Installation:
    here = install(accounts=0)
    (here.folder / "pricing_rules.py").write_text(FUNCTION)
    here.environment |= {
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "PYTHONPATH": str(here.folder),
        "CALLS": str(here.folder / "calls"),
    }
    here.config["accounts"]["aws"] = {"source": "s3_batch", "region": "us-east-1", "endpoint_url": store.url}
    here.config["imports"]["prices"] = {
        "account": "aws",
        "input": f"s3://{store.bucket}/in/",
        "output": f"s3://{store.bucket}/out/",
        "status_table": store.status,
        "items_table": store.items,
        "chunk": 100,
        "process": {"python": "pricing_rules:double"},
        **options,
    }
    return here


def records(count: int) -> list[dict[str, Any]]:
    return [{"itemNo": number, "price": number % 97} for number in range(count)]


def assert_exact(store: Store, batch: str, wanted: list[dict[str, Any]], *, name: str = "") -> None:
    """name: of its object, else its own and ".json"."""
    name = name or f"{batch}.json"
    expected = [
        {"index": number, "request": each, "response": {"itemNo": each["itemNo"], "total": each["price"] * 2}}
        for number, each in enumerate(wanted)
    ]
    assert store.gathered(batch) == expected
    stored = store.stored(batch)
    assert stored == {each["index"]: {"request": each["request"], "response": each["response"]} for each in expected}
    state = store.state(batch)
    assert (state["state"], state["taskCount"], state["done"], state["failed"]) == ("done", len(wanted), len(wanted), 0)
    assert state["times"]["started"] <= state["times"]["scattered"] <= state["times"]["ended"]
    assert f"in/done/{name}" in store.objects()
    assert f"in/{name}" not in store.objects()


def doubled(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"itemNo": each["itemNo"], "total": each["price"] * 2} for each in asked]


class Pricing:
    """A local service; `answer` makes (status, body) of a request's records."""

    def __init__(self, answer: Callable[[list[dict[str, Any]]], tuple[int, Any]]) -> None:
        self.seen: list[tuple[str, int]] = []
        pricing = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["records"]
                pricing.seen.append((self.headers["Idempotency-Key"], len(asked)))
                status, body = answer(asked)
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Pricing]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def serve(self, here: Installation) -> None:
        here.config["accounts"]["pricing"] = {
            "source": "http",
            "base_url": self.url,
            "attempts": 2,
            "retry_base": "20ms",
            "retry_cap": "50ms",
        }
        here.config["imports"]["prices"]["process"] = {"url": f"{self.url}/price", "account": "pricing"}
