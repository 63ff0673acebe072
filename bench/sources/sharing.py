"""A source whose tasks make one request each, to the path of their import: several share an account and a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crawlerd.source import Api, Output, RunPlan, Source, TaskArgs

sharing = Source("sharing", streams=["first", "second"])


@dataclass(frozen=True)
class Ask(TaskArgs, kind="sharing.ask"):
    who: str
    number: int


@sharing.handles(Ask)
def ask(api: Api, args: Ask) -> Iterator[Output]:
    api.get(f"/{args.who}")
    yield from ()


@sharing.starts
def starts(plan: RunPlan) -> Iterator[TaskArgs]:
    for stream in plan.streams:
        for number in range(100_000):
            yield Ask(stream, number)
