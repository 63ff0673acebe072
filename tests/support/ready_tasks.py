"""The ready tasks of a frontier by bucket, whatever runs they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawlerd.core.task import Task
    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.waiting_contract import Bucket, Key


def ready_buckets(frontier: Frontier, account: int | None) -> list[Bucket]:
    """The account's buckets with ready tasks, or those of all accounts."""
    return list(dict.fromkeys(bucket for bucket, _ in frontier.ready_queues(account)))


def bucket_heads(frontier: Frontier, bucket: int, after: Key, count: int) -> list[Task]:
    """The bucket's next tasks after a key, the most urgent first."""
    (runs,) = frontier.runs_of([bucket])
    tasks = [task for run in runs for task in frontier.heads((bucket, run), after, count)]
    return sorted(tasks, key=lambda task: (task.priority, task.seq))[:count]


def all_heads(frontier: Frontier, count: int, account: int | None = None) -> list[Task]:
    """The next tasks of each bucket with ready tasks."""
    buckets = ready_buckets(frontier, account)
    return [task for bucket in buckets for task in bucket_heads(frontier, bucket.id, (-1, -1), count)]
