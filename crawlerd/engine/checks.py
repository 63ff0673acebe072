"""Requests that go before all tasks of an account: the check of its credentials, and questions of people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from concurrent.futures import Future

    from crawlerd.core.outcome import Outcome
    from crawlerd.core.task import Task
    from crawlerd.engine.queues import BucketQueue


class Guard:
    """The check of an account's credentials. While there is one, no task of the account starts."""

    __slots__ = ("at", "leased", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.at = 0.0
        self.leased = False

    def failed(self, charged: int = 1) -> int:
        """Counts failed attempts; returns how many there were so far."""
        self.task = msgspec.structs.replace(self.task, attempt=self.task.attempt + charged)
        self.leased = False
        return self.task.attempt


class Question(Guard):
    """A request with which a person finds out whether an account works. It goes before all tasks, starts even when no
    task may, and does not hold up tasks.

    bucket: the bucket whose limits it counts against as well.
    confirms: it is the source's check of credentials.
    answers: get its outcome.
    """

    __slots__ = ("answers", "bucket", "confirms")

    def __init__(self, task: Task, bucket: BucketQueue | None, confirms: bool, answer: Future[Outcome]) -> None:
        super().__init__(task)
        self.bucket, self.confirms, self.answers = bucket, confirms, [answer]

    def free_at(self, now: float) -> float:
        """When the bucket's limits permit it. An outage does not hold it up."""
        return now if self.bucket is None else self.bucket.limiter.free_at(now)

    def answer(self, outcome: Outcome) -> None:
        for each in self.answers:
            if not each.cancelled():
                each.set_result(outcome)
