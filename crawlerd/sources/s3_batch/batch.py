"""What all tasks of a batch know about it: the import's options, the batch, and its status item."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.source import Limits, Permanent, Source
from crawlerd.sources.s3_batch.forms import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.source import AwsApi
    from crawlerd.sources.s3_batch.forms import Form

MOST_IN_CHUNK = 1000
# Attributes of the two tables' items apart from their keys.
STATUS_FACTS = ("object", "etag", "run", "state", "taskCount", "done", "failed", "error", "times")
ITEM_FACTS = ("etag", "request", "response", "error")
TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}|arn:[a-z-]+:dynamodb:[a-z0-9-]+:\d{12}:table/[A-Za-z0-9_.-]{3,255}")


class Process(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a chunk is processed: by a request to a URL of another account, of the source `http`, or by a Python
    function, "package.module:function", which the workers import."""

    url: str = ""
    method: str = "POST"
    account: str = ""
    python: str = ""

    def __post_init__(self) -> None:
        if bool(self.url) == bool(self.python):
            raise ValueError("process must have either url, with account, or python")
        if self.url and not self.account:
            raise ValueError("process.account must name the account of the source http that the url belongs to")
        if self.python and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", self.python):
            raise ValueError('process.python must be like "package.module:function"')
        if self.method not in ("POST", "PUT", "PATCH"):
            raise ValueError('process.method must be "POST", "PUT" or "PATCH"')


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A bucket and a prefix in it: "", or with "/" at its end."""

    bucket: str
    prefix: str

    @classmethod
    def of(cls, url: str) -> Place:
        found = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", url, re.DOTALL)
        if not found:
            raise ValueError(f'must be like "s3://bucket/prefix/", not {url!r}')
        prefix = found[2] or ""
        return cls(found[1], prefix if not prefix or prefix.endswith("/") else f"{prefix}/")


class BatchImport(msgspec.Struct, frozen=True):
    """The options of an import.

    input: `s3://bucket/prefix/` of the objects.
    output: the same for the gathered objects.
    queue_url: an SQS queue with notifications, "" to list the input.
    status_table, items_table: in DynamoDB.
    chunk: most records processed at once.
    status_key, items_key, items_sort_key: the names of the tables' key attributes.
    unpacked_mb: most MiB of text that a gzip object may contain.
    """

    input: str
    output: str
    status_table: str
    items_table: str
    process: Process
    queue_url: str = ""
    chunk: int = 100
    status_key: str = "batchId"
    items_key: str = "batchId"
    items_sort_key: str = "index"
    unpacked_mb: int = 5120

    def __post_init__(self) -> None:
        for name in ("input", "output"):
            try:
                Place.of(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None
        if not 1 <= self.chunk <= MOST_IN_CHUNK:
            raise ValueError(f"chunk must be from 1 to {MOST_IN_CHUNK}")
        for name in ("status_table", "items_table"):
            if not TABLE.fullmatch(getattr(self, name)):
                raise ValueError(f"{name} must be the name or ARN of a table, not {getattr(self, name)!r}")
        if self.status_table == self.items_table:
            raise ValueError("status_table and items_table must be two different tables")
        for name, others in (
            ("status_key", STATUS_FACTS),
            ("items_key", (*ITEM_FACTS, self.items_sort_key)),
            ("items_sort_key", ITEM_FACTS),
        ):
            key = getattr(self, name)
            if not 1 <= len(key.encode()) <= 255 or key in others:
                raise ValueError(f"{name} must have 1 to 255 bytes, and not be one of {', '.join(others)}")
        if self.unpacked_mb < 1:
            raise ValueError("unpacked_mb must be 1 or more")

    def accounts(self) -> Iterator[str]:
        if self.process.account:
            yield self.process.account

    def needs_sink(self) -> bool:
        return False


class Job(msgspec.Struct, frozen=True, array_like=True):
    """An import in one run.

    account: its own account.
    run: identifies the run.
    status_key, items_key, items_sort_key: names of key attributes.
    unpacked: most bytes of text that a gzip object may contain.
    """

    account: str
    run: str
    input: Place
    output: Place
    status_table: str
    items_table: str
    chunk: int
    process: Process
    status_key: str = "batchId"
    items_key: str = "batchId"
    items_sort_key: str = "index"
    unpacked: int = 5120 << 20


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """An object of the input.

    id: its name without suffixes.
    name: its name; "" for `id` and ".json".
    """

    id: str
    etag: str
    job: Job
    name: str = ""

    @property
    def object(self) -> str:
        """The object's name below the input's prefix."""
        return self.name or f"{self.id}.json"

    @property
    def key(self) -> str:
        return f"{self.job.input.prefix}{self.object}"

    @property
    def form(self) -> Form:
        known = named(self.object)
        return known.form if known else "json"

    @property
    def status(self) -> dict[str, Any]:
        """The key of its status item."""
        return {self.job.status_key: {"S": self.id}}

    def item(self, index: int) -> dict[str, Any]:
        """The key of a record's item."""
        return {self.job.items_key: {"S": self.id}, self.job.items_sort_key: {"N": str(index)}}

    @property
    def match(self) -> str:
        """The ETag as it is written in a header."""
        return f'"{self.etag}"'

    def update(self, **values: Any) -> dict[str, Any]:
        """The parameters of an UpdateItem that sets attributes of the status item; `times_NAME` sets one of its
        times."""
        names = {f"#{name}": name.removeprefix("times_") for name in values}
        return {
            "TableName": self.job.status_table,
            "Key": self.status,
            "UpdateExpression": "SET "
            + ", ".join(f"{'#times.' if name.startswith('times_') else ''}#{name} = :{name}" for name in values),
            "ExpressionAttributeNames": {**names, "#times": "times"},
            "ExpressionAttributeValues": {
                f":{name}": {"N": str(value)} if isinstance(value, int) else {"S": value}
                for name, value in values.items()
            },
        }


def call(api: AwsApi, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
    """`AwsApi.call`, but errors name the bucket, table or queue: AWS only says that it does not exist."""
    try:
        return api.call(service, operation, **parameters)
    except Permanent as error:
        tables = parameters.get("RequestItems", {parameters.get("TableName"): None})
        target = parameters.get("Bucket") or parameters.get("QueueUrl") or next(iter(tables))
        raise type(error)(f"{error} ({operation} of {target})") from None


def now() -> str:
    """The time in UTC, in the format of the status item."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


s3_batch = Source("s3_batch", client="aws", limits=Limits(concurrency="auto"), import_options=BatchImport)
