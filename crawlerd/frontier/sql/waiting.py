"""Reads the waiting tasks of the frontier, by bucket, in the order in which they start."""

from __future__ import annotations

import math
import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.reasons import ASKED
from crawlerd.core.task import Task
from crawlerd.frontier.waiting_contract import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.waiting_contract import Key, Queue, Wanted

# One row: for each row, apsw releases the interpreter's lock and takes it again.
HEADS = """
SELECT json_group_array(json_array(
    seq, bucket, priority, run, (SELECT name FROM kind WHERE id = kind), attempt, payload, crashes, grp, refused,
    chain))
FROM (SELECT * FROM ready WHERE bucket = ? AND run = ? AND (priority, seq) > (?, ?) ORDER BY priority, seq LIMIT ?)
"""
# The columns of a Bucket.
BUCKET = f"bucket.id, account, name, blocked_until, coalesce(reason, 'throttled'), coalesce(waits_for, '{ASKED}')"
UNKNOWN = -math.inf
_tasks = msgspec.json.Decoder(list[Task]).decode


class Waiting:
    """Reads of a frontier about its tasks. See `WaitingTasks`."""

    def __init__(self, db: Database, name: str) -> None:
        self._db, self.name = db, name
        self.away: Callable[[str], None] = lambda _: None
        self.stopping = threading.Event()
        self._due = UNKNOWN  # when the first delayed task is due; infinity where there is none

    @abstractmethod
    def _errors(self) -> AbstractContextManager[None]:
        """What the database finds wrong within it, as crawlerd's errors."""

    def _read(self, statement: str, *bindings: object) -> list[Any]:
        with self._errors():
            return list(self._db.execute(statement, bindings))

    def ready_queues(self, account: int | None) -> list[tuple[Bucket, int]]:
        rows = (
            f"SELECT {BUCKET}, queue.run FROM bucket CROSS JOIN queue ON queue.bucket = bucket.id "  # noqa: S608 - our own text
            "WHERE bucket.ready > 0 AND bucket.paused = 0 AND queue.ready > 0 AND queue.paused = 0"
        )
        bindings = () if account is None else (account,)
        rows += " AND account = ?" * len(bindings)
        return [(Bucket(*bucket), run) for *bucket, run in self._read(rows, *bindings)]

    def queues_of(self, runs: Sequence[int]) -> list[tuple[Bucket, int]]:
        rows = (
            f"SELECT {BUCKET}, queue.run FROM queue JOIN bucket ON bucket.id = queue.bucket "  # noqa: S608 - our own text
            "WHERE run = ? AND queue.ready > 0 AND queue.paused = 0 AND bucket.paused = 0"
        )
        return [(Bucket(*bucket), run) for number in runs for *bucket, run in self._read(rows, number)]

    def sleeping_buckets(self, after: tuple[float, int], now: float, count: int) -> list[Bucket]:
        return [
            Bucket(*row)
            for row in self._read(
                f"SELECT {BUCKET} FROM bucket WHERE ready > 0 AND paused = 0 "  # noqa: S608 - our own text
                "AND (blocked_until, id) > (?, ?) AND blocked_until <= ? ORDER BY blocked_until, id LIMIT ?",
                *after,
                now,
                count,
            )
        ]

    def next_unblocked(self, now: float) -> float | None:
        until: float | None = self._read(
            "SELECT min(blocked_until) FROM bucket WHERE ready > 0 AND paused = 0 AND blocked_until > ?", now
        )[0][0]
        return until

    def bucket(self, number: int) -> Bucket:
        return Bucket(*self._read(f"SELECT {BUCKET} FROM bucket WHERE id = ?", number)[0])  # noqa: S608 - our own text

    def buckets(self, numbers: Sequence[int]) -> list[Bucket]:
        return [self.bucket(number) for number in numbers]  # as in `heads_many`

    def runs_of(self, buckets: Sequence[int]) -> list[list[int]]:
        runs = "SELECT run FROM queue WHERE bucket = ? AND ready > 0 AND paused = 0"
        return [[run for (run,) in self._read(runs, bucket)] for bucket in buckets]

    def heads(self, queue: Queue, after: Key, count: int) -> list[Task]:
        (text,) = self._read(HEADS, *queue, *after, count)[0]
        return _tasks(text)

    def heads_many(self, wanted: Sequence[Wanted]) -> list[list[Task]]:
        # SQLite has no round trips: one statement for each queue is cheap, and reads a range of the primary key
        return [self.heads(*each) for each in wanted]

    def next_due(self) -> float | None:
        if self._due == UNKNOWN:
            due: float | None = self._read("SELECT min(due_at) FROM delayed")[0][0]
            self._due = math.inf if due is None else due
        return None if self._due == math.inf else self._due
