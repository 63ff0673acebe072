"""How a batch arrives: found in a listing, or announced by SQS. It is begun only once, however often it is found or
announced."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crawlerd.core.redaction import cut
from crawlerd.source import AwsApi, Denied, Gather, Identity, NotFound, Output, Permanent, RunPlan, TaskArgs
from crawlerd.sources.s3_batch.announced import announced
from crawlerd.sources.s3_batch.batch import Batch, BatchImport, Job, Place, call, now, s3_batch
from crawlerd.sources.s3_batch.forms import named
from crawlerd.sources.s3_batch.function import function
from crawlerd.sources.s3_batch.gather import Collect, Copy
from crawlerd.sources.s3_batch.scan import Scan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


GATHERED = ".json.gz"


@s3_batch.starts
def first(plan: RunPlan) -> Iterable[Gather]:
    """The first tasks, which find missing tables and buckets before any batch is begun."""
    options: BatchImport = plan.options
    job = Job(
        plan.account,
        str(plan.started_at),
        Place.of(options.input),
        Place.of(options.output),
        options.status_table,
        options.items_table,
        options.chunk,
        options.process,
        options.status_key,
        options.items_key,
        options.items_sort_key,
        options.unpacked_mb << 20,
    )
    checks: list[TaskArgs] = [CheckBucket(each) for each in dict.fromkeys([job.input.bucket, job.output.bucket])]
    checks += [
        CheckTable(job.status_table, {job.status_key: "HASH"}),
        CheckTable(job.items_table, {job.items_key: "HASH", job.items_sort_key: "RANGE"}),
    ]
    if job.process.python:
        checks.append(CheckFunction(job.process.python))
    yield Gather(checks, then=Receive(job, options.queue_url) if options.queue_url else Poll(job), if_dead="skip")


@dataclass(frozen=True)
class Caller(TaskArgs, kind="s3_batch.caller"):
    """The owner of the credentials."""


@s3_batch.tests(Caller())
def caller(api: AwsApi, args: Caller) -> Iterator[Output]:
    """STS answers everybody; a server other than AWS does not have it, but lists the caller's own buckets."""
    if not api.elsewhere:
        yield Identity(api.call("sts", "get_caller_identity")["Arn"])
        return
    try:
        owner = api.call("s3", "list_buckets").get("Owner", {})
    except Denied:  # the credentials work, but may not do this
        return
    if name := owner.get("DisplayName") or owner.get("ID"):
        yield Identity(str(name))


@dataclass(frozen=True)
class CheckBucket(TaskArgs, kind="s3_batch.check_bucket"):
    bucket: str


@s3_batch.handles(CheckBucket, stream="batches", bucket="s3")
def check_bucket(api: AwsApi, args: CheckBucket) -> Iterator[Output]:
    try:
        call(api, "s3", "head_bucket", Bucket=args.bucket)
    except Denied:  # credentials that may not inspect it may still be allowed to use it
        return
    except Permanent as error:
        raise NotFound(f"the bucket {args.bucket} cannot be used: {error}") from None
    yield from ()


@dataclass(frozen=True)
class CheckTable(TaskArgs, kind="s3_batch.check_table"):
    """Checks a table.

    key: its key attributes, with the purpose of each.
    """

    table: str
    key: dict[str, str]


@s3_batch.handles(CheckTable, stream="batches", bucket="dynamodb")
def check_table(api: AwsApi, args: CheckTable) -> Iterator[Output]:
    try:
        table = call(api, "dynamodb", "describe_table", TableName=args.table)["Table"]
    except Denied:
        return
    except NotFound:
        raise NotFound(f"there is no table {args.table}") from None
    found = {each["AttributeName"]: each["KeyType"] for each in table["KeySchema"]}
    types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    of = {"HASH": ("S", "text"), "RANGE": ("N", "number")}
    if found != args.key or any(types[name] != of[kind][0] for name, kind in args.key.items()):
        wanted = " and ".join(f"{name} ({of[kind][1]})" for name, kind in args.key.items())
        has = " and ".join(f"{name} ({types[name]})" for name in found)
        options = "status_key" if len(args.key) == 1 else "items_key and items_sort_key"
        raise Permanent(f"the key of the table {args.table} must be {wanted}, not {has}; {options} can name it")
    yield from ()


@dataclass(frozen=True)
class CheckFunction(TaskArgs, kind="s3_batch.check_function"):
    name: str


@s3_batch.handles(CheckFunction, stream="batches", bucket="process", cost=0)
def check_function(api: AwsApi, args: CheckFunction) -> Iterator[Output]:
    function(args.name)
    yield from ()


@dataclass(frozen=True)
class Poll(TaskArgs, kind="s3_batch.poll"):
    """One page of the input's listing.

    token: where it begins, "" for the first.
    """

    job: Job
    token: str = ""


@s3_batch.handles(Poll, stream="batches", bucket="s3", sequential=True)
def poll(api: AwsApi, args: Poll) -> Iterator[Output]:
    place = args.job.input
    token = {"ContinuationToken": args.token} if args.token else {}
    page = call(api, "s3", "list_objects_v2", Bucket=place.bucket, Prefix=place.prefix, Delimiter="/", **token)
    for each in page.get("Contents", ()):
        yield from _begin(args.job, each["Key"], each["ETag"])
    if page.get("NextContinuationToken"):
        yield replace(args, token=page["NextContinuationToken"])


