"""The reasons why something waits: a closed set, the same in `status`, `why` and metrics. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec


class Reason(StrEnum):
    """The reason of a bucket is the first one in this order that applies. The reason of an account is that of the
    bucket that may start first."""

    IMPORTING = "importing"  # a request is under way
    REFUSED = "refused"  # the API does not accept the credentials
    PAUSED = "paused"  # a person has paused it
    OUTAGE = "outage"  # the API does not answer
    QUOTA = "quota"  # a limit of a minute or longer is used up
    THROTTLED = "throttled"  # the API has asked us to wait
    SINK = "sink"  # records cannot be written
    STORE = "store"  # the frontier cannot be written, or commits are late
    LIMIT = "limit"  # the pace, a window of less than a minute, or the limit of concurrent requests
    WORKERS = "workers"  # no worker is free
    RETRY = "retry"  # failed tasks wait for their next try
    GROUP = "group"  # tasks wait for others to end
    IDLE = "idle"  # there is nothing to do


ASKED = "the API has asked to wait"
Subject = Literal["import", "account", "run", "task"]  # what `crawlerd why` explains
ORDER = {reason: place for place, reason in enumerate(Reason)}


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Why something waits.

    who: what waits, such as "account acme".
    reason: why.
    text: what it waits for, as a part of a sentence.
    since, until: Unix seconds, None when unknown.
    cure: what a person can do, as a sentence; "" for nothing.
    """

    who: str
    reason: Reason
    text: str
    since: float | None = None
    until: float | None = None
    cure: str = ""
