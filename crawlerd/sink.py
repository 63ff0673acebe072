"""All that an author of a sink imports: what a sink receives and what it promises."""

from __future__ import annotations

from typing import Protocol

import msgspec

from crawlerd.core.errors import SinkError, StorageFailed
from crawlerd.core.outcome import Batch

__all__ = ["Batch", "Delivery", "Sink", "SinkError", "StorageFailed"]


class Delivery(msgspec.Struct, frozen=True):
    """Records of one completed task, on their way to a sink."""

    source: str
    account: str
    run: int
    batches: list[Batch]


class Sink(Protocol):
    """Where records go. Used by one thread.

    Idempotent by (stream, account, key): the same delivery may come twice, after a crash, and changes nothing.
    """

    def write(self, deliveries: list[Delivery], now: float) -> None:
        """Makes all deliveries durable before it returns, or raises SinkError (StorageFailed when the disk is the
        reason) and has written none of them. now: Unix seconds."""
        ...

    def close(self) -> None: ...
