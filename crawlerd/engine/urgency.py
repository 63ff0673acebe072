"""How urgent the first task of a bucket is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.priority import DEFAULT_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Collection

    from crawlerd.engine.queues import BucketQueue
    from crawlerd.engine.run_queue import RunQueue


def urgency(bucket: BucketQueue, queue: RunQueue, wide: Collection[str]) -> float:
    """How urgent the bucket's first task is; a smaller number is more urgent. queue: the queue with that task.

    A task of a wide kind, which yields many tasks, is urgent while few tasks are ready, and waits while many are. If it
    always went first, the run would not end sooner, but many times as many tasks would wait.
    """
    task = queue.heads[-1]
    priority = task.priority
    if priority != DEFAULT_PRIORITY or task.kind not in wide:
        return priority
    deep = any(other.more for other in bucket.account.buckets.values() if other is not bucket)
    return priority + (0.5 if deep else -0.5)
