"""Retrying dead letters: what is asked for, and what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.frontier.reports import Act

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMED = 20  # numbers that the audit names


class RetryRequest(msgspec.Struct, frozen=True):
    """Numbers of dead letters."""

    numbers: list[int]


class Retried(msgspec.Struct, frozen=True):
    """How many of them are ready again."""

    retried: int


def retry_act(numbers: Sequence[int], by: str, now: float) -> Act:
    """What the audit says of it. now: Unix seconds."""
    more = f" and {len(numbers) - NAMED:,} more" if len(numbers) > NAMED else ""
    return Act(now, by, "retry", "dead letters", ", ".join(map(str, numbers[:NAMED])) + more, len(numbers))
