"""The source of `bench/compare.py`, against the public interface alone, so that any version of crawlerd can load it.

BENCH_COUNT: tasks, or pages of a chain. BENCH_RUN: of the same import, 1 or 2; a tenth of the records differs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crawlerd.source import Api, Output, Record, RunPlan, Source, TaskArgs

CHAINS = 20  # lists that are read side by side
FAN = 1000  # tasks that one task asks for
PAGE = 100  # records of a page
compared = Source("compared", streams=["nothing", "records", "pages"], base_url="http://127.0.0.1")


def record(number: int, run: int = 1) -> dict[str, Any]:
    """200 bytes, as a small API object."""
    return {
        "id": f"cus_{number * 7919 % 10_000_019:09d}",  # in no order
        "object": "customer",
        "email": f"u{number}@example.com",
        "name": f"Ada {number}",
        "updated_at": "2026-01-31T09:30:00Z",
        "balance": run if number % 10 == 0 else 0.25,
        "metadata": {"a": "b"},
        "livemode": True,
    }


@dataclass(frozen=True)
class Fan(TaskArgs, kind="compared.fan"):
    stream: str
    first: int
    count: int


@dataclass(frozen=True)
class Nothing(TaskArgs, kind="compared.nothing"):
    number: int


@dataclass(frozen=True)
class Records(TaskArgs, kind="compared.records"):
    number: int


@dataclass(frozen=True)
class Page(TaskArgs, kind="compared.pages"):
    chain: int
    page: int


@compared.starts
def first(plan: RunPlan) -> Iterator[TaskArgs]:
    count = int(os.environ["BENCH_COUNT"])
    for stream in plan.streams:
        if stream == "pages":
            yield from (Page(chain, 0) for chain in range(CHAINS))
        else:
            yield from (Fan(stream, at, min(FAN, count - at)) for at in range(0, count, FAN))


@compared.handles(Fan)
def fan(api: Api, args: Fan) -> Iterator[Output]:
    kind = Nothing if args.stream == "nothing" else Records
    return (kind(number) for number in range(args.first, args.first + args.count))


@compared.handles(Nothing)
def nothing(api: Api, args: Nothing) -> Iterator[Output]:
    return iter(())


@compared.handles(Records)
def records(api: Api, args: Records) -> Iterator[Output]:
    run = int(os.environ["BENCH_RUN"])
    for number in range(args.number * PAGE, (args.number + 1) * PAGE):
        data = record(number, run)
        yield Record("records", data["id"], data)


@compared.handles(Page, sequential=True)
def pages(api: Api, args: Page) -> Iterator[Output]:
    answer = api.get("/pages", {"chain": args.chain, "page": args.page})
    for each in answer["data"]:
        yield Record("pages", each["id"], each)
    if answer["next"]:
        yield Page(args.chain, args.page + 1)
