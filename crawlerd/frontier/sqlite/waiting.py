"""The tasks that wait in the frontier, read by bucket in the order of their turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.task import Task
from crawlerd.frontier.contract import Bucket
from crawlerd.frontier.sqlite.schema import storage_errors

if TYPE_CHECKING:
    from pathlib import Path

    import apsw

_tasks = msgspec.json.Decoder(list[Task]).decode


class Waiting:
    """What a frontier tells of its tasks. Raises as `Frontier` does."""

    def __init__(self, db: apsw.Connection, path: Path) -> None:
        self._db, self.path = db, path

    def _read(self, statement: str, *bindings: object) -> list[Any]:
        with storage_errors(self.path, self._db):
            return list(self._db.execute(statement, bindings))

    def ready_buckets(self, account: int | None) -> list[Bucket]:
        """The account's buckets that have ready tasks, or all such."""
        rows = "SELECT id, account, name, blocked_until FROM bucket WHERE ready > 0"
        if account is None:
            return [Bucket(*row) for row in self._read(rows)]
        return [Bucket(*row) for row in self._read(f"{rows} AND account = ?", account)]

    def sleeping_buckets(self, after: tuple[float, int], now: float, count: int) -> list[Bucket]:
        """Up to `count` buckets with ready tasks that may be leased from now, behind (blocked_until, id)."""
        return [
            Bucket(*row)
            for row in self._read(
                "SELECT id, account, name, blocked_until FROM bucket WHERE ready > 0 "
                "AND (blocked_until, id) > (?, ?) AND blocked_until <= ? ORDER BY blocked_until, id LIMIT ?",
                *after,
                now,
                count,
            )
        ]

    def next_unblocked(self, now: float) -> float | None:
        """When the first of the blocked buckets with ready tasks may be leased from again, in Unix seconds."""
        until: float | None = self._read(
            "SELECT min(blocked_until) FROM bucket WHERE ready > 0 AND blocked_until > ?", now
        )[0][0]
        return until

    def bucket(self, number: int) -> Bucket:
        return Bucket(*self._read("SELECT id, account, name, blocked_until FROM bucket WHERE id = ?", number)[0])

    def heads(self, bucket: int, after: tuple[int, int], count: int) -> list[Task]:
        """The bucket's next `count` ready tasks behind the key (priority, seq)."""
        (text,) = self._read(  # one row, for with each row the interpreter's lock is given up and fought for again
            "SELECT json_group_array(json_array("
            "seq, bucket, priority, run, (SELECT name FROM kind WHERE id = kind), attempt, payload, crashes, grp)) "
            "FROM (SELECT * FROM ready WHERE bucket = ? AND (priority, seq) > (?, ?) ORDER BY priority, seq LIMIT ?)",
            bucket,
            *after,
            count,
        )[0]
        return _tasks(text)

    def next_due(self) -> float | None:
        """When the first delayed task is due, in Unix seconds."""
        due: float | None = self._read("SELECT min(due_at) FROM delayed")[0][0]
        return due
