"""A run's next tasks in a bucket that are in memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.core.task import Task

FIRST_WANT, MOST_WANT = 4, 2048  # how many task heads a queue asks for at first, and at most
REFILL_SECONDS = 0.05  # a queue that asks again within this time gets twice as many


class RunQueue:
    """A run's next tasks in a bucket that are in memory.

    heads: the tasks; the most urgent one is the last.
    more: the frontier has further tasks.
    asked: further tasks were asked for and have not arrived yet.
    want: how many to ask for at once.
    served: the number of the last pick from it.
    """

    __slots__ = ("asked", "asked_at", "heads", "more", "run", "served", "want")

    def __init__(self, run: int) -> None:
        self.run = run
        self.heads: list[Task] = []
        self.more = self.asked = False
        self.asked_at = -math.inf
        self.want = FIRST_WANT
        self.served = 0

    def add(self, tasks: Sequence[Task]) -> None:
        """Adds tasks. tasks: the most urgent one first."""
        heads = self.heads
        if not tasks:
            return
        if not heads or _order(tasks[0]) > _order(heads[0]):  # from the frontier: after all tasks in memory
            heads[:0] = reversed(tasks)
        elif _order(tasks[-1]) < _order(heads[-1]):  # put back: before all of them
            heads += reversed(tasks)
        else:
            heads += tasks
            heads.sort(key=_order, reverse=True)

    def ask(self, now: float) -> int:
        """How many heads to ask for: twice as many as last time if that was a short while ago."""
        if now - self.asked_at < REFILL_SECONDS:
            self.want = min(self.want * 2, MOST_WANT)
        elif now - self.asked_at > 20 * REFILL_SECONDS:
            self.want = max(self.want // 2, FIRST_WANT)
        self.asked, self.asked_at = True, now
        return self.want


def _order(task: Task) -> tuple[int, int]:
    return task.priority, task.seq
