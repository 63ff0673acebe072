"""What sinks and the targets of batches, DynamoDB and S3, promise alike; then what is the targets' own.

A target is written by tasks, so "delivered" means here that each of them is performed twice, by the real handlers,
against moto's server.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from support.aws_proxy import AwsProxy, Fault, Organization, Request, organization
from support.batches import Store
from test_conformance import SINKS, VALUES, delivery

from crawlerd.clients.aws import AwsClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.source import RunPlan
from crawlerd.sources.s3_batch import BatchImport, Process, s3_batch
from crawlerd.testing.crawl import Crawl
from crawlerd.testing.inline_worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from crawlerd.core.task import NewTask
    from crawlerd.sink import Sink
    from crawlerd.testing.faults import Fault as MadeFault
    from crawlerd.testing.inline_worker import Performed

Rows = dict[str, Any]  # key -> object


class Stopped(Exception):
    """As good as killed."""


class Target(Protocol):
    """A sink or a target."""

    def deliver(self, rows: Rows, *, stop: int | None = None) -> bool:
        """stop: after how many of its tasks it is killed; False when it was."""
        ...

    def resume(self, rows: Rows) -> None:
        """Goes on after it was killed, as the engine does."""
        ...

    def contents(self) -> Rows: ...


class SinkTarget:
    def __init__(self, sink: Sink, read: Callable[[], Mapping[tuple[str, str, str], Any]]) -> None:
        self._sink, self._read = sink, read
        self._run = 0

    def deliver(self, rows: Rows, *, stop: int | None = None) -> bool:
        self._run += 1
        return self._write(rows, len(rows) if stop is None else stop)

    def resume(self, rows: Rows) -> None:
        self._write(rows, len(rows))

    def _write(self, rows: Rows, stop: int) -> bool:
        for number, row in enumerate(list(rows.items())[:stop]):
            one = [delivery([row], run=self._run, task=number)]
            assert self._sink.write(one, float(self._run)) == self._sink.write(one, float(self._run))
        return stop >= len(rows)

    def contents(self) -> Rows:
        self._sink.ended(self._run)
        return {key: data for (_, _, key), data in self._read().items()}


class Tasks(Worker):
    """Performs tasks until it is stopped. problems: all that was wrong, whole."""

    stop: int | None = None

    def __init__(self, client: AwsClient, account: AccountSpec, problems: list[str]) -> None:
        super().__init__(client, s3_batch, account, {}, s3_batch.streams)
        self.problems = problems

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def perform(self, task: NewTask, part: str, fault: MadeFault | None = None) -> Performed:
        if self.stop is not None:
            if not self.stop:
                raise Stopped
            self.stop -= 1
        return super().perform(task, part, fault)


class Place(Store):
    """A test's buckets and tables. client: ours."""

    def __init__(self, moto: Organization, client: AwsClient, name: str) -> None:
        super().__init__(moto, name)
        self.client = client


class Batches:
    """A batch for each key, of one record. started: when the run began, which is what tells it from others."""

    def __init__(self, store: Place, url: str = "") -> None:
        self.store = store
        self.options: dict[str, Any] = {
            "input": f"s3://{store.bucket}/in/",
            "output": f"s3://{store.bucket}/out/",
            "status_table": store.status,
            "items_table": store.items,
            "process": Process(python="builtins:list"),
            "chunk": 1,
        }
        self.account = AccountSpec(
            name=f"aws at {url or store.url}",  # a session each
            source="s3_batch",
            secret="AKID:secret",
            options={"endpoint_url": url or store.url, "region": "us-east-1"},
        )
        self.problems: list[str] = []
        self.started = time.time()

    def deliver(self, rows: Rows, *, stop: int | None = None) -> bool:
        self.started += 1
        for key, data in rows.items():
            self.store.put(key, {"records": [data]})
        whole = self.run(stop)
        assert not self.problems
        return whole

    def resume(self, rows: Rows) -> None:
        assert self.run()
        assert not self.problems

    def run(self, stop: int | None = None, *, twice: bool = True) -> bool:
        worker = Tasks(self.store.client, self.account, self.problems)
        worker.stop = stop
        options = BatchImport(**self.options)
        plan = RunPlan((), full=True, started_at=self.started, options=options, has_sink=False, account="aws")
        try:
            Crawl(worker, plan, {}, killed=twice).run()
        except Stopped:
            return False
        return True

    def contents(self) -> Rows:
        """What DynamoDB holds, which must be what S3 holds."""
        items, states = self.store.rows(self.store.items), self.store.rows(self.store.status)
        etags = {state["batchId"]: state["etag"] for state in states}
        assert {state["state"] for state in states} == {"done"}
        assert all((item["index"], item["etag"]) == (0, etags[item["batchId"]]) for item in items)
        assert len(items) == len(states)
        objects = {}
        for key in self.store.objects():
            if key.startswith("out/"):
                name = key.removeprefix("out/").removesuffix(".json.gz")
                ((objects[name]),) = (each["response"] for each in self.store.gathered(name))
            else:
                assert key.startswith("in/done/")
        assert objects == {item["batchId"]: json.loads(item["response"]) for item in items}
        return objects


