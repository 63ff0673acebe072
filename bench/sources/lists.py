"""A source of lists, page by page, and of what is below customers: the same handlers for crawlerd and for a script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crawlerd.source import Api, Output, Records, RunPlan, Source, TaskArgs

LIMIT = 100
STREAMS = ("customers", "charges", "payment_intents", "balance_transactions", "events", "payment_methods")

lists = Source("lists", streams=STREAMS, auth=lambda key: {"Authorization": f"Bearer {key}"})


@dataclass(frozen=True)
class Page(TaskArgs, kind="lists.page"):
    stream: str
    children: bool = False
    after: str | None = None


@dataclass(frozen=True)
class Below(TaskArgs, kind="lists.below"):
    customer: str


@lists.handles(Page, bucket=lambda args: args.stream, sequential=True)
def page(api: Api, args: Page) -> Iterator[Output]:
    path, params = f"/v1/{args.stream}", {"limit": LIMIT, "starting_after": args.after}
    found, also = api.listing(path, params, at="data", also=("has_more",))
    keys = found.column("id")
    if args.children:
        yield from map(Below, keys)
    else:
        yield Records(args.stream, keys, found, path)
    if also["has_more"]:
        yield Page(args.stream, args.children, keys[-1])


@lists.handles(Below, bucket="payment_methods")
def below(api: Api, args: Below) -> Iterator[Output]:
    path = f"/v1/customers/{args.customer}/payment_methods"
    found = api.listing(path, {"limit": LIMIT}, at="data").objects
    yield Records("payment_methods", found.column("id"), found, path)


@lists.starts
def starts(plan: RunPlan) -> Iterator[TaskArgs]:
    for stream in plan.streams:
        yield Page("customers", children=True) if stream == "payment_methods" else Page(stream)
