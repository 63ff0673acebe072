"""A source whose every task makes one request and yields one more, so that there is always more to ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crawlerd.source import Api, Output, Response, RunPlan, Source, TaskArgs, Throttled

CHAINS = 64  # at once


def too_many_at_once(response: Response) -> Throttled | None:
    if response.status == 429 and b"too_many_concurrent" in response.body:
        return Throttled("too many requests at once", concurrency=True)
    return None


asking = Source("asking", streams=["nothing"], classify=too_many_at_once)


@dataclass(frozen=True)
class Ask(TaskArgs, kind="asking.ask"):
    chain: int
    number: int


@asking.handles(Ask)
def ask(api: Api, args: Ask) -> Iterator[Output]:
    api.get("/")
    yield Ask(args.chain, args.number + 1)


@asking.starts
def starts(plan: RunPlan) -> Iterator[TaskArgs]:
    for chain in range(CHAINS):
        yield Ask(chain, 0)
