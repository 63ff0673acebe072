"""Scatters a batch: its records are processed in chunks, and written as items."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.errors import CrawlerdError
from crawlerd.core.redaction import cut
from crawlerd.source import AwsApi, Denied, ForAccount, NotFound, Output, Permanent, TaskArgs, Throttled
from crawlerd.sources.http import Answered, Call
from crawlerd.sources.s3_batch.batch import Batch, call, now, s3_batch
from crawlerd.sources.s3_batch.function import function
from crawlerd.sources.s3_batch.items import NOTHING, Item, stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST_ERROR = 1000  # characters
MOST_ITEMS = 25  # the limit of BatchWriteItem
EARLY = 3  # priority of tasks that look for earlier items, before there are many of the batch's own
OUTWARD = 4  # priority of tasks that complete work: they go before more chunks, so that the frontier stays small


@dataclass(frozen=True)
class Scattered(TaskArgs, kind="s3_batch.scattered"):
    """Everything was read, as far as possible.

    problem: what is wrong with the object, otherwise "".
    """

    batch: Batch
    count: int
    problem: str = ""


@s3_batch.handles(Scattered, stream="batches", bucket="dynamodb", priority=EARLY)
def scattered(api: AwsApi, args: Scattered) -> Iterator[Output]:
    facts = {"taskCount": args.count, "times_scattered": now()} | ({"error": args.problem} if args.problem else {})
    call(api, "dynamodb", "update_item", **args.batch.update(**facts))
    yield Trim(args.batch, args.count)


@dataclass(frozen=True)
class Trim(TaskArgs, kind="s3_batch.trim"):
    """Looks for items after the batch's own: an earlier object with its name had more records."""

    batch: Batch
    count: int


@s3_batch.handles(Trim, stream="items", bucket="dynamodb", priority=EARLY)
def trim(api: AwsApi, args: Trim) -> Iterator[Output]:
    index = args.batch.job.items_sort_key
    answer = call(
        api,
        "dynamodb",
        "query",
        TableName=args.batch.job.items_table,
        KeyConditionExpression="#id = :id AND #index >= :count",
        ProjectionExpression="#index",
        ExpressionAttributeNames={"#id": args.batch.job.items_key, "#index": index},
        ExpressionAttributeValues={":id": {"S": args.batch.id}, ":count": {"N": str(args.count)}},
        ConsistentRead=True,
        Limit=MOST_ITEMS,
    )
    if answer["Items"]:
        yield Erase(args.batch, args.count, tuple(int(each[index]["N"]) for each in answer["Items"]))


@dataclass(frozen=True)
class Erase(TaskArgs, kind="s3_batch.erase"):
    batch: Batch
    count: int
    indexes: tuple[int, ...]


@s3_batch.handles(Erase, stream="items", bucket="dynamodb")
def erase(api: AwsApi, args: Erase) -> Iterator[Output]:
    keys = [args.batch.item(index) for index in args.indexes]
    _sent(api, args.batch.job.items_table, [{"DeleteRequest": {"Key": key}} for key in keys])
    yield Trim(args.batch, args.count)


