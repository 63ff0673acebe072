"""One record's item: as tasks pass it on, as DynamoDB stores it, and as the gathered object has it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from crawlerd.sources.s3_batch.batch import Batch

NOTHING = msgspec.Raw(b"null")


class Item(msgspec.Struct, frozen=True, array_like=True):
    """A record that is being processed.

    request, response: as JSON.
    error: why there is no response, otherwise "".
    """

    index: int
    request: msgspec.Raw
    response: msgspec.Raw = NOTHING
    error: str = ""


def checked(index: int, text: bytes, fault: str = "") -> Item:
    """A record from the input.

    fault: what is wrong with it, if that is known already.
    """
    try:
        if fault:
            raise ValueError(fault)
        record = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        return Item(index, msgspec.Raw(msgspec.json.encode(text[:1000].decode(errors="replace"))), error=f"{error}")
    if not isinstance(record, dict):
        return Item(index, msgspec.Raw(text), error="the record is not an object")
    return Item(index, msgspec.Raw(text))


def stored(batch: Batch, item: Item) -> dict[str, Any]:
    """The item for DynamoDB. JSON is stored as text, since DynamoDB would round and reorder it."""
    facts = {**batch.item(item.index), "etag": {"S": batch.etag}}
    for name, text in (("request", item.request), ("response", item.response)):
        if bytes(text) != b"null":
            facts[name] = {"S": bytes(text).decode()}
    return facts | {"error": {"S": item.error}} if item.error else facts


def line(index: int, item: dict[str, Any]) -> bytes:
    """A stored item as a line of the gathered object."""
    found = {name: msgspec.Raw(item[name]["S"].encode()) for name in ("request", "response") if name in item}
    error = {"error": item["error"]["S"]} if "error" in item else {}
    return msgspec.json.encode({"index": index, **found, **error})
