"""Batches in other forms than plain JSON, announced in other ways, against moto's server."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import re
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from support.aws_proxy import AwsProxy, Fault, Organization, Request, organization
from support.batches import Store, assert_exact, records, settle
from test_s3_batch import kill_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation

MIB = 1 << 20
NUMBERS = """
def double(records):
    return [{"itemNo": int(each["itemNo"]), "total": int(each["price"]) * 2} for each in records]
"""


@pytest.fixture(scope="module")
def moto() -> Iterator[Organization]:
    with organization(accounts=0, units=0, policies=0) as started:
        yield started


@pytest.fixture
def store(moto: Organization, tmp_path: Path) -> Store:
    return Store(moto, "f" + tmp_path.name.replace("_", "-")[:40].strip("-"))


def lines(of: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in of)


def table(of: list[dict[str, Any]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(of[0]))
    writer.writeheader()
    writer.writerows(of)
    return file.getvalue().encode()


def test_all_forms_plain_and_packed(install: Callable[..., Installation], store: Store) -> None:
    wanted = records(60)
    objects = {
        "list.json": (json.dumps(wanted).encode(), {}),
        "packed.json.gz": (gzip.compress(json.dumps({"records": wanted}).encode()), {}),
        "encoded.json": (gzip.compress(json.dumps(wanted).encode()), {"ContentEncoding": "gzip"}),
        "both.JSON.gz": (gzip.compress(json.dumps(wanted).encode()), {"ContentEncoding": "gzip"}),
        "not-packed.json.gz": (json.dumps(wanted).encode(), {}),  # as some write it
        "lines.jsonl": (lines(wanted), {}),
        "marked.ndjson": (b"\xef\xbb\xbf" + lines(wanted).replace(b"\n", b"\r\n\r\n"), {}),
        "members.jsonl.gz": (gzip.compress(lines(wanted[:17])) + gzip.compress(lines(wanted[17:])) + bytes(512), {}),
        "cut.ndjson.gz": (gzip.compress(lines(wanted).rstrip()), {"ContentEncoding": "aws-chunked"}),
    }
    for name, (body, options) in objects.items():
        store.put_as(name, body, **options)
    store.put_as("left.txt", b"alone")
    done = settle(install, store).run("import", "prices")
    assert done.code == 0, done.stdout + done.stderr
    for name in objects:
        assert_exact(store, name.split(".")[0], wanted, name=name)
    assert "in/left.txt" in store.objects()


def test_rows_have_texts_and_bad_ones_are_set_aside(install: Callable[..., Installation], store: Store) -> None:
    here = settle(install, store)
    (here.folder / "pricing_rules.py").write_text(NUMBERS)
    wanted = [{"itemNo": str(number), "price": "3", "note": 'two "lines",\nof ü'} for number in range(120)]
    store.put_as("plain.csv", table(wanted))
    store.put_as("packed.csv.gz", gzip.compress(b"\xef\xbb\xbf" + table(wanted)))
    store.put_as("ragged.csv", b"itemNo,price\n1,2\n1\n1,2,3\ncaf\xe9,1\n2,3\n")
    store.put_as("twice.csv", b"a,b,a\n1,2,3\n")
    done = here.run("import", "prices")
    assert done.code == 3, done.stdout + done.stderr
    for batch in ("plain", "packed"):
        assert [each["request"] for each in store.gathered(batch)] == wanted
        assert {each["response"]["total"] for each in store.gathered(batch)} == {6}
    gathered = store.gathered("ragged")
    assert [each.get("error", "")[:8] for each in gathered] == ["", "1 fields", "3 fields", "the text", ""]
    assert store.state("ragged")["failed"] == 3
    state = store.state("twice")
    assert (state["state"], state["error"]) == ("failed", "its header has the name 'a' twice")
    assert "twice: its header has the name 'a' twice" in done.stdout
    assert "ragged: 3 of 5 records have an error" in done.stdout
    assert "in/failed/twice.csv" in store.objects()


@pytest.mark.parametrize(
    "broken", ["ended early", "damaged", "not gzip", "UTF-16", "Content-Encoding", "unpacks", "4 MiB"]
)
def test_what_cannot_be_read_to_its_end_names_why(
    broken: str, install: Callable[..., Installation], store: Store
) -> None:
    """What came before is processed; it says why in the status item and in the report."""
    whole = gzip.compress(lines(records(30)))
    spoiled = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]
    body, count = {
        "ended early": (gzip.compress(lines(records(30)))[:-4], 30),
        "damaged": (spoiled, 30),
        "not gzip": (whole + b"garbage", 30),
        "UTF-16": (gzip.compress("[]".encode("utf-16")), 0),
        "Content-Encoding": (b"\x0b\x02\x80", 0),
        "unpacks": (gzip.compress(lines(records(30)) + b"\n" * MIB), 30),
        "4 MiB": (gzip.compress(lines(records(30)) + b"x" * (5 * MIB)), 30),
    }[broken]
    here = settle(install, store, unpacked_mb=1 if broken == "unpacks" else 100)
    store.put_as("bad.jsonl.gz", body, **({"ContentEncoding": "br"} if broken == "Content-Encoding" else {}))
    store.put("good", {"records": records(3)})
    done = here.run("import", "prices")
    assert done.code == 3
    assert_exact(store, "good", records(3))
    state = store.state("bad")
    assert (state["state"], state["taskCount"]) == ("failed", count)
    assert len(store.stored("bad")) == count
    assert broken.replace("ended", "ends too") in state["error"]
    assert f"bad: {state['error']}"[:60] in done.stdout
    assert "in/failed/bad.jsonl.gz" in store.objects()


def test_a_bomb_ends_at_its_bound_and_costs_no_memory(install: Callable[..., Installation], store: Store) -> None:
    here = settle(install, store, unpacked_mb=20)
    store.put_as("spaces.jsonl.gz", gzip.compress(b" " * (20 * MIB), 9) * 10)
    store.put_as("blank.csv.gz", gzip.compress(b"a\n") + gzip.compress(b"\n" * (20 * MIB), 9) * 10)
    running = here.start("import", "prices")
    peaks = {0}
    while running.running:
        for worker in running.workers():
            with contextlib.suppress(OSError, TypeError):  # it has just ended
                status = Path(f"/proc/{worker.pid}/status").read_text()
                peaks.add(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) >> 10)  # type: ignore[index]
        time.sleep(0.02)
    done = running.finish()
    assert done.code == 3
    assert max(peaks) < 150, peaks  # some 70 MiB for boto3 alone
    assert "it unpacks to more than 20 MiB" in store.state("spaces")["error"]
    assert "it unpacks to more than 20 MiB" in store.state("blank")["error"]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_killed_while_gzip_is_read_it_goes_on_where_it_was(
    form: str, moto: Organization, install: Callable[..., Installation], store: Store
) -> None:
    """Of several ranges; most of its text cannot be packed, and one block is long."""
    here = settle(install, store, chunk=25)
    (here.folder / "pricing_rules.py").write_text(NUMBERS)
    wanted: list[dict[str, Any]] = [
        {"itemNo": number, "price": 1, "noise": os.urandom(100_000).hex() if number % 2 else "same" * 50_000}
        for number in range(44)
    ]
    if form == "csv":
        wanted = [{name: str(value) for name, value in each.items()} for each in wanted]
    text = {"jsonl": lines, "json": lambda of: json.dumps(of).encode(), "csv": table}[form](wanted)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31, 9, zlib.Z_FIXED)
    store.put_as(f"b1.{form}.gz", packer.compress(text) + packer.flush())
    kill_at({f"{store.bucket}/in/b1.{form}.gz": 3, "BatchWriteItem": 1}, "daemon", moto, here)
    assert [each["request"] for each in store.gathered("b1")] == wanted
    assert len(store.stored("b1")) == len(wanted)
    assert sorted(store.objects()) == [f"in/done/b1.{form}.gz", "out/b1.json.gz"]


def test_an_object_that_is_replaced_while_it_is_read_says_so(
    moto: Organization, install: Callable[..., Installation], store: Store
) -> None:
    wanted = [{"itemNo": number, "price": 1, "noise": os.urandom(50_000).hex()} for number in range(120)]
    later = records(40)
    with AwsProxy(moto.address, limits={}) as proxy:
        seen: list[str] = []

        def answered(request: Request) -> None:
            if request.operation.endswith("/in/b1.jsonl.gz") and not seen:
                seen.append(request.operation)
                store.put_as("b1.jsonl.gz", gzip.compress(lines(later)))

        proxy.answered = answered
        here = settle(install, store)
        here.config["accounts"]["aws"]["endpoint_url"] = proxy.url
        store.put_as("b1.jsonl.gz", gzip.compress(lines(wanted)))
        done = here.run("import", "prices")
        assert done.code == 3
        assert store.state("b1")["error"] == "the object was replaced while it was read"
        assert here.run("import", "prices").code == 0
    assert_exact(store, "b1", later, name="b1.jsonl.gz")


def test_events_of_eventbridge_by_every_way(install: Callable[..., Installation], store: Store) -> None:
    url = store.sqs.create_queue(QueueName=f"queue-{store.bucket}", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    url = store.url + urlsplit(url).path

    def event(key: str, kind: str = "Object Created") -> dict[str, Any]:
        head = store.s3.head_object(Bucket=store.bucket, Key=f"in/{key}")
        detail = {
            "bucket": {"name": store.bucket},
            "object": {"key": f"in/{key}", "size": 5, "etag": head["ETag"].strip('"'), "sequencer": "617f08299329d189"},
            "reason": "PutObject",
        }
        return {"version": "0", "detail-type": kind, "source": "aws.s3", "detail": detail}

    for name in ("a+b.json", "b2.jsonl", "b3.json", "b4.json"):
        store.put_as(name, json.dumps(records(5)).encode() if name.endswith("json") else lines(records(5)))
    by_topic = {"Type": "Notification", "Message": json.dumps(event("b2.jsonl"))}
    for body in (
        event("a+b.json"),
        by_topic,
        {
            "Type": "Notification",
            "Message": json.dumps({"Type": "Notification", "Message": json.dumps(event("b3.json"))}),
        },
        event("a+b.json"),
        event("b4.json", "Object Tags Added"),
        {"source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification", "detail": {}},
    ):
        store.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
    done = settle(install, store, queue_url=url).run("import", "prices")
    assert done.code == 3
    assert "1 dead" in done.stdout
    assert "aws.ec2" in done.stdout
    assert_exact(store, "a+b", records(5))
    assert_exact(store, "b2", records(5), name="b2.jsonl")
    assert_exact(store, "b3", records(5))
    assert "in/b4.json" in store.objects()
    assert not store.sqs.receive_message(QueueUrl=url).get("Messages")


def test_tables_with_keys_of_other_names(
    moto: Organization, install: Callable[..., Installation], store: Store
) -> None:
    for name, key in (("s-" + store.status, {"job": "S"}), ("i-" + store.items, {"pk": "S", "position": "N"})):
        store._table(name, key)
    names = {"status_key": "job", "items_key": "pk", "items_sort_key": "position"}
    tables = {"status_table": "s-" + store.status, "items_table": "i-" + store.items}
    here = settle(install, store, **tables, **names)
    for count in (60, 40):  # items of the first one that the second one has not are erased
        store.put("b1", {"records": records(count)})
        done = here.run("import", "prices")
        assert done.code == 0, done.stdout
        rows = store.rows("i-" + store.items)
        assert sorted(int(each["position"]) for each in rows) == list(range(count))
        assert {each["pk"] for each in rows} == {"b1"}
        (state,) = store.rows("s-" + store.status)
        assert (state["job"], state["state"], state["done"]) == ("b1", "done", count)
        assert len(store.gathered("b1")) == count
    here = settle(install, store, **tables)
    done = here.run("import", "prices")
    assert done.code == 3
    assert "must be batchId (text), not job (S); status_key can name it" in done.stdout


def test_gathered_objects_are_no_batches_where_they_lie_with_the_input(
    install: Callable[..., Installation], store: Store
) -> None:
    here = settle(install, store, output=f"s3://{store.bucket}/in/")
    store.put_as("b1.csv", b"itemNo,price\n")
    for _ in range(2):
        assert here.run("import", "prices").code == 0
        assert sorted(store.objects()) == ["in/b1.json.gz", "in/done/b1.csv"]
        assert (store.state("b1")["state"], store.state("b1")["taskCount"]) == ("done", 0)


def test_a_batch_that_cannot_be_read_names_the_error_everywhere(
    moto: Organization, install: Callable[..., Installation], store: Store
) -> None:
    """One object may not be read, and the other one's storage fails each time."""
    faults = {"denied": Fault(403, "AccessDenied"), "broken": Fault(500, "InternalError")}
    with AwsProxy(moto.address, limits={}) as proxy:
        proxy.fault = lambda request: faults.get(request.operation.rpartition("/")[2].removesuffix(".jsonl"))
        here = settle(install, store)
        here.config["accounts"]["aws"] |= {
            "endpoint_url": proxy.url,
            "attempts": 2,
            "retry_base": "20ms",
            "retry_cap": "50ms",
        }
        for name in faults:
            store.put_as(f"{name}.jsonl", lines(records(3)))
        done = here.run("import", "prices")
    assert done.code == 3
    listed = here.run("dead", "list").stdout
    for name, code in (("denied", "403: Forbidden"), ("broken", "500")):
        state = store.state(name)
        assert state["state"] == "failed"
        assert code in state["error"]
        assert f"{name}: {state['error']}"[:30] in listed


