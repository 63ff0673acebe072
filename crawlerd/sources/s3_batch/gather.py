"""Gathers a batch: reads its items in order into one object, closes its status item, and moves its input away."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from crawlerd.core.redaction import cut
from crawlerd.source import AwsApi, Denied, NotFound, Output, Permanent, Skip, TaskArgs
from crawlerd.sources.s3_batch.batch import Batch, call, now, s3_batch
from crawlerd.sources.s3_batch.items import line

if TYPE_CHECKING:
    from collections.abc import Iterator

PART = 5 << 20  # bytes, the least that a part of a multipart upload may have, except the last
LONGEST_ERROR = 500  # characters of a record's error, or a dead letter's, in that of its batch
LOST = {"error": {"S": "no result: its task is a dead letter"}}  # the item of a record without a result

State = Literal["done", "failed"]


@dataclass(frozen=True)
class Collect(TaskArgs, kind="s3_batch.collect"):
    """Follows when nothing of the batch is under way any more.

    dead_letters: kinds and errors of the first of them.
    """

    batch: Batch
    dead_letters: tuple[str, ...] = ()


@s3_batch.handles(Collect, stream="batches", bucket="dynamodb")
def collect(api: AwsApi, args: Collect) -> Iterator[Output]:
    table = args.batch.job.status_table
    answer = call(api, "dynamodb", "get_item", TableName=table, Key=args.batch.status, ConsistentRead=True)
    status = answer.get("Item", {})
    count = int(status["taskCount"]["N"]) if "taskCount" in status else 0
    letter = cut(next(iter(args.dead_letters), ""), LONGEST_ERROR)
    problem = status["error"]["S"] if "error" in status else ""
    if "taskCount" not in status:
        problem = f"it was not read to the end: {letter}"
    yield Pages(args.batch, count, problem, pending=b"" if problem else _member(_head(args.batch)), letter=letter)


def _head(batch: Batch) -> bytes:
    return b'{"batchId":%b,"records":[' % msgspec.json.encode(batch.id)


def _member(data: bytes) -> bytes:
    """Gzip members in a row are one file. The same data always gives the same bytes."""
    return gzip.compress(data, compresslevel=6, mtime=0)


@dataclass(frozen=True)
class Pages(TaskArgs, kind="s3_batch.pages"):
    """One step: reads a page of items, or uploads what was read.

    count: number of records of the batch.
    problem: what is wrong with the object; then items are only counted, and no file is made.
    index: of the next item.
    ended: everything was read.
    pending: compressed data that was not uploaded yet.
    upload, parts: of a multipart upload that was begun.
    done, failed, lost: numbers of records with a response, with an error, without an item.
    gaps: items of the next page are missing, so their numbers must be read too.
    letter: the kind and error of a dead letter of the batch, if there is one.
    error: of the first record that has one.
    """

    batch: Batch
    count: int
    problem: str
    index: int = 0
    ended: bool = False
    pending: bytes = b""
    upload: str = ""
    parts: tuple[str, ...] = ()
    done: int = 0
    failed: int = 0
    lost: int = 0
    gaps: bool = False
    letter: str = ""
    error: str = ""

    @property
    def target(self) -> dict[str, str]:
        place = self.batch.job.output
        return {"Bucket": place.bucket, "Key": f"{place.prefix}{self.batch.id}.json.gz"}


def _bucket(args: Pages) -> str:
    return "dynamodb" if not args.ended and len(args.pending) < PART else "s3"


@s3_batch.handles(Pages, stream="batches", bucket=_bucket, sequential=True)
def pages(api: AwsApi, args: Pages) -> Iterator[Output]:
    if len(args.pending) >= PART or (args.upload and args.pending and args.ended):
        yield _sent(api, args)
    elif not args.ended and args.index < args.count:
        yield _read(api, args)
    elif not args.ended:
        yield replace(args, ended=True, pending=args.pending if args.problem else args.pending + _member(b"]}\n"))
    elif args.problem:
        yield Close(args.batch, "failed", args.done, args.failed, args.lost, args.problem)
    else:
        _completed(api, args)
        problem = ""
        if args.lost:
            why = args.letter or "no dead letter says why; another program has changed or deleted their items"
            problem = f"{args.lost} of {args.count} records have no result: {why}"
        elif args.count and not args.done:
            problem = f"all {args.count} records have an error, the first one: {args.error}"
        yield Close(args.batch, "failed" if problem else "done", args.done, args.failed, args.lost, problem)


def _read(api: AwsApi, args: Pages) -> Pages:
    job = args.batch.job
    answer = call(
        api,
        "dynamodb",
        "query",
        TableName=job.items_table,
        KeyConditionExpression="#id = :id AND #index BETWEEN :from AND :to",
        FilterExpression="etag = :etag",
        ProjectionExpression="#request, #response, #error" + (", #index" if args.gaps else ""),
        ExpressionAttributeNames={
            "#id": job.items_key,
            "#index": job.items_sort_key,
            **{f"#{name}": name for name in ("request", "response", "error")},
        },
        ExpressionAttributeValues={
            ":id": {"S": args.batch.id},
            ":from": {"N": str(args.index)},
            ":to": {"N": str(args.count - 1)},
            ":etag": {"S": args.batch.etag},
        },
        ConsistentRead=True,
    )
    last = answer.get("LastEvaluatedKey")
    numbers = range(args.index, int(last[job.items_sort_key]["N"]) + 1 if last else args.count)
    if args.gaps:
        items: dict[int, dict[str, Any]] = {int(each[job.items_sort_key]["N"]): each for each in answer["Items"]}
    elif len(answer["Items"]) == len(numbers):  # they are complete, and come in order
        items = dict(zip(numbers, answer["Items"], strict=True))
    else:
        return replace(args, gaps=True)
    errors = [each["error"]["S"] for each in items.values() if "error" in each]
    failed = len(errors)
    pending = args.pending
    if not args.problem:
        lines = (line(index, items.get(index, LOST)) for index in numbers)
        pending += _member((b",\n" if args.index else b"\n") + b",\n".join(lines))
    return replace(
        args,
        index=numbers.stop,
        pending=pending,
        done=args.done + len(items) - failed,
        failed=args.failed + failed,
        lost=args.lost + len(numbers) - len(items),
        gaps=False,
        error=args.error or cut(next(iter(errors), ""), LONGEST_ERROR),
    )


def _sent(api: AwsApi, args: Pages) -> Pages:
    if not args.upload:
        answer = call(api, "s3", "create_multipart_upload", **args.target, ContentType="application/gzip")
        return replace(args, upload=answer["UploadId"])
    number = len(args.parts) + 1
    answer = call(api, "s3", "upload_part", **args.target, UploadId=args.upload, PartNumber=number, Body=args.pending)
    return replace(args, pending=b"", parts=(*args.parts, answer["ETag"]))


def _completed(api: AwsApi, args: Pages) -> None:
    if not args.upload:
        call(api, "s3", "put_object", **args.target, Body=args.pending, ContentType="application/gzip")
        return
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(args.parts, 1)]
    try:
        call(
            api,
            "s3",
            "complete_multipart_upload",
            **args.target,
            UploadId=args.upload,
            MultipartUpload={"Parts": parts},
        )
    except Permanent as error:
        # it was completed, and the process crashed before that was recorded
        if not str(error).startswith("NoSuchUpload"):
            raise


@dataclass(frozen=True)
class Close(TaskArgs, kind="s3_batch.close"):
    batch: Batch
    state: State
    done: int
    failed: int
    lost: int
    problem: str = ""


@s3_batch.handles(Close, stream="batches", bucket="dynamodb")
def close(api: AwsApi, args: Close) -> Iterator[Output]:
    failed = args.failed + args.lost
    facts: dict[str, int | str] = {"state": args.state, "done": args.done, "failed": failed, "times_ended": now()}
    if args.problem:
        facts["error"] = args.problem
    call(api, "dynamodb", "update_item", **args.batch.update(**facts))
    if args.problem:
        yield Failed(args.batch, args.problem)
    elif failed:
        yield Skip("batches", args.batch.id, f"{failed} of {args.done + failed} records have an error")
    yield Copy(args.batch, args.state)


@dataclass(frozen=True)
class Failed(TaskArgs, kind="s3_batch.failed"):
    """A failed batch. It is kept as a dead letter, so that all are found in one list with their errors; it has a stream
    of its own, so that the report's reason is not that of a single record."""

    batch: Batch
    problem: str


