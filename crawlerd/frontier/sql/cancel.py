"""Cancels runs: they end at once, and their tasks are removed in slices, so that no commit takes long."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from crawlerd.frontier.sql.pause_rows import note_act
from crawlerd.frontier.sql.prune import forget as forget_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crawlerd.frontier.reports import Act
    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.sql.queue_rows import QueueRows

# Rows of a run, found among the next rows of a table by key, since these tables have no index by run.
_DELAYED = """DELETE FROM delayed WHERE (due_at, seq) > (?1, ?2) AND (due_at, seq) <= (?3, ?4) AND run = ?5
RETURNING bucket"""
_DELAYED_END = "SELECT due_at, seq FROM delayed WHERE (due_at, seq) > (?, ?) ORDER BY due_at, seq LIMIT 1 OFFSET ?"
_READY = """DELETE FROM ready WHERE bucket = ?1 AND run = ?2 AND (priority, seq) IN
(SELECT priority, seq FROM ready WHERE bucket = ?1 AND run = ?2 LIMIT ?3)"""
_GATHER = "DELETE FROM gather WHERE id > ? AND id <= ? AND run = ? RETURNING iif(submitted = 2, 0, open)"
_GATHER_END = "SELECT max(id) FROM (SELECT id FROM gather WHERE id > ? ORDER BY id LIMIT ?)"
_SEEN = "DELETE FROM seen WHERE run = ?1 AND key IN (SELECT key FROM seen WHERE run = ?1 LIMIT ?2) RETURNING 1"
_DEAD = "DELETE FROM dead WHERE seq IN (SELECT seq FROM dead WHERE run = ? LIMIT ?) RETURNING 1"
_ATTEMPTS = """DELETE FROM attempt WHERE (seq, number) IN (SELECT seq, number FROM attempt WHERE run = ? LIMIT ?)
RETURNING 1"""
# Values of `run.again` of a cancelled run, whose tasks are removed. AGAIN: its import begins again at once. NEVER: it
# does not. FORGET: the run is forgotten as well.
AGAIN, NEVER, FORGET = 1, 2, 3
_FIRST, _LAST = (-1, -1), (1e300, 1 << 62)


def cancel(db: Database, runs: Iterable[int], now: float, why: str, *, again: int = AGAIN) -> None:
    """Cancels runs. `Removal` removes their tasks. why: the reason, for people. again: AGAIN, NEVER or FORGET."""
    for run in runs:
        db.execute(
            "UPDATE run SET state = 'cancelled', ended_at = ?, ended_why = ?, again = ? WHERE id = ?",
            (now, why, again, run),
        )
        db.execute("DELETE FROM staged WHERE run = ?", (run,))
        db.execute("DELETE FROM whole WHERE run = ?", (run,))


def end_run(db: Database, run: int, now: float, why: str, *, again: int) -> bool:
    """Cancels one run. Returns False when it was not under way."""
    if not db.execute("SELECT EXISTS (SELECT 1 FROM run WHERE id = ? AND state = 'running')", (run,)).get:
        return False
    cancel(db, [run], now, why, again=again)
    return True


def cancel_run(db: Database, run: int, act: Act, *, forget: bool) -> bool:
    """Cancels a run for a person. Returns False when it was not under way, or will be forgotten already."""
    found = "again <> ?2" if forget else "state = 'running' AND again <> ?2"
    if not db.execute(f"SELECT EXISTS (SELECT 1 FROM run WHERE id = ?1 AND {found})", (run, FORGET)).get:  # noqa: S608 - our own text
        return False
    cancel(db, [run], act.at, f"by {act.by}: {act.detail}", again=FORGET if forget else NEVER)
    note_act(db, act)
    return True


class Removal:
    """Removes the tasks of cancelled runs. Used in the frontier's transactions. No more tasks are added to these runs:
    they have ended, and their outcomes are fenced off.

    Call `rolled_back` after a rollback: what was found or removed in that transaction is looked for again.
    """

    def __init__(self, db: Database, queues: QueueRows, slice_rows: int) -> None:
        """slice_rows: how many rows one commit looks at."""
        self._db, self._queues, self._slice_rows = db, queues, slice_rows
        self._runs: deque[int] = deque()
        self._slices: Iterator[None] | None = None
        self._unknown = False  # a transaction was rolled back: a run may not be cancelled after all, or not removed
        self.find()

    def find(self) -> None:
        """Finds the cancelled runs that still have tasks."""
        self._unknown = False
        self._runs.clear()
        self._runs.extend(
            run
            for (run,) in self._rows(
                "SELECT id FROM run WHERE state = 'cancelled' AND again > 0 AND (open + dead > 0 OR again = ?)", FORGET
            )
        )
        self._slices = None

    def __bool__(self) -> bool:
        """Whether there may be tasks left to remove."""
        return bool(self._runs) or self._unknown

    def step(self) -> None:
        """Removes one slice."""
        if self._unknown:
            self.find()
        while self._runs:
            self._slices = self._slices or self._of(self._runs[0])
            if next(self._slices, self) is None:
                return
            self._runs.popleft()
            self._slices = None

    def rolled_back(self) -> None:
        """The last transaction was rolled back."""
        self._slices, self._unknown = None, True

    def _of(self, run: int) -> Iterator[None]:
        """Removes one slice of a run, then yields. Delayed tasks go first, since they would otherwise become ready."""
        while self._rows(_ATTEMPTS, run, self._slice_rows):
            yield
        place: tuple[Any, ...] = _FIRST
        while place != _LAST:
            found = self._rows(_DELAYED_END, *place, self._slice_rows - 1)
            last = found[0] if found else _LAST
            gone = len(self._rows(_DELAYED, *place, *last, run))
            self._count(run, "open = open - ?1, delayed = delayed - ?1", gone)
            place = last
            yield
        after = 0
        while (end := self._rows(_GATHER_END, after, self._slice_rows)[0][0]) is not None:
            rows = self._rows(_GATHER, after, end, run)
            waiting = sum(opened > 0 for (opened,) in rows)
            self._count(run, "open = open - ?1, waiting = waiting - ?1", waiting)
            after = end
            yield
        left = self._slice_rows
        for (bucket,) in self._rows("SELECT bucket FROM queue WHERE run = ?", run):
            emptied = False
            while not emptied:
                self._db.execute(_READY, (bucket, run, left))
                gone = self._db.changes()
                self._queues.count({(bucket, run): -gone})
                self._count(run, "open = open - ?1", gone)
                emptied = gone < left
                if emptied:
                    self._queues.drop((bucket, run))
                left -= gone + 1
                if left <= 0:
                    left = self._slice_rows
                    yield
        while rows := self._rows(_DEAD, run, self._slice_rows):
            self._count(run, "dead = dead - ?1", len(rows))
            yield
        if self._rows("SELECT again FROM run WHERE id = ?", run) == [(FORGET,)]:
            while self._rows(_SEEN, run, self._slice_rows):
                yield
            while self._queues.purge(run, self._slice_rows) == self._slice_rows:
                yield
            while not forget_run(self._db, run):
                yield
            yield

    def _rows(self, statement: str, *bindings: object) -> list[tuple[Any, ...]]:
        return list(self._db.execute(statement, bindings))

    def _count(self, run: int, change: str, number: int) -> None:
        if number:
            self._db.execute(f"UPDATE run SET {change} WHERE id = ?2", (number, run))  # noqa: S608 - our own text
