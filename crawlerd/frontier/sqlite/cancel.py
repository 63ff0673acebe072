"""Runs that are cancelled end at once; their tasks leave the frontier in slices, so that no commit stalls."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import apsw

# Rows of a run among the next ones of a table: looked at by key, since no table has an index of runs.
_DELAYED = """DELETE FROM delayed WHERE (due_at, seq) > (?1, ?2) AND (due_at, seq) <= (?3, ?4) AND run = ?5
RETURNING bucket"""
_DELAYED_END = "SELECT due_at, seq FROM delayed WHERE (due_at, seq) > (?, ?) ORDER BY due_at, seq LIMIT 1 OFFSET ?"
_READY = """DELETE FROM ready WHERE bucket = ?6 AND (priority, seq) > (?1, ?2) AND (priority, seq) <= (?3, ?4)
AND run = ?5 RETURNING bucket"""
_READY_END = """SELECT priority, seq FROM ready WHERE bucket = ?4 AND (priority, seq) > (?1, ?2)
ORDER BY priority, seq LIMIT 1 OFFSET ?3"""
_GATHER = "DELETE FROM gather WHERE id > ? AND id <= ? AND run = ? RETURNING open"
_GATHER_END = "SELECT max(id) FROM (SELECT id FROM gather WHERE id > ? ORDER BY id LIMIT ?)"
_DEAD = "DELETE FROM dead WHERE seq IN (SELECT seq FROM dead WHERE run = ? LIMIT ?) RETURNING 1"
_FIRST, _LAST = (-1, -1), (1e300, 1 << 62)


def cancel(db: apsw.Connection, runs: Iterable[int], now: float, why: str) -> None:
    """Ends runs whose imports are to begin again. Their tasks are removed by `Removal`."""
    for run in runs:
        db.execute(
            "UPDATE run SET state = 'cancelled', ended_at = ?, ended_why = ?, again = 1 WHERE id = ?", (now, why, run)
        )
        db.execute("DELETE FROM staged WHERE run = ?", (run,))
        db.execute("DELETE FROM whole WHERE run = ?", (run,))


class Removal:
    """Used in the frontier's transactions. Nothing is added to these runs any more: they have ended, and outcomes of
    theirs are fenced off.

    A slice whose transaction is rolled back is done again only after `rolled_back`.
    """

    def __init__(self, db: apsw.Connection, accounts: Callable[[int], Iterable[int]], slice_rows: int) -> None:
        """
        accounts: numbers of those that a run has had tasks for.
        slice_rows: rows that one commit looks at.
        """
        self._db, self._accounts, self._slice_rows = db, accounts, slice_rows
        self._runs: deque[int] = deque()
        self._slices: Iterator[None] | None = None
        self.find()

    def find(self) -> None:
        """Runs of which something is left."""
        self._runs.clear()
        self._runs.extend(
            run
            for (run,) in self._rows("SELECT id FROM run WHERE state = 'cancelled' AND again > 0 AND open + dead > 0")
        )
        self._slices = None

    def __bool__(self) -> bool:
        """Something is left to do."""
        return bool(self._runs)

    def step(self) -> None:
        """Removes one slice."""
        while self._runs:
            self._slices = self._slices or self._of(self._runs[0])
            if next(self._slices, self) is None:
                return
            self._runs.popleft()
            self._slices = None

    def rolled_back(self) -> None:
        """The last transaction was: the run is gone through once more."""
        self._slices = None

    def _of(self, run: int) -> Iterator[None]:
        """A step for each slice of a run. What is delayed goes first: nothing of it may become ready after that."""
        for _ in self._scan(run, _DELAYED, _DELAYED_END):
            yield
        after = 0
        while (last := self._rows(_GATHER_END, after, self._slice_rows)[0][0]) is not None:
            rows = self._rows(_GATHER, after, last, run)
            waiting = sum(opened > 0 for (opened,) in rows)
            self._count(run, "open = open - ?1, waiting = waiting - ?1", waiting)
            after = last
            yield
        accounts = list(self._accounts(run))
        for account in accounts:
            for (bucket,) in self._rows("SELECT id FROM bucket WHERE account = ?", account):
                yield from self._scan(run, _READY, _READY_END, bucket)
        while rows := self._rows(_DEAD, run, self._slice_rows):
            self._count(run, "dead = dead - ?1", len(rows))
            yield

    def _scan(self, run: int, delete: str, end: str, *bucket: int) -> Iterator[None]:
        after: tuple[Any, ...] = _FIRST
        while after != _LAST:
            found = self._rows(end, *after, self._slice_rows - 1, *bucket)
            last = found[0] if found else _LAST
            gone = Counter(number for (number,) in self._rows(delete, *after, *last, run, *bucket))
            if bucket:
                self._db.execute("UPDATE bucket SET ready = ready - ? WHERE id = ?", (gone[bucket[0]], *bucket))
                self._count(run, "open = open - ?1", gone.total())
            else:
                self._count(run, "open = open - ?1, delayed = delayed - ?1", gone.total())
            after = last
            yield

    def _rows(self, statement: str, *bindings: object) -> list[tuple[Any, ...]]:
        return list(self._db.execute(statement, bindings))

    def _count(self, run: int, change: str, number: int) -> None:
        if number:
            self._db.execute(f"UPDATE run SET {change} WHERE id = ?2", (number, run))  # noqa: S608 - our own text
