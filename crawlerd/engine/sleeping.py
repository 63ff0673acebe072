"""Decides which buckets may leave memory for a while, so that tasks of buckets on disk get their turn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.engine.queues import BucketQueue

SLEEP_SECONDS = 5.0  # a bucket that waits longer may leave memory
TURN_SECONDS = 30.0  # a bucket stays in memory for this time at most while others wait on disk


def let_sleep(
    bucket: BucketQueue, now: float, free_at: float, sleep: Callable[[BucketQueue, float | None], None]
) -> None:
    """Lets a bucket leave memory if it must wait long, is paused, or has had its turn. Waits until the counts of its
    limits may be forgotten.

    free_at: when its first task may start; monotonic seconds.
    sleep: see `Workbench.tidy`.
    """
    if bucket.leaving:
        return
    held = bucket.held or bucket.account.held
    bucket.resting = bucket.resting or held is not None or now - bucket.since > TURN_SECONDS
    if bucket.out or bucket.doubts or any(queue.asked for queue in bucket.queues.values()):
        return
    quiet_at, until = bucket.limiter.quiet_at(), free_at
    if not bucket.health.calm:  # a probe of another account may end the outage sooner
        until = min(until, now + TURN_SECONDS)
    if now + SLEEP_SECONDS < until < math.inf and quiet_at <= until:
        bucket.resting = bucket.leaving = True
        sleep(bucket, until)
    elif bucket.resting and quiet_at <= now:
        bucket.leaving = True
        sleep(bucket, None)
