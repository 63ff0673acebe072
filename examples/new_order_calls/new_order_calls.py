"""Calls a function for each order of the source `shop` that was not there before."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crawlerd_shop import source as shop
from warehouse import pack  # any function: (order) -> JSON value

from crawlerd.source import ForParent, Output, ParentRead, Record, TaskArgs, subscribe


@dataclass(frozen=True)
class Call(TaskArgs, kind="shop.new_order_calls"):
    key: str
    order: dict[str, Any]


@dataclass(frozen=True)
class Known(TaskArgs, kind="shop.known_orders"):
    key: str


@subscribe(shop, "orders", streams=["new_order_calls"])
def orders(record: Record) -> Iterator[Output]:
    if record.data is not None:
        yield ForParent(
            "new_order_calls", record.key, since=Known(record.key), full=Call(record.key, dict(record.data))
        )


@shop.handles(Call, cost=0)
def call(_: object, args: Call) -> Iterator[Output]:
    yield Record("new_order_calls", args.key, {"answer": pack(args.order)})
    yield ParentRead("new_order_calls", args.key)


@shop.handles(Known, cost=0)
def known(_: object, args: Known) -> Iterator[Output]:
    yield from ()