def _begin(job: Job, key: str, etag: str) -> Iterator[Output]:
    name = key.removeprefix(job.input.prefix)
    if job.input == job.output and name.lower().endswith(GATHERED):
        return  # it may be our own output
    if key.startswith(job.input.prefix) and "/" not in name and (known := named(name)):
        yield Begin(Batch(known.batch, etag.strip('"'), job, "" if name == f"{known.batch}.json" else name))


@dataclass(frozen=True)
class Receive(TaskArgs, kind="s3_batch.receive"):
    """Receives messages of the queue until none are left.

    number: the number of the request.
    """

    job: Job
    queue_url: str
    number: int = 0


@s3_batch.handles(Receive, stream="batches", bucket="sqs", sequential=True)
def receive(api: AwsApi, args: Receive) -> Iterator[Output]:
    """A message is deleted by a task that is enqueued together with the tasks that it leads to."""
    answer = call(api, "sqs", "receive_message", QueueUrl=args.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
    messages = answer.get("Messages", [])
    for each in messages:
        try:
            objects = announced(each["Body"])
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            yield Unknown(str(each.get("Body", "")))
            objects = []
        for bucket, key, etag in objects:
            if bucket == args.job.input.bucket:
                yield from _begin(args.job, key, etag)
        yield Delete(args.queue_url, each["ReceiptHandle"])
    if messages:
        yield replace(args, number=args.number + 1)


@dataclass(frozen=True)
class Unknown(TaskArgs, kind="s3_batch.unknown_message"):
    """A message that announces nothing. It is kept as a dead letter, since it is deleted from the queue."""

    body: str


@s3_batch.handles(Unknown, stream="batches", bucket="process", unique=True, cost=0)
def unknown(api: AwsApi, args: Unknown) -> Iterator[Output]:
    raise Permanent(f"a message of the queue is not a notification of S3: {cut(args.body, 200)}")


@dataclass(frozen=True)
class Delete(TaskArgs, kind="s3_batch.delete_message"):
    queue_url: str
    receipt: str


@s3_batch.handles(Delete, stream="batches", bucket="sqs")
def delete_message(api: AwsApi, args: Delete) -> Iterator[Output]:
    call(api, "sqs", "delete_message", QueueUrl=args.queue_url, ReceiptHandle=args.receipt)
    yield from ()


@dataclass(frozen=True)
class Begin(TaskArgs, kind="s3_batch.begin"):
    batch: Batch


@s3_batch.handles(Begin, stream="batches", bucket="dynamodb", unique=lambda args: f"{args.batch.key} {args.batch.etag}")
def begin(api: AwsApi, args: Begin) -> Iterator[Output]:
    yield from _begun(api, args.batch)


@dataclass(frozen=True)
class Again(TaskArgs, kind="s3_batch.begin_again"):
    batch: Batch


@s3_batch.handles(Again, stream="batches", bucket="dynamodb")
def again(api: AwsApi, args: Again) -> Iterator[Output]:
    yield from _begun(api, args.batch)


def _begun(api: AwsApi, batch: Batch) -> Iterator[Output]:
    """Begins a batch. If another object is being made into the same batch, nothing is changed."""
    plain = batch.object == f"{batch.id}.json"  # for status items of earlier versions, which do not have the name
    same = "(#object = :object OR attribute_not_exists(#object))" if plain else "#object = :object"
    other = "#object <> :object" if plain else "(#object <> :object OR attribute_not_exists(#object))"
    try:
        call(
            api,
            "dynamodb",
            "put_item",
            TableName=batch.job.status_table,
            Item={
                **batch.status,
                "object": {"S": batch.object},
                "etag": {"S": batch.etag},
                "run": {"S": batch.job.run},
                "state": {"S": "processing"},
                "times": {"M": {"started": {"S": now()}}},
            },
            ConditionExpression=f"attribute_not_exists(#id) OR ({same} AND (etag <> :etag OR #run = :run)) "
            f"OR ({other} AND #state <> :processing)",
            ExpressionAttributeNames={
                "#id": batch.job.status_key,
                "#object": "object",
                "#run": "run",
                "#state": "state",
            },
            ExpressionAttributeValues={
                ":object": {"S": batch.object},
                ":etag": {"S": batch.etag},
                ":run": {"S": batch.job.run},
                ":processing": {"S": "processing"},
            },
        )
    except Permanent as error:
        if not str(error).startswith("ConditionalCheckFailed"):
            raise
        yield Known(batch)
        return
    yield Gather([Scan(batch)], then=Collect(batch), if_dead="run")


@dataclass(frozen=True)
class Known(TaskArgs, kind="s3_batch.known"):
    """An object that another run has begun. If that run has ended it, it is moved; otherwise it is left to that run."""

    batch: Batch


@s3_batch.handles(Known, stream="batches", bucket="dynamodb")
def known(api: AwsApi, args: Known) -> Iterator[Output]:
    batch = args.batch
    table = batch.job.status_table
    answer = call(api, "dynamodb", "get_item", TableName=table, Key=batch.status, ConsistentRead=True)
    item = answer.get("Item", {})
    state, other = (item.get(name, {}).get("S") for name in ("state", "object"))
    if (other or f"{batch.id}.json") != batch.object:
        if state == "processing":
            raise Permanent(
                f"{batch.object} is not begun: {other} is the same batch, {batch.id}, and not done yet; "
                "retry it afterwards"
            )
        yield Again(batch)
    elif state in ("done", "failed"):
        yield Copy(batch, state)
