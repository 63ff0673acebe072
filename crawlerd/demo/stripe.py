"""What Stripe would answer to a request, over the objects of the formula and the edits made to them since."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

from crawlerd.demo.objects import STREAMS, Stream, index_of
from crawlerd.demo.server import Add, Delete, Edit
from crawlerd.demo.shapes import Account, Fields, own_account

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHILDREN = {("customers", "payment_methods"): "payment_methods", ("invoices", "lines"): "invoice_lines"}
EMPTY = {  # lists that Stripe has, by path, and that have no objects here
    "checkout/sessions": "checkout_sessions",
    "invoiceitems": "invoice_items",
    "payment_links": "payment_links",
    "promotion_codes": "promotion_codes",
    "quotes": "quotes",
    "radar/early_fraud_warnings": "early_fraud_warnings",
    "reviews": "reviews",
    "setup_intents": "setup_intents",
    "shipping_rates": "shipping_rates",
    "subscription_schedules": "subscription_schedules",
    "tax_rates": "tax_rates",
    "topups": "topups",
}
NOT_CANCELED = ""  # what a list of subscriptions is filtered by when the request says nothing

_encode = msgspec.json.Encoder().encode


def error_body(message: str, **more: str) -> bytes:
    """Stripe's error object."""
    return _encode({"error": {"message": message, "type": "invalid_request_error", **more}})


class Refusal(Exception):
    """An error answer. status: of HTTP. more: further fields of Stripe's error object."""

    def __init__(self, status: int, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, **more)


@dataclass(slots=True)
class Edits:
    """What was done to one stream of one account, by index. added: creation times of those after the formula's."""

    added: list[int] = field(default_factory=list)
    deleted: set[int] = field(default_factory=set)
    revisions: dict[int, int] = field(default_factory=dict)


def split(path: str) -> tuple[str, str | None]:
    """The stream that a path asks for, "account" or "unknown"; and the id of the parent, of a child stream."""
    below = path.removeprefix("/v1/")
    if below in EMPTY:
        return EMPTY[below], None
    match below.split("/"):
        case ["account"]:
            return "account", None
        case [name] if name in STREAMS and STREAMS[name].parent is None:
            return name, None
        case [parent, key, name] if (parent, name) in CHILDREN:
            return CHILDREN[parent, name], key
    return "unknown", None