def _sent(api: AwsApi, table: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sends items, and returns those that DynamoDB has left out because it was too busy."""
    answer = call(api, "dynamodb", "batch_write_item", RequestItems={table: requests})
    left: list[dict[str, Any]] = answer.get("UnprocessedItems", {}).get(table, [])
    if len(left) == len(requests):
        raise Throttled("none of the items was processed")
    return left


@dataclass(frozen=True)
class Chunk(TaskArgs, kind="s3_batch.chunk"):
    """Records in the order of the input."""

    batch: Batch
    items: tuple[Item, ...]


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """The purpose of a call to a service.

    indexes: of the records in its body.
    """

    batch: Batch
    indexes: tuple[int, ...]


def begun(batch: Batch, items: Sequence[Item]) -> Iterator[Chunk | Write | ForAccount]:
    """The tasks for a chunk. Records that have an error already are not processed."""
    yield from _written(batch, [each for each in items if each.error])
    if good := [each for each in items if not each.error]:
        yield _call(batch, good) if batch.job.process.url else Chunk(batch, tuple(good))


@s3_batch.handles(Chunk, stream="items", bucket="process")
def chunk(api: AwsApi, args: Chunk) -> Iterator[Output]:
    """Makes no request itself; but the function may raise Throttled, so limits must apply to it."""
    yield from _written(args.batch, _computed(args.batch.job.process.python, args.items))


def _call(batch: Batch, items: Sequence[Item]) -> ForAccount:
    process = batch.job.process
    what = f"{batch.id}\0{batch.etag}\0{batch.job.run}\0{items[0].index}\0{items[-1].index}"
    return ForAccount(
        process.account,
        Call(
            method=process.method,
            url=process.url,
            body=msgspec.Raw(msgspec.json.encode({"records": [each.request for each in items]})),
            idempotency_key=blake2b(what.encode(), digest_size=16).hexdigest(),
            reply_to=batch.job.account,
            about=msgspec.Raw(msgspec.json.encode(Asked(batch, tuple(each.index for each in items)))),
        ),
    )


def _computed(name: str, items: Sequence[Item]) -> Iterator[Item]:
    """The results of the function. If it raises an error, it is called with each record alone, to find the one that
    causes it."""
    process = function(name)
    try:
        results = process([msgspec.json.decode(each.request) for each in items])
        if not isinstance(results, list | tuple) or len(results) != len(items):
            raise ValueError(f"{name} does not return a list of {len(items)} results")
    except CrawlerdError:
        raise
    except Exception as error:  # noqa: BLE001 - the function is anyone's code; it is the record's error
        if len(items) > 1:
            for each in items:
                yield from _computed(name, [each])
            return
        results = [error]
    for each, result in zip(items, results, strict=True):
        yield _with(each, result)


def _with(item: Item, result: Any) -> Item:
    response, said = NOTHING, ""
    if isinstance(result, Exception):
        said = str(result) if type(result) is ValueError else f"{type(result).__name__}: {result}"
    elif result is None:
        said = "no response"
    elif isinstance(result, dict) and result.get("error"):
        said = str(result["error"])
    else:
        try:
            response = msgspec.Raw(msgspec.json.encode(result))
        except (ValueError, TypeError, RecursionError) as error:
            said = f"malformed response: {error}"
    if bytes(response) == b"null":
        return msgspec.structs.replace(item, error=cut(said, LONGEST_ERROR) or "an error without a message")
    return msgspec.structs.replace(item, response=response)


@s3_batch.handles(Answered, stream="items", bucket="process", priority=OUTWARD, cost=0)
def answered(api: AwsApi, args: Answered) -> Iterator[Output]:
    """Handles the answer of a service. A refused chunk is halved until the refused records are found."""
    asked = msgspec.json.decode(args.about, type=Asked)
    requests = msgspec.json.decode(args.asked, type=dict[str, list[msgspec.Raw]])["records"]
    batch, items = asked.batch, [Item(*each) for each in zip(asked.indexes, requests, strict=True)]
    if args.refused and len(items) > 1:
        half = len(items) // 2
        yield _call(batch, items[:half])
        yield _call(batch, items[half:])
        return
    body = msgspec.json.decode(args.body)
    results = (
        next((body[name] for name in ("records", "results") if name in body), None) if isinstance(body, dict) else body
    )
    if args.error:
        results = [ValueError(args.error)] * len(items)
    elif not isinstance(results, list) or len(results) != len(items):
        said = f"a list of {len(results)}" if isinstance(results, list) else "no list"
        results = [ValueError(f"malformed response: {said} for {len(items)} records")] * len(items)
    yield from _written(batch, [_with(each, result) for each, result in zip(items, results, strict=True)])


@dataclass(frozen=True)
class Write(TaskArgs, kind="s3_batch.write"):
    batch: Batch
    items: tuple[Item, ...]


def _written(batch: Batch, items: Sequence[Item] | Iterator[Item]) -> Iterator[Write]:
    items = tuple(items)
    for at in range(0, len(items), MOST_ITEMS):
        yield Write(batch, items[at : at + MOST_ITEMS])


@s3_batch.handles(Write, stream="items", bucket="dynamodb", priority=OUTWARD)
def write(api: AwsApi, args: Write) -> Iterator[Output]:
    """Writes items; writing one again changes nothing. One that DynamoDB refuses is found by halving, and kept as an
    error."""
    batch, items, table = args.batch, args.items, args.batch.job.items_table
    requests = [{"PutRequest": {"Item": stored(batch, each)}} for each in items]
    try:
        unprocessed = _sent(api, table, requests)
    except (Denied, NotFound):
        raise
    except Permanent as error:
        if len(items) > 1:
            half = len(items) // 2
            yield replace(args, items=items[:half])
            yield replace(args, items=items[half:])
            return
        if bytes(items[0].request) == b"null":
            raise
        said = cut(f"its item cannot be written: {error}", LONGEST_ERROR)
        yield Write(batch, (Item(items[0].index, NOTHING, error=said),))
        return
    left = {int(each["PutRequest"]["Item"][batch.job.items_sort_key]["N"]) for each in unprocessed}
    if left:
        yield replace(args, items=tuple(each for each in items if each.index in left))