@pytest.fixture(scope="module")
def moto() -> Iterator[Organization]:
    with organization(accounts=0, units=0, policies=0) as started:
        yield started


@pytest.fixture(scope="module")
def client() -> Iterator[AwsClient]:
    with closing(AwsClient(connections=1)) as client:
        yield client


@pytest.fixture
def store(moto: Organization, client: AwsClient, tmp_path: Path) -> Place:
    return Place(moto, client, tmp_path.name.replace("_", "-")[:40].strip("-"))


@pytest.fixture(params=["sqlite", "jsonl", "persist-queue", "dynamodb and s3"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    if kind := SINKS.get(request.param):
        with closing(kind.open(tmp_path)) as sink:
            yield SinkTarget(sink, lambda: kind.read(tmp_path))
    else:
        yield Batches(request.getfixturevalue("store"))


# what all promise


ROWS: Rows = {"a": {"n": 1}, "b": {"n": [2]}, "c": {"n": None}}


def test_what_is_delivered_again_changes_nothing(target: Target) -> None:
    target.deliver(ROWS)
    assert target.contents() == ROWS
    target.deliver(ROWS)
    assert target.contents() == ROWS


def test_what_is_delivered_in_part_and_again_is_there_once(target: Target) -> None:
    """Killed behind the first of its tasks, the fourth, … until there are no more."""
    for stop in range(1, 100, 3):
        rows = {key: {"n": stop} for key in "ab"}
        whole = target.deliver(rows, stop=stop)
        if not whole:
            target.resume(rows)
        assert target.contents() == rows
        if whole:
            break
    else:
        raise AssertionError("there were more")


def test_the_last_of_a_key_wins_and_others_stay(target: Target) -> None:
    target.deliver(ROWS)
    target.deliver({"b": {"other": True}})
    assert target.contents() == ROWS | {"b": {"other": True}}


SHORT = [value for value in VALUES if len(repr(value)) < 1000]  # an item of DynamoDB has 400 KB at most


@pytest.mark.parametrize("value", SHORT, ids=lambda value: repr(value)[:20])
def test_values_come_back_as_they_went(target: Target, value: Any) -> None:
    rows = {"a": {"value": value, "list": [value]}, "b": {}}
    target.deliver(rows)
    assert target.contents() == rows


HOSTILE = [
    "a b",
    "a+b",
    "a%2Fb",
    "%",
    ".",
    "..",
    "..%2f..",
    "a?b=c&versionId=1#d",
    "ü ☃ 😀",
    "\U0010ffff",
    "'; DROP TABLE x; --",
    '"',
    "<&>",
    "\\",
    ":id",
    "#index",
    "x" * 900,
    "a.json",
    "in",
]


def test_keys_that_look_like_something_else_are_keys(target: Target) -> None:
    rows = {key: {"n": number} for number, key in enumerate(HOSTILE)}
    target.deliver(rows)
    assert target.contents() == rows


# what is the targets' own


@pytest.fixture
def proxy(moto: Organization) -> Iterator[AwsProxy]:
    with AwsProxy(moto.address, limits={}) as running:
        yield running


def test_names_below_the_input_and_beside_it_are_no_batches(store: Place) -> None:
    """Neither listed nor announced."""
    names = ["in/a/b.json", "in/.json", "in/x.txt", "out/y.json", "in/../z.json", "in/done/w.json", "in"]
    for key in names:
        store.s3.put_object(Bucket=store.bucket, Key=key, Body=b'{"records":[{}]}')
    queue = store.sqs.create_queue(QueueName=f"queue-{store.bucket}")["QueueUrl"]
    queue = f"{store.url}/{queue.split('/', 3)[3]}"
    for key in names:
        of = {"bucket": {"name": store.bucket}, "object": {"key": key, "eTag": "x"}}
        body = {"Records": [{"eventName": "ObjectCreated:Put", "s3": of}]}
        store.sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(body))
    batches = Batches(store)
    batches.run()
    batches.options["queue_url"] = queue
    batches.run(twice=False)  # a queue does not answer the same again
    assert not batches.problems
    assert store.rows(store.status) == []
    assert sorted(store.objects()) == sorted(names)


@pytest.mark.parametrize("name", ["", "ab", "a b", "a/b", "ü", "a'; --", "x" * 256, "arn:aws:s3:::bucket"])
@pytest.mark.parametrize("table", ["status_table", "items_table"])
def test_a_table_is_named_as_dynamodb_permits(table: str, name: str) -> None:
    status, items = (name if table == each else each for each in ("status_table", "items_table"))
    with pytest.raises(ValueError, match=f"{table} must be"):
        BatchImport("s3://abc/", "s3://abc/", status, items, Process(python="a:b"))


@pytest.mark.parametrize("name", ["abc", "a.b-c_D", "arn:aws:dynamodb:eu-west-1:123456789012:table/items"])
def test_what_dynamodb_permits_is_taken(name: str) -> None:
    BatchImport("s3://abc/", "s3://abc/", status_table=name, items_table="other", process=Process(python="a:b"))


@pytest.mark.parametrize(
    "url", ["abc", "s3://", "s3://A/", "s3://a_b/", "s3://ab", "http://abc/", "s3://abc?x", "s3://é"]
)
def test_a_bucket_is_named_as_s3_permits(url: str) -> None:
    with pytest.raises(ValueError, match="output must be like"):
        BatchImport("s3://abc/", url, "status", "items", Process(python="a:b"))


def problems_of(batches: Batches) -> str:
    batches.run()
    return "\n".join(batches.problems)


@pytest.mark.parametrize("which", ["input", "output", "status_table", "items_table"])
def test_what_is_not_there_is_named(store: Place, which: str) -> None:
    batches = Batches(store)
    batches.options[which] = "s3://not-there/x/" if which in ("input", "output") else "not-there"
    assert "not-there" in problems_of(batches)


@pytest.mark.parametrize("which", ["status_table", "items_table"])
def test_a_table_with_another_key_is_named(store: Place, which: str) -> None:
    batches = Batches(store)
    other = {"status_table": "items_table", "items_table": "status_table"}[which]
    batches.options[which], batches.options[other] = batches.options[other], batches.options[which]
    said = problems_of(batches)
    assert f"the key of the table {store.items} must be batchId (text)" in said
    assert f"the key of the table {store.status} must be batchId (text) and index (number)" in said


@pytest.mark.parametrize(
    ("operation", "named"),
    [
        ("PutItem", "status"),
        ("UpdateItem", "status"),
        ("GetItem", "status"),
        ("BatchWriteItem", "items"),
        ("Query", "items"),
        ("{bucket}", "bucket"),
        ("{bucket}/in/b1.json", "bucket"),
        ("{bucket}/out/b1.json.gz", "bucket"),
        ("{bucket}/in/done/b1.json", "bucket"),
    ],
)
def test_what_the_credentials_may_not_do_is_told_with_its_target(
    store: Place, proxy: AwsProxy, operation: str, named: str
) -> None:
    denied = operation.format(bucket=store.bucket)

    def fault(request: Request) -> Fault | None:
        return Fault(403, "AccessDeniedException", "no") if request.operation.lower() == denied.lower() else None

    proxy.fault = fault
    store.put("b1", {"records": [{}]})
    said = problems_of(Batches(store, proxy.url))
    assert "403" in said or "AccessDenied" in said
    assert f" of {getattr(store, named)})" in said
    assert {"in/b1.json", "in/done/b1.json", "in/failed/b1.json"} & set(store.objects())


def test_an_operation_that_may_not_be_looked_at_may_be_used(store: Place, proxy: AwsProxy) -> None:
    proxy.fault = lambda request: Fault(400, "AccessDeniedException") if request.operation == "DescribeTable" else None
    batches = Batches(store, proxy.url)
    batches.deliver(ROWS)
    assert batches.contents() == ROWS
