"""When a run is likely to end, as `run show` and `status` say it."""

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
    Reason.THROTTLED,
    Reason.SINK,
    Reason.STORE,
)


SILENT_SECONDS = 5.0  # in which no task of a run has to be done, however near its end


class LikelyEnd(msgspec.Struct, frozen=True, kw_only=True):
    """
    tasks: that are likely to be left, those that nobody has asked for yet among them.
    seconds: until the end, while it goes on as in the last minutes.
    at: Unix seconds.
    """

    tasks: int
    seconds: float
    at: float


def likely_end(reader: FrontierReader, run: int, waits: Sequence[Waiting], now: float) -> LikelyEnd | None:
    """None where that is unknown: too little is done, nothing was done lately, nobody knows yet what the tasks will ask
    for, or something holds them up beyond the end that they would have. Of a run that is under way, in a few reads by
    key.

    waits: what it waits for.
    now: Unix seconds.
    """
    if any(each.reason in HELD for each in waits):
        return None
    before = reader.full_before(run)
    flow = reader.flow(run)
    found = estimate(flow, None if before is None else reader.flow(before))
    if found is None or any(each.until and each.until > now + found.seconds for each in waits):
        return None
    if now - flow.last_at > max(found.seconds, SILENT_SECONDS):  # a request may hang
        return None
    return LikelyEnd(tasks=round(found.tasks), seconds=found.seconds, at=now + found.seconds)
