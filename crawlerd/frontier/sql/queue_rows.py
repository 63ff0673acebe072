"""The counters of queues: how many ready tasks each run has in each bucket, and which of them may be leased."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.sql.groups import Execute
    from crawlerd.frontier.waiting_contract import Queue

_COUNT = """
INSERT INTO queue(bucket, run, ready, paused)
SELECT value->>0, value->>1, value->>2, (SELECT paused FROM run WHERE id = value->>1) FROM json_each(?) WHERE true
ON CONFLICT (bucket, run) DO UPDATE SET ready = queue.ready + excluded.ready
"""
_BUCKETS = "UPDATE bucket SET ready = ready + j.value->>1 FROM json_each(?) AS j WHERE bucket.id = j.value->>0"
_SUMS = """
SELECT bucket, sum(ready) FROM queue
WHERE run IN (SELECT value->>0 FROM json_each(?1)) AND paused <> (SELECT max(value->>1) FROM json_each(?1))
GROUP BY bucket
"""
_QUEUES = "UPDATE queue SET paused = j.value->>1 FROM json_each(?) AS j WHERE queue.run = j.value->>0"
_RUNS = "UPDATE run SET paused = j.value->>1 FROM json_each(?) AS j WHERE run.id = j.value->>0"


class QueueRows:
    """Updates the counters of queues. Used in the frontier's transactions. The counter of a bucket counts ready tasks
    that are not paused, so that a bucket with only paused tasks is not woken. Pausing a run changes one row for each of
    its buckets, and no task."""

    def __init__(self, db: Database, execute: Execute) -> None:
        self._db, self._execute = db, execute
        self.rolled_back()

    def rolled_back(self) -> None:
        """The last transaction was rolled back: reads the paused runs again."""
        self._paused: set[int] = {
            run
            for (run,) in self._db.execute(
                "SELECT id FROM run WHERE state = 'running' AND paused = 1 UNION SELECT run FROM queue WHERE paused = 1"
            )
        }

    def count(self, changes: Mapping[Queue, int]) -> None:
        """Updates the counters. changes: what to add to the number of ready tasks, by queue."""
        rows = [(*queue, delta) for queue, delta in changes.items() if delta]
        buckets: Counter[int] = Counter()
        for bucket, run, delta in rows:
            if run not in self._paused:
                buckets[bucket] += delta
        self._execute(_COUNT, rows)
        self._execute(_BUCKETS, ((bucket, delta) for bucket, delta in buckets.items() if delta))

    def pause(self, runs: Collection[int], *, paused: bool) -> None:
        """Pauses runs, or ends their pause: their tasks may not, or may again be leased."""
        rows = [(run, int(paused)) for run in runs]
        sums = self._execute(_SUMS, rows)
        self._execute(_BUCKETS, ((bucket, -ready if paused else ready) for bucket, ready in sums))
        self._execute(_QUEUES, rows)
        self._execute(_RUNS, rows)
        if paused:
            self._paused.update(runs)
        else:
            self._paused.difference_update(runs)

    def drop(self, queue: Queue) -> None:
        """Deletes an empty queue whose run has ended."""
        self._db.execute("DELETE FROM queue WHERE bucket = ? AND run = ?", queue)

    def purge(self, run: int, most: int) -> int:
        """Deletes up to `most` empty queues of an ended run. Returns how many."""
        self._db.execute(
            "DELETE FROM queue WHERE run = ?1 AND bucket IN "
            "(SELECT bucket FROM queue WHERE run = ?1 AND ready = 0 LIMIT ?2)",
            (run, most),
        )
        return self._db.changes()