class Stripe:
    """All accounts' objects. customers: of each account."""

    def __init__(self, customers: int) -> None:
        self.customers = customers
        self._edits: defaultdict[tuple[int, str], Edits] = defaultdict(Edits)

    def answer(self, number: int, path: str, query: str) -> bytes:
        """The JSON body that a GET by an account's key returns; Refusal otherwise."""
        name, parent = split(path)
        if name == "account":
            return _encode(own_account(number))
        if name == "unknown":
            raise Refusal(404, f"Unrecognized request URL (GET: {path}).")
        if name not in STREAMS:
            return _encode({"object": "list", "url": path, "has_more": False, "data": []})
        stream = STREAMS[name]
        if stream.parent is None or parent is None:
            return self._page(number, stream, path, range(self._total(number, stream)), query)
        index = self._index(number, STREAMS[stream.parent], parent)
        if index is None:
            message = f"No such {stream.parent.removesuffix('s')}: '{parent}'"
            raise Refusal(404, message, code="resource_missing", param="id")
        start = index * stream.stride
        return self._page(number, stream, path, range(start, start + stream.count(index)), query)

    def edit(self, order: Add | Edit | Delete, now: int) -> list[Fields]:
        """Changes objects; returns them (deleted ones as they were). now: Unix seconds. ValueError for unknown ones."""
        stream = STREAMS.get(order.stream)
        if stream is None or stream.parent:
            raise ValueError(f"{order.stream} cannot be changed")
        edits = self._edits[order.account, stream.name]
        if isinstance(order, Add):
            start = self._total(order.account, stream)
            edits.added += [now] * order.count
            return list(self._objects(order.account, stream, range(start, start + order.count)))
        indexes = [self._index(order.account, stream, key) for key in order.ids]
        known = [index for index in indexes if index is not None]
        if len(known) < len(indexes):
            raise ValueError(f"unknown ids of {stream.name}")
        if isinstance(order, Edit):
            edits.revisions |= {index: edits.revisions.get(index, 0) + 1 for index in known}
        objects = list(self._objects(order.account, stream, known))
        if isinstance(order, Delete):
            edits.deleted.update(known)
        return objects

    def _total(self, number: int, stream: Stream) -> int:
        """Objects of a stream without parent, also the deleted ones."""
        return stream.count(self.customers) + len(self._edits[number, stream.name].added)

    def _index(self, number: int, stream: Stream, key: str) -> int | None:
        """The index of an object, None when it does not exist now; of a child whether it does or not."""
        index = index_of(number, stream.name, key)
        if index is None or index in self._edits[number, stream.name].deleted:
            return None
        return index if stream.parent or index < self._total(number, stream) else None

    def _created(self, number: int, stream: Stream, index: int) -> int:
        if stream.parent is not None:
            return self._created(number, STREAMS[stream.parent], index // stream.stride)
        beyond = index - stream.count(self.customers)
        return self._edits[number, stream.name].added[beyond] if beyond >= 0 else stream.created(index, self.customers)

    def _objects(self, number: int, stream: Stream, indexes: Iterable[int]) -> Iterator[Fields]:
        account = Account(number, self.customers)
        edits = self._edits[number, stream.name]
        for index in indexes:
            if index not in edits.deleted:
                data = stream.shape(account, index, self._created(number, stream, index))
                if index in edits.revisions:
                    data.setdefault("metadata", {})["revision"] = str(edits.revisions[index])
                yield data

    def _page(self, number: int, stream: Stream, url: str, indexes: range, query: str) -> bytes:
        """A list, newest first, of the objects of these indexes that the query asks for."""
        limit = 10
        filters = {"status": NOT_CANCELED} if "status" in stream.filters else {}
        low, high = indexes.start, indexes.stop
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name == "limit":
                limit = _limit(value)
            elif name == "starting_after":
                index = self._index(number, stream, value)
                if index is None or index not in indexes:
                    message = f"No such {stream.name.removesuffix('s')}: '{value}'"
                    raise Refusal(400, message, code="resource_missing", param=name)
                high = min(high, index)
            elif name in _WINDOWS and stream.parent is None:
                bisect = bisect_left if name in ("created[gte]", "created[lt]") else bisect_right
                found = bisect(indexes, _integer(name, value), key=lambda at: self._created(number, stream, at))
                low, high = (max(low, found), high) if name.startswith("created[g") else (low, min(high, found))
            elif name in stream.filters:
                filters[name] = value
            else:
                raise Refusal(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
        matching = (
            data
            for data in self._objects(number, stream, reversed(range(low, high)))
            if all(_matches(data[name], wanted) for name, wanted in filters.items())
        )
        bodies = [_encode(data) for data in islice(matching, limit + 1)]
        head = _encode({"object": "list", "url": url, "has_more": len(bodies) > limit})
        return head[:-1] + b',"data":[' + b",".join(bodies[:limit]) + b"]}"


_WINDOWS = ("created[gte]", "created[gt]", "created[lt]", "created[lte]")


def _limit(value: str) -> int:
    limit = _integer("limit", value)
    if 1 <= limit <= 100:
        return limit
    bound = "greater than or equal to 1" if limit < 1 else "less than or equal to 100"
    message = f"This value must be {bound} (it currently is '{limit}')."
    raise Refusal(400, message, code="parameter_invalid_integer", param="limit")


def _integer(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise Refusal(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name) from None


def _matches(value: object, wanted: str) -> bool:
    """Whether a field's value passes a filter; "all" passes every status."""
    if isinstance(value, bool):
        return wanted == str(value).lower()
    return wanted == "all" or (value != "canceled" if wanted == NOT_CANCELED else value == wanted)
