"""Whole batches against moto's server: scattered, processed, written, gathered, moved."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from support.aws_proxy import AwsProxy, Fault, Organization, Request, organization
from support.batches import Pricing, Store, assert_exact, doubled, records, settle
from support.installation import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.installation import Installation


@pytest.fixture(scope="module")
def moto() -> Iterator[Organization]:
    with organization(accounts=0, units=0, policies=0) as started:
        yield started


@pytest.fixture
def store(moto: Organization, tmp_path: Path) -> Store:
    return Store(moto, tmp_path.name.replace("_", "-")[:40].strip("-"))


def test_a_batch_is_scattered_and_gathered(install: Callable[..., Installation], store: Store) -> None:
    here = settle(install, store)
    store.put("b1", {"records": records(330)})
    store.put("b2", {"meta": {"of": [1, "]"]}, "records": [], "more": None})
    done = here.run("import", "prices")
    assert done.code == 0, done.stdout + done.stderr
    assert_exact(store, "b1", records(330))
    assert_exact(store, "b2", [])
    assert sorted((here.folder / "calls").read_text().split()) == ["100", "100", "100", "30"]
    assert sorted(store.objects()) == ["in/done/b1.json", "in/done/b2.json", "out/b1.json.gz", "out/b2.json.gz"]


def test_an_http_service_processes_and_refuses_records_one_by_one(
    install: Callable[..., Installation], store: Store
) -> None:
    """A failure is retried under its key; a refusal is narrowed down to the record."""
    failed: list[int] = []

    def answer(asked: list[dict[str, Any]]) -> tuple[int, Any]:
        if any(each["itemNo"] == 7 for each in asked):
            return 422, {"message": "no such item"}
        if not failed:
            failed.append(1)
            return 503, {}
        results: list[Any] = doubled(asked)
        return 200, {
            "records": [
                {"error": "too cheap"} if each["price"] == 13 else r for each, r in zip(asked, results, strict=True)
            ]
        }

    with Pricing(answer).running() as pricing:
        here = settle(install, store, chunk=10)
        pricing.serve(here)
        wanted: list[Any] = records(20)
        wanted[3], wanted[18] = "not a record", None
        store.put("b1", {"records": wanted})
        done = here.run("import", "prices")
    assert done.code == 3, done.stdout
    assert "1 skipped: b1: 4 of 20 records have an error" in done.stdout
    assert sum(size for _, size in pricing.seen) > 18
    assert len({key for key, _ in pricing.seen}) == len(pricing.seen) - 1  # the one that failed came again as it was
    gathered = store.gathered("b1")
    errors = {each["index"]: each["error"] for each in gathered if "error" in each}
    assert set(errors) == {3, 7, 13, 18}
    assert "422" in errors[7]
    assert errors[13] == "too cheap"
    assert errors[3] == errors[18] == "the record is not an object"
    assert [each["response"] for each in gathered if "error" not in each] == doubled(
        [each for number, each in enumerate(wanted) if number not in errors]
    )
    assert set(store.stored("b1")) == set(range(20))
    state = store.state("b1")
    assert (state["state"], state["taskCount"], state["done"], state["failed"]) == ("done", 20, 16, 4)


@pytest.mark.parametrize("body", [b"<html>", {"records": [1]}, {"other": 1}, [None] * 10])
def test_a_malformed_response_is_every_records_error(
    body: Any, install: Callable[..., Installation], store: Store
) -> None:
    with Pricing(lambda asked: (200, body)).running() as pricing:
        here = settle(install, store, chunk=10)
        pricing.serve(here)
        store.put("b1", {"records": records(10)})
        assert here.run("import", "prices").code == 3
    assert all(each["error"] and "response" not in each for each in store.gathered("b1"))
    state = store.state("b1")
    assert (state["state"], state["done"], state["failed"]) == ("failed", 0, 10)
    assert state["error"].startswith("all 10 records have an error, the first one: ")
    assert "in/failed/b1.json" in store.objects()


def test_a_service_that_stays_away_fails_its_records_and_no_others(
    install: Callable[..., Installation], store: Store
) -> None:
    with Pricing(lambda asked: (500, {}) if asked[0]["itemNo"] == 10 else (200, doubled(asked))).running() as pricing:
        here = settle(install, store, chunk=10)
        pricing.serve(here)
        store.put("b1", {"records": records(30)})
        assert here.run("import", "prices").code == 3
    gathered = store.gathered("b1")
    assert [each["index"] for each in gathered if "error" in each] == list(range(10, 20))
    assert "dead letter" in gathered[10]["error"]
    state = store.state("b1")
    assert (state["state"], state["done"], state["failed"]) == ("failed", 20, 10)
    assert state["error"].startswith("10 of 30 records have no result: http.call: ")
    assert "500" in state["error"]
    assert f"b1: {state['error']}"[:60] in here.run("dead", "list").stdout.replace("\n", " ")
    assert "in/failed/b1.json" in store.objects()


@pytest.mark.parametrize(
    ("body", "count", "reason"),
    [(b"", 0, "empty"), (b'{"a": [1]}', 0, "records"), (b'{"records": [{"itemNo": 1, "price": 2}, {', 1, "JSON")],
)
def test_a_malformed_object_fails_and_others_go_on(
    body: bytes, count: int, reason: str, install: Callable[..., Installation], store: Store
) -> None:
    here = settle(install, store)
    store.put("bad", body)
    store.put("good", {"records": records(5)})
    done = here.run("import", "prices")
    assert done.code == 3
    assert_exact(store, "good", records(5))
    state = store.state("bad")
    assert (state["state"], state["taskCount"]) == ("failed", count)
    assert reason in state["error"]
    assert "in/failed/bad.json" in store.objects()
    assert "out/bad.json.gz" not in store.objects()
    assert f"bad: {state['error']}"[:60] in done.stdout


def test_a_second_event_changes_nothing_and_a_corrected_object_does(
    install: Callable[..., Installation], store: Store
) -> None:
    here = settle(install, store)
    store.put("b1", {"records": records(30)})
    assert here.run("import", "prices").code == 0
    before = store.state("b1")
    store.put("b1", {"records": records(30)})
    assert here.run("import", "prices").code == 0
    assert store.state("b1") == before
    assert len((here.folder / "calls").read_text().split()) == 1
    assert "in/b1.json" not in store.objects()
    changed = [{"itemNo": 5, "price": 0.1}] * 4
    store.put("b1", {"records": changed})
    assert here.run("import", "prices").code == 0
    assert_exact(store, "b1", changed)


def large() -> list[dict[str, Any]]:
    """Records that no compression makes smaller than a part of an upload has to be."""
    return [
        {"itemNo": number, "price": 1, "noise": base64.b64encode(os.urandom(190_000)).decode()} for number in range(30)
    ]


def test_a_large_batch_is_read_in_ranges_and_sent_in_parts(install: Callable[..., Installation], store: Store) -> None:
    here = settle(install, store)
    wanted = large()
    store.put("b1", {"records": wanted})
    done = here.run("import", "prices")
    assert done.code == 0, done.stdout
    assert_exact(store, "b1", wanted)
    etag = store.s3.head_object(Bucket=store.bucket, Key="out/b1.json.gz")["ETag"]
    assert "-2" in etag or "-3" in etag  # of how many parts
    assert not store.s3.list_multipart_uploads(Bucket=store.bucket).get("Uploads")


def test_never_much_of_a_large_batch_is_queued(install: Callable[..., Installation], store: Store) -> None:
    here = settle(install, store, chunk=2)
    here.environment["SLEEP"] = "0.03"
    wanted = [{"itemNo": number, "price": 1, "noise": os.urandom(50_000).hex()} for number in range(120)]  # 3 ranges
    store.put("b1", {"records": wanted})
    running = here.start("import", "prices")
    until(lambda: store.rows(store.items) or not running.running)
    most = 0
    while running.running:
        ((queued,),) = here.select("SELECT count(*) FROM ready")
        most = max(most, queued)
        time.sleep(0.02)
    assert running.finish().code == 0
    assert_exact(store, "b1", wanted)
    assert 10 < most < 45, most  # of 60 chunks


def test_throttled_and_unprocessed_writes_slow_the_writer_and_lose_nothing(
    moto: Organization, install: Callable[..., Installation], store: Store
) -> None:
    with AwsProxy(moto.address, limits={}) as proxy:

        def own(request: Request) -> dict[str, Any] | None:
            if request.operation != "BatchWriteItem" or len(proxy.seen) % 3:
                return None
            return {"UnprocessedItems": request.body["RequestItems"]}  # none of them

        def fault(request: Request) -> Fault | None:
            if len(proxy.seen) % 4:
                return None
            of_dynamodb = request.operation.endswith(("Item", "Query", "Table"))
            return Fault(400, "ProvisionedThroughputExceededException") if of_dynamodb else Fault(429, "SlowDown")

        def answered(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
            """Half of the items are written, and all said not to be: writing them again does no harm."""
            if request.operation == "BatchWriteItem":
                ((table, items),) = request.body["RequestItems"].items()
                answer["UnprocessedItems"] = {table: items[: len(items) // 2]}
            return answer

        proxy.own, proxy.fault, proxy.changed = own, fault, answered
        here = settle(install, store, chunk=30)
        here.config["accounts"]["aws"]["endpoint_url"] = proxy.url
        store.put("b1", {"records": records(60)})
        done = here.run("import", "prices")
    assert done.code == 0, done.stdout
    assert_exact(store, "b1", records(60))
    assert "0 throttled" not in done.stdout
    assert "0 dead" in done.stdout


def test_an_item_that_dynamodb_refuses_is_an_error_and_the_rest_is_kept(
    install: Callable[..., Installation], store: Store
) -> None:
    here = settle(install, store)
    wanted = [{"itemNo": number, "price": 1, "noise": "x" * (450_000 if number == 17 else 1)} for number in range(30)]
    store.put("b1", {"records": wanted})
    assert here.run("import", "prices").code == 3
    refused = [each for each in store.gathered("b1") if "response" not in each]
    assert [each["index"] for each in refused] == [17]
    assert "item cannot be written" in refused[0]["error"]
    assert store.state("b1")["failed"] == 1


def test_announced_by_a_queue(install: Callable[..., Installation], store: Store) -> None:
    """Messages go when what they announce is in the frontier; one that announces nothing becomes a dead letter."""
    url = store.sqs.create_queue(QueueName=f"queue-{store.bucket}", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    url = store.url + urlsplit(url).path
    store.put("b 1", {"records": records(30)})
    store.put("not-announced", {"records": records(1)})
    etag = store.s3.head_object(Bucket=store.bucket, Key="in/b 1.json")["ETag"].strip('"')
    event = {
        "Records": [
            {
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": store.bucket}, "object": {"key": "in/b+1.json", "eTag": etag}},
            }
        ]
    }
    for body in (
        event,
        "hello",
        event,
        {"Event": "s3:TestEvent"},
        {"Type": "Notification", "Message": json.dumps(event)},
    ):
        store.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
    here = settle(install, store, queue_url=url)
    done = here.run("import", "prices")
    assert done.code == 3
    assert "1 dead" in done.stdout
    assert "not a notification of S3" in done.stdout
    assert_exact(store, "b 1", records(30))
    assert len((here.folder / "calls").read_text().split()) == 1
    assert "in/not-announced.json" in store.objects()
    assert not store.sqs.receive_message(QueueUrl=url).get("Messages")


@pytest.mark.parametrize("by", ["python", "http"])
def test_killed_at_any_instant_it_ends_exact(by: str, install: Callable[..., Installation], store: Store) -> None:
    here = settle(install, store, chunk=20)
    here.environment["SLEEP"] = "0.02"
    with Pricing(lambda asked: (200, doubled(asked))).running() as pricing:
        if by == "http":
            pricing.serve(here)
        kill_and_finish(here, store)
    keys = [key for key, _ in pricing.seen]
    assert len(set(keys)) == (15 if by == "http" else 0)


def kill_and_finish(here: Installation, store: Store) -> None:
    store.put("b1", {"records": records(230)})
    store.put("b2", {"records": records(50)})

    def progress() -> tuple[int, int, int]:
        return (
            len(store.rows(store.items)),
            len(store.objects()),
            sum("ended" in r["times"] for r in store.rows(store.status)),
        )

    for _ in range(6):
        before = progress()
        running = here.start("import", "prices")
        until(lambda before=before: progress() != before or not running.running)  # noqa: B023 - it ends within the turn
        if not running.running:
            break
        running.kill()
    done = here.run("import", "prices")
    assert done.code == 0, done.stdout
    assert_exact(store, "b1", records(230))
    assert_exact(store, "b2", records(50))
    assert len(store.objects()) == 4
    here.assert_conserved()


@pytest.mark.parametrize("victim", ["daemon", "workers"])
def test_killed_between_what_a_request_has_done_and_its_answer(
    victim: str, moto: Organization, install: Callable[..., Installation], store: Store
) -> None:
    """At each kind of request of a batch's life, some of them more than once."""
    todo = {"PutItem": 1, "BatchWriteItem": 2, "UpdateItem": 2, "GetItem": 1, "Query": 1}
    todo |= {f"{store.bucket}/{name}": 1 for name in ("out/b1.json.gz", "in/done/b1.json")}
    todo[f"{store.bucket}/in/b1.json"] = 2
    if victim == "workers":  # whose tasks are poison after three deaths
        todo = dict.fromkeys(todo, 1)
    here = settle(install, store, chunk=20)
    store.put("b1", {"records": records(230)})
    kill_at(todo, victim, moto, here)
    assert_exact(store, "b1", records(230))
    assert sorted(store.objects()) == ["in/done/b1.json", "out/b1.json.gz"]


