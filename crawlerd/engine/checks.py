"""Requests that go before all tasks of an account: the check of its credentials, and what somebody wants to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from concurrent.futures import Future

    from crawlerd.core.outcome import Outcome
    from crawlerd.core.task import Task
    from crawlerd.engine.queues import BucketQueue


class Guard:
    """The check of an account's credentials: while there is one, nothing else of the account starts."""

    __slots__ = ("at", "leased", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.at = 0.0
        self.leased = False

    def failed(self, charged: int = 1) -> int:
        """Counts attempts; returns how many there were."""
        self.task = msgspec.structs.replace(self.task, attempt=self.task.attempt + charged)
        self.leased = False
        return self.task.attempt


class Question(Guard):
    """A request that somebody wants the account to make, to know whether it works: it goes before others, also where
    nothing else may start, and holds none up.

    bucket: whose limits it counts against as well.
    confirms: it is the source's check of credentials.
    answers: are told of its outcome.
    """

    __slots__ = ("answers", "bucket", "confirms")

    def __init__(self, task: Task, bucket: BucketQueue | None, confirms: bool, answer: Future[Outcome]) -> None:
        super().__init__(task)
        self.bucket, self.confirms, self.answers = bucket, confirms, [answer]

    def free_at(self, now: float) -> float:
        """When the bucket's limits permit it. An outage is no reason not to ask."""
        return now if self.bucket is None else self.bucket.limiter.free_at(now)

    def answer(self, outcome: Outcome) -> None:
        for each in self.answers:
            if not each.cancelled():
                each.set_result(outcome)
