"""A source whose tasks do nothing, and make no request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crawlerd.source import Api, Output, Source, TaskArgs

if TYPE_CHECKING:
    from collections.abc import Iterator

noop = Source("noop", streams=["nothing"], base_url="http://127.0.0.1")


@dataclass(frozen=True)
class Nothing(TaskArgs, kind="noop.nothing"):
    number: int


@noop.handles(Nothing)
def nothing(api: Api, args: Nothing) -> Iterator[Output]:
    return iter(())
