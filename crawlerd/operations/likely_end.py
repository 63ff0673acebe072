"""When a run will probably end, for `run show` and `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.estimate import estimate
from crawlerd.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.core.reasons import Waiting
    from crawlerd.frontier.reader_contract import FrontierReader


# Nobody can tell how long these take, or what comes after them.
HELD = (
    Reason.REFUSED,
    Reason.PAUSED,
    Reason.OUTAGE,
    Reason.QUOTA,
    Reason.SINK,
    Reason.STORE,
)


SILENT_SECONDS = 5.0  # a run may go this long without completing a task, however near its end


class LikelyEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The estimated end of a run.

    tasks: tasks that are probably left, including those that do not exist yet.
    seconds: until the end, at the pace of the last minutes.
    at: Unix seconds.
    """

    tasks: int
    seconds: float
    at: float


def likely_end(reader: FrontierReader, run: int, waits: Sequence[Waiting], now: float) -> LikelyEnd | None:
    """The estimated end; None if unknown: too little is done, nothing was done recently, it is not yet clear what the
    tasks will request, or something holds them up beyond that end. For a run under way, in a few reads by key.

    waits: what it waits for.
    now: Unix seconds.
    """
    if any(_holds_up(each) for each in waits):
        return None
    before = reader.full_before(run)
    flow = reader.flow(run)
    found = estimate(flow, None if before is None else reader.flow(before))
    if found is None:
        return None
    patience = max(found.seconds, SILENT_SECONDS)  # without it, the estimate would come and go near the end of a run
    if any(each.until and each.until > now + patience for each in waits):
        return None
    if now - flow.last_at > patience:  # a request may hang
        return None
    return LikelyEnd(tasks=round(found.tasks), seconds=found.seconds, at=now + found.seconds)


def _holds_up(waits: Waiting) -> bool:
    """Whether nobody can tell how long it takes. A throttled account goes on at a known time, and the pace of the last
    minutes includes such waits."""
    return waits.reason in HELD or (waits.reason is Reason.THROTTLED and waits.until is None)
