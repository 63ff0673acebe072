"""The pauses that people have set, and the audit: who did what, written in the transaction that does it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from crawlerd.core.pauses import PauseNote
from crawlerd.frontier.reports import Act

if TYPE_CHECKING:
    from crawlerd.core.pauses import Pausable
    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.sql.event_rows import EventRows
    from crawlerd.frontier.sql.queue_rows import QueueRows

YEAR = 366 * 86_400.0  # seconds for which the audit is kept
# The buckets that a pause covers, so that they are not woken: ?1 is the name in the pause.
_BUCKETS = {
    "account": "account IN (SELECT id FROM account WHERE name = ?1 OR (name > ?1 || '/' AND name < ?1 || '0'))",
    "source": "account IN (SELECT id FROM account WHERE source = ?1)",
    "bucket": "id IN (SELECT bucket.id FROM bucket JOIN account ON account.id = bucket.account "
    "WHERE substr(?1, 1, length(account.name) + 1) = account.name || '/' "
    "AND bucket.name = substr(?1, length(account.name) + 2))",
}


def all_pauses(db: Database) -> list[PauseNote]:
    """All pauses, the oldest first."""
    rows = db.execute("SELECT kind, name, reason, by, since, until FROM pause ORDER BY since, kind, name")
    return [PauseNote(**dict(zip(PauseNote.__struct_fields__, row, strict=True))) for row in rows]


class PauseRows:
    """Stores the pauses that people have set. Used in the frontier's transactions. The engine itself holds paused tasks
    back; these rows save it from reading them."""

    def __init__(self, db: Database, queues: QueueRows, events: EventRows) -> None:
        self._db, self._queues, self._events = db, queues, events

    def pause(self, note: PauseNote) -> list[int]:
        """Stores a pause. Returns the runs under way of a paused import."""
        self._db.execute(
            "INSERT INTO pause VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET "
            "reason = excluded.reason, by = excluded.by, since = excluded.since, until = excluded.until",
            (note.kind, note.name, note.reason, note.by, note.since, note.until),
        )
        until = f", until {datetime.fromtimestamp(note.until, UTC):%Y-%m-%d %H:%M:%S} UTC" if note.until else ""
        subject = f"{note.kind} {note.name}"
        note_act(self._db, Act(note.since, note.by, "pause", subject, note.reason + until, 1))
        self._mark(note.kind, note.name, paused=True)
        runs = self._runs(note.kind, note.name, paused=True)
        self._tell(note.kind, note.name, runs, f"{subject} is paused by {note.by}{until}: {note.reason}", note.since)
        return runs

    def lift(self, kind: Pausable, name: str, by: str, now: float) -> list[int] | None:
        """Ends a pause. Returns the runs that go on; None when there was no such pause."""
        self._db.execute("DELETE FROM pause WHERE kind = ? AND name = ?", (kind, name))
        if not self._db.changes():
            return None
        note_act(self._db, Act(now, by, "resume", f"{kind} {name}", "", 1))
        self._mark(kind, name, paused=False)
        for note in all_pauses(self._db):  # another pause may cover some of the same buckets
            self._mark(note.kind, note.name, paused=True)
        runs = self._runs(kind, name, paused=False)
        self._tell(kind, name, runs, f"{kind} {name} is resumed by {by}", now)
        return runs

    def again(self, runs: list[int]) -> None:
        """These runs go on: pauses those of paused imports."""
        paused = [
            run
            for run in runs
            for name in [self._db.execute("SELECT import FROM run WHERE id = ?", (run,)).get]
            if self._db.execute("SELECT EXISTS (SELECT 1 FROM pause WHERE kind = 'import' AND name = ?)", (name,)).get
        ]
        if paused:
            self._queues.pause(paused, paused=True)

    def _tell(self, kind: Pausable, name: str, runs: list[int], text: str, now: float) -> None:
        if kind in _BUCKETS:
            self._events.of_buckets(_BUCKETS[kind], name, text, now)
        else:
            self._events.of_runs(runs, text, now)

    def _mark(self, kind: Pausable, name: str, *, paused: bool) -> None:
        if kind in _BUCKETS:
            self._db.execute(f"UPDATE bucket SET paused = ?2 WHERE {_BUCKETS[kind]}", (name, int(paused)))  # noqa: S608 - our own text

    def _runs(self, kind: Pausable, name: str, *, paused: bool) -> list[int]:
        if kind != "import":
            return []
        which = (
            "SELECT id, state = 'running' FROM run WHERE import = ? AND (state = 'running' OR paused = 1) ORDER BY id"
        )
        runs = list(self._db.execute(which, (name,)))
        if runs:
            self._queues.pause([run for run, _ in runs], paused=paused)
        return [run for run, running in runs if running]


def note_act(db: Database, act: Act) -> None:
    """Adds a line to the audit, and deletes lines older than a year."""
    db.execute(
        "INSERT INTO audit(at, by, act, subject, detail, count) VALUES (?, ?, ?, ?, ?, ?)",
        (act.at, act.by, act.act, act.subject, act.detail, act.count),
    )
    db.execute("DELETE FROM audit WHERE at < ?", (act.at - YEAR,))