def test_killed_while_a_large_object_is_sent_in_parts(
    moto: Organization, install: Callable[..., Installation], store: Store
) -> None:
    here = settle(install, store)
    wanted = large()
    store.put("b1", {"records": wanted})
    kill_at({f"{store.bucket}/out/b1.json.gz": 4, "Query": 2}, "daemon", moto, here)
    assert_exact(store, "b1", wanted)


def kill_at(todo: dict[str, int], victim: str, moto: Organization, here: Installation) -> None:
    """Runs the import and kills when a request of such a name was performed and is not answered yet, as often as `todo`
    says. The next request of that name, which may be the same again, is answered: each kill hits another one."""
    hit, killed = threading.Event(), threading.Event()
    repeated: set[str] = set()

    def answered(request: Request) -> None:
        name = request.operation if request.operation in todo else request.operation.lower()
        if name in repeated:
            repeated.remove(name)
        elif todo.get(name) and not hit.is_set():
            todo[name] -= 1
            repeated.add(name)
            killed.clear()
            hit.set()
            killed.wait(20)

    with AwsProxy(moto.address, limits={}) as proxy:
        proxy.answered = answered
        here.config["accounts"]["aws"]["endpoint_url"] = proxy.url
        running = here.start("import", "prices")
        while True:
            until(lambda running=running: hit.is_set() or not running.running, 60)
            if not hit.is_set():
                break
            if victim == "daemon":
                running.kill()
            else:
                for worker in running.workers():
                    worker.kill()
            hit.clear()
            killed.set()
            if victim == "daemon":
                running = here.start("import", "prices")
        done = running.finish()
    assert done.code == 0, done.stdout + done.stderr
    assert not any(todo.values()), todo
    here.assert_conserved()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input": "s3://nowhere-at-all/in/"}, "the bucket nowhere-at-all cannot be used"),
        ({"output": "s3://nowhere-at-all/"}, "the bucket nowhere-at-all cannot be used"),
        ({"status_table": "nowhere"}, "there is no table nowhere"),
        ({"items_table": "nowhere"}, "there is no table nowhere"),
        ({"process": {"python": "pricing_rules:halve"}}, "pricing_rules:halve cannot be imported"),
    ],
)
def test_what_is_missing_is_named_before_anything_begins(
    changes: dict[str, Any], reason: str, install: Callable[..., Installation], store: Store
) -> None:
    here = settle(install, store, **changes)
    store.put("b1", {"records": records(3)})
    done = here.run("import", "prices")
    assert done.code == 3
    assert reason in done.stdout
    assert store.rows(store.status) == []
    assert store.objects() == ["in/b1.json"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input": "batches/in"}, "input must be like"),
        ({"chunk": 0}, "chunk must be from 1"),
        ({"process": {}}, "either url"),
        ({"process": {"url": "http://127.0.0.1:1/x", "account": "nobody"}}, "nobody"),
    ],
)
def test_options_that_cannot_be_meant(
    changes: dict[str, Any], reason: str, install: Callable[..., Installation], store: Store
) -> None:
    done = settle(install, store, **changes).run("import", "prices")
    assert done.code == 78
    assert reason in done.stderr


def test_a_daemon_finds_what_comes_later(install: Callable[..., Installation], store: Store) -> None:
    here = settle(install, store, schedule="1s")
    daemon = here.start("run")
    until(lambda: "completed" in here.states())
    store.put("b1", {"records": records(12)})
    until(lambda: "in/done/b1.json" in store.objects() and "in/b1.json" not in store.objects(), 40)
    assert_exact(store, "b1", records(12))
    daemon.kill()


def test_a_batch_that_another_run_has_begun_is_left_to_it(install: Callable[..., Installation], store: Store) -> None:
    here = settle(install, store)
    store.put("b1", {"records": records(3)})
    etag = store.s3.head_object(Bucket=store.bucket, Key="in/b1.json")["ETag"].strip('"')
    status = {"batchId": {"S": "b1"}, "etag": {"S": etag}, "run": {"S": "1.0"}, "state": {"S": "processing"}}
    store.dynamodb.put_item(TableName=store.status, Item=status)
    assert here.run("import", "prices").code == 0
    assert store.objects() == ["in/b1.json"]
    store.dynamodb.delete_item(TableName=store.status, Key={"batchId": {"S": "b1"}})
    assert here.run("import", "prices").code == 0
    assert_exact(store, "b1", records(3))
