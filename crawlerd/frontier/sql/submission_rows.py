"""Submitted tasks, and the notes of the inbox. See `Submissions`."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import msgspec

from crawlerd.frontier.change import Change
from crawlerd.frontier.sql.pause_rows import note_act
from crawlerd.frontier.submission_contract import (
    NO_CHUNK,
    REJECTED,
    Chunk,
    InboxItem,
    Rejection,
    Submitted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from crawlerd.core.task import NewTask
    from crawlerd.frontier.contract import Committed
    from crawlerd.frontier.sql.answer_rows import AnswerRows
    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.sql.enqueue import Enqueuer
    from crawlerd.frontier.sql.event_rows import EventRows

_GROUP = "SELECT id FROM gather WHERE run = ? AND submitted = 2"
_OPEN = """INSERT INTO gather(id, run, parent, if_dead, bucket, priority, kind, payload, submitted)
VALUES (?, ?, 0, 'run', 0, 0, 0, '', 2)"""
_KEEP = """INSERT INTO inbox_item VALUES (?, ?, ?)
ON CONFLICT (number, put_at) DO UPDATE SET rejected = excluded.rejected"""
_REJECT = "INSERT INTO rejected(at, item, put_at, text, reason) VALUES (?, ?, ?, ?, ?)"
_OLD = f"DELETE FROM rejected WHERE id <= (SELECT max(id) FROM rejected) - {REJECTED}"  # noqa: S608 - our own number


def rejections(read: Callable[[str, tuple[Any, ...]], list[Any]], most: int, before: int | None) -> list[Rejection]:
    """See `FrontierReader`. read: runs a statement with bindings."""
    rows = read(
        "SELECT item, put_at, text, reason, at, id FROM rejected WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2",
        (before, most),
    )
    return [Rejection(*row) for row in rows]


class SubmissionRows:
    """Stores submitted tasks and the notes of the inbox. Part of a frontier. The subclass sets these attributes."""

    _db: Database
    _enqueuer: Enqueuer
    _answers: AnswerRows
    _events: EventRows

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[None]: ...

    @abstractmethod
    def _apply(self, change: Change) -> Committed: ...

    @property
    def submitted_groups(self) -> Container[int]:
        return self._enqueuer.submitted

    def submit(self, run: int, tasks: Sequence[NewTask], now: float, chunk: Chunk = NO_CHUNK) -> Submitted | None:
        with self._transaction():
            found = self._db.execute("SELECT state, account, submitted FROM run WHERE id = ?", (run,)).fetchone()
            if found is None or found[0] != "running":
                return None
            change = Change(now)
            group = 0 if found[2] else self._group(run)
            self._enqueuer.add(change, [(run, found[1], once(task), group) for task in tasks])
            added = change.runs[run].open
            self._note(chunk, now, run)
            committed = self._apply(change)
            still: int = self._db.execute("SELECT open FROM run WHERE id = ?", (run,)).get
            return self._answers.done(Submitted(run, added, still, committed))

    def inbox_items(self) -> list[InboxItem]:
        rows = self._db.execute("SELECT number, put_at, rejected FROM inbox_item ORDER BY number")
        return [InboxItem(number, put_at, bool(rejected)) for number, put_at, rejected in rows]

    def note_chunk(self, chunk: Chunk, now: float) -> None:
        with self._transaction():
            self._note(chunk, now)

    def _note(self, chunk: Chunk, now: float, run: int = 0) -> None:
        """Stores what was taken in a chunk. Call it in a transaction. run: the run that gets its tasks."""
        if chunk.act:
            note_act(self._db, chunk.act)
            self._events.of_runs([run], f"{chunk.act.count:,} tasks were submitted by {chunk.act.by}", now)
        if not chunk.items:
            return
        self._db.execute("DELETE FROM inbox_item")
        self._db.executemany(_KEEP, chunk.items)
        if chunk.rejections:
            rows = [(now, each.item, each.put_at, each.text, each.reason) for each in chunk.rejections]
            self._db.executemany(_REJECT, rows)
            self._db.execute(_OLD)

    def _group(self, run: int) -> int:
        """The group of all tasks that were submitted to the run; made when there is none."""
        group: int | None = self._db.execute(_GROUP, (run,)).get
        if group is None:
            group = self._enqueuer.reserve(1)
            self._db.execute(_OPEN, (group, run))
            self._enqueuer.submitted.add(group)
        return group


def once(task: NewTask) -> NewTask:
    """The task, changed so that its run has it only once, and so that a second submission of it is not taken for a
    repeated cursor."""
    return msgspec.structs.replace(task, unique=True, sequential=False)
