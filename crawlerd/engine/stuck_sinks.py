"""A sink that refuses, and the outcomes that wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawlerd.frontier.contract import Settled


class Stuck:
    """A sink that refuses.

    held: outcomes that wait for it. Their number is bounded by the tasks leased when it began to refuse.
    """

    __slots__ = ("error", "held", "name", "retry_at")

    def __init__(self, name: str | None, error: str, held: list[Settled], retry_at: float) -> None:
        self.name, self.error, self.held, self.retry_at = name, error, held, retry_at
