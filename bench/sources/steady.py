"""A source whose every task yields one more and makes no request, so that a queue keeps its length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crawlerd.source import Api, Output, Source, TaskArgs

steady = Source("steady", streams=["nothing"], base_url="http://127.0.0.1")


@dataclass(frozen=True)
class Step(TaskArgs, kind="steady.step"):
    parent: str
    number: int


@steady.handles(Step)
def step(api: Api, args: Step) -> Iterator[Output]:
    yield Step(args.parent, args.number + 1)