def test_an_object_waits_while_its_batch_is_made_of_another_one(
    install: Callable[..., Installation], store: Store
) -> None:
    here = settle(install, store)
    store.put_as("b1.jsonl", lines(records(20)))
    status: dict[str, Any] = {
        "batchId": {"S": "b1"},
        "object": {"S": "b1.csv.gz"},
        "etag": {"S": "x"},
        "run": {"S": "1.0"},
        "state": {"S": "processing"},
    }
    store.dynamodb.put_item(TableName=store.status, Item=status)
    done = here.run("import", "prices")
    assert done.code == 3
    assert "b1.jsonl is not begun: b1.csv.gz is the same batch, b1, and not done yet" in done.stdout
    assert store.objects() == ["in/b1.jsonl"]
    (number,) = [row[0] for row in here.select("SELECT seq FROM dead")]
    store.dynamodb.put_item(TableName=store.status, Item=status | {"state": {"S": "done"}})
    assert here.run("dead", "retry", str(number)).code == 0
    assert here.run("import", "prices").code == 0
    assert_exact(store, "b1", records(20), name="b1.jsonl")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status_key": "state"}, "status_key must"),
        ({"items_key": "index"}, "items_key must"),
        ({"items_sort_key": ""}, "items_sort_key must"),
        ({"unpacked_mb": 0}, "unpacked_mb must"),
    ],
)
def test_options_that_cannot_be_meant(
    changes: dict[str, Any], reason: str, install: Callable[..., Installation], store: Store
) -> None:
    done = settle(install, store, **changes).run("import", "prices")
    assert done.code == 78
    assert reason in done.stderr
