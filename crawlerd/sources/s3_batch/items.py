"""One record's item: what a task hands on, what DynamoDB keeps, and what the gathered object says. Pure."""

from __future__ import annotations

import json
from decimal import Decimal, DecimalException
from typing import TYPE_CHECKING, Any

import msgspec
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

if TYPE_CHECKING:
    from crawlerd.sources.s3_batch.batch import Batch

DEEPEST = 30  # DynamoDB takes 32 levels, the item's own among them
NOTHING = msgspec.Raw(b"null")

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Item(msgspec.Struct, frozen=True, array_like=True):
    """A record on its way. request, response: as JSON. error: why there is no response, else ""."""

    index: int
    request: msgspec.Raw
    response: msgspec.Raw = NOTHING
    error: str = ""


def checked(index: int, text: bytes) -> Item:
    """A record as it stands in the input, or what is wrong with it."""
    try:
        record = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        return Item(index, msgspec.Raw(msgspec.json.encode(text[:1000].decode(errors="replace"))), error=f"{error}")
    if not isinstance(record, dict):
        return Item(index, msgspec.Raw(text), error="the record is not an object")
    return Item(index, msgspec.Raw(text))


def stored(batch: Batch, item: Item) -> dict[str, Any]:
    """The item as DynamoDB takes it."""
    facts = {"batchId": {"S": batch.id}, "index": {"N": str(item.index)}, "etag": {"S": batch.etag}}
    if bytes(item.request) != b"null":
        facts |= _attribute("request", item.request)
    if item.error:
        return facts | {"error": {"S": item.error}}
    return facts | _attribute("response", item.response)


def line(item: dict[str, Any]) -> bytes:
    """A stored item as the gathered object has it."""
    facts: dict[str, Any] = {"index": int(item["index"]["N"])}
    for name in ("request", "response", "error"):
        if name in item:
            facts[name] = _deserialize(item[name])
        elif f"{name}_json" in item:
            facts[name] = msgspec.Raw(item[f"{name}_json"]["S"].encode())
    return _encode(facts)


def _attribute(name: str, text: msgspec.Raw) -> dict[str, Any]:
    """A JSON value as an attribute of its own type, or, where DynamoDB has none for it, as text: NAME_json."""
    try:
        value = json.loads(bytes(text), parse_float=Decimal)
        if _depth(value) <= DEEPEST:
            return {name: _serialize(value)}
    except (ValueError, TypeError, DecimalException, RecursionError):
        pass
    return {f"{name}_json": {"S": bytes(text).decode()}}


def _depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, children), default=0)
