"""A source of lists, page by page, and of what is below customers: the same handlers for crawlerd and for a script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crawlerd.source import Api, Output, Record, RunPlan, Source, TaskArgs

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
    found = api.get(f"/v1/{args.stream}", {"limit": LIMIT, "starting_after": args.after})
    for each in found["data"]:
        yield Below(each["id"]) if args.children else Record(args.stream, each["id"], each)
    if found["has_more"]:
        yield Page(args.stream, args.children, found["data"][-1]["id"])


@lists.handles(Below, bucket="payment_methods")
def below(api: Api, args: Below) -> Iterator[Output]:
    for each in api.get(f"/v1/customers/{args.customer}/payment_methods", {"limit": LIMIT})["data"]:
        yield Record("payment_methods", each["id"], each)


@lists.starts
def starts(plan: RunPlan) -> Iterator[TaskArgs]:
    for stream in plan.streams:
        yield Page("customers", children=True) if stream == "payment_methods" else Page(stream)