@s3_batch.handles(Failed, stream="failed_batches", bucket="process", cost=0)
def failed(api: AwsApi, args: Failed) -> Iterator[Output]:
    raise Permanent(f"{args.batch.id}: {args.problem}")


@dataclass(frozen=True)
class Copy(TaskArgs, kind="s3_batch.copy"):
    """Copies the input to done/ or failed/. If another object has replaced it, that one stays."""

    batch: Batch
    state: State


@s3_batch.handles(Copy, stream="batches", bucket="s3", unique=True)
def copy(api: AwsApi, args: Copy) -> Iterator[Output]:
    batch, place = args.batch, args.batch.job.input
    try:
        call(
            api,
            "s3",
            "copy_object",
            Bucket=place.bucket,
            Key=f"{place.prefix}{args.state}/{batch.object}",
            CopySource={"Bucket": place.bucket, "Key": batch.key},
            CopySourceIfMatch=batch.match,
        )
    except Denied:
        raise
    except Permanent as error:
        if _is_gone(error):
            return
        raise
    yield Remove(batch)


@dataclass(frozen=True)
class Remove(TaskArgs, kind="s3_batch.remove"):
    batch: Batch


@s3_batch.handles(Remove, stream="batches", bucket="s3")
def remove(api: AwsApi, args: Remove) -> Iterator[Output]:
    try:
        call(
            api, "s3", "delete_object", Bucket=args.batch.job.input.bucket, Key=args.batch.key, IfMatch=args.batch.match
        )
    except Denied:
        raise
    except Permanent as error:
        if not _is_gone(error):
            raise
    yield from ()


def _is_gone(error: Permanent) -> bool:
    """Whether it was moved before, or replaced."""
    return isinstance(error, NotFound) or str(error).startswith(("PreconditionFailed", "412", "404"))
