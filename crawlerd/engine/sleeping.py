"""Which buckets may leave memory for a while, so that others that are only on disk have their turn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.engine.queues import BucketQueue

SLEEP_SECONDS = 5.0  # a bucket that waits for longer need not be in memory
TURN_SECONDS = 30.0  # for which a bucket stays awake at most, while others sleep


def let_sleep(
    bucket: BucketQueue, now: float, free_at: float, sleep: Callable[[BucketQueue, float | None], None]
) -> None:
    """Lets a bucket sleep if it must wait for long, is paused, or has had its turn, once what its limits have counted
    does not matter any more.

    free_at: when its first task may start.
    sleep: see `Workbench.tidy`.
    """
    if bucket.leaving:
        return
    held = bucket.held or bucket.account.held
    bucket.resting = bucket.resting or held is not None or now - bucket.since > TURN_SECONDS
    if bucket.out or bucket.doubts or any(queue.asked for queue in bucket.queues.values()):
        return
    quiet_at, until = bucket.limiter.quiet_at(), free_at
    if not bucket.health.calm:  # the outage may end before its next probe, by that of another account
        until = min(until, now + TURN_SECONDS)
    if now + SLEEP_SECONDS < until < math.inf and quiet_at <= until:
        bucket.resting = bucket.leaving = True
        sleep(bucket, until)
    elif bucket.resting and quiet_at <= now:
        bucket.leaving = True
        sleep(bucket, None)
