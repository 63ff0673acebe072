"""A source whose tasks do nothing, and make no request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crawlerd.source import Api, Output, Source, TaskArgs

noop = Source("noop", streams=["nothing"], base_url="http://127.0.0.1")


@dataclass(frozen=True)
class Nothing(TaskArgs, kind="noop.nothing"):
    number: int


@noop.handles(Nothing)
def nothing(api: Api, args: Nothing) -> Iterator[Output]:
    return iter(())
