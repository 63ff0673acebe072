"""Why something waits: a closed set, the same in `status`, `why` and metrics. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec


class Reason(StrEnum):
    """The first that applies, in this order, is the reason of a bucket; an account's is that of its bucket which may
    start first."""

    IMPORTING = "importing"  # a request is out
    REFUSED = "refused"  # the API does not accept the credentials
    PAUSED = "paused"  # a person has said so
    OUTAGE = "outage"  # the API does not answer
    QUOTA = "quota"  # a limit of a minute or longer is used up
    THROTTLED = "throttled"  # the API has asked to wait
    SINK = "sink"  # records cannot be written
    STORE = "store"  # the queue cannot be written, or is behind
    LIMIT = "limit"  # the pace, a window of less than a minute, or requests at once
    WORKERS = "workers"  # none is free
    RETRY = "retry"  # failed tasks wait for their next try
    GROUP = "group"  # tasks wait for others to end
    IDLE = "idle"  # there is nothing to do


ASKED = "the API has asked to wait"
Subject = Literal["import", "account", "run", "task"]  # what may be asked about
ORDER = {reason: place for place, reason in enumerate(Reason)}


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """
    who: waits, such as "account acme".
    reason: why.
    text: what it waits for, as a part of a sentence.
    since, until: Unix seconds, None when they are not known.
    cure: what a person can do, a sentence; "" for nothing.
    """

    who: str
    reason: Reason
    text: str
    since: float | None = None
    until: float | None = None
    cure: str = ""
