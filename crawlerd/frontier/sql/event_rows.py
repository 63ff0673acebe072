"""What happened to runs: a few lines for each run, written in the transaction that does it, or with the next commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.redaction import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crawlerd.frontier.contract import OutageNote
    from crawlerd.frontier.sql.database_contract import Database

EVENTS = 100  # how many of the newest lines of a run are kept
EVENT = 300  # most characters of a line

# `found` has the runs.
_ADD = """
INSERT INTO run_event SELECT id,
1 + coalesce((SELECT max(number) FROM run_event WHERE run_event.run = found.id), 0), ?1, ?2 FROM ({}) AS found
RETURNING run
"""
_ONE = "SELECT id FROM run WHERE id = ?3"
_RUNS = "SELECT DISTINCT run.id FROM bucket JOIN queue ON queue.bucket = bucket.id JOIN run ON run.id = queue.run "
_RUNS += "WHERE run.state = 'running' AND {}"
_OLD = f"DELETE FROM run_event WHERE run = ?1 AND number <= ?2 - {EVENTS}"  # noqa: S608 - our own number


class EventRows:
    """Writes what happens to runs. Used in the frontier's transactions. Call `done` after a commit, and `rolled_back`
    after a rollback."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: list[tuple[float, str, int]] = []
        self._written = 0
        # the runs that were under way when the last process ended
        self._interrupted = {run for (run,) in db.execute("SELECT id FROM run WHERE state = 'running'")}

    def resumed(self, runs: Iterable[int], now: float) -> None:
        """Notes once for each of these runs, if the end of a process has interrupted it, that it goes on."""
        for run in self._interrupted.intersection(runs):
            self._interrupted.discard(run)
            self.happened(run, "goes on, after crawlerd was started again", now)

    def happened(self, run: int, text: str, now: float) -> None:
        """Notes what has happened to a run, with the next commit."""
        self._waiting.append((now, cut(text, EVENT), run))

    def write(self) -> None:
        for row in self._waiting:
            self._add(_ONE, *row)
        self._written = len(self._waiting)

    def done(self) -> None:
        del self._waiting[: self._written]
        self._written = 0

    def rolled_back(self) -> None:
        self._written = 0

    def of_runs(self, runs: Iterable[int], text: str, now: float) -> None:
        """Notes what has happened to these runs, in this transaction."""
        for run in runs:
            self._add(_ONE, now, cut(text, EVENT), run)

    def of_account(self, account: int, text: str, now: float) -> None:
        """Notes it for all runs under way with tasks for the account."""
        self._add(_RUNS.format("bucket.account = ?3"), now, cut(text, EVENT), account)

    def of_buckets(self, which: str, name: str, text: str, now: float) -> None:
        """Notes it for all runs under way with tasks in these buckets. which: a condition, with ?1 for the name."""
        chosen = f"bucket.id IN (SELECT id FROM bucket WHERE {which.replace('?1', '?3')})"  # noqa: S608 - our own text
        self._add(_RUNS.format(chosen), now, cut(text, EVENT), name)

    def outages(self, outages: Mapping[tuple[str, int], OutageNote | None], now: float) -> None:
        """Notes outages that have begun or ended. Call it before the outages are stored."""
        for (origin, account), note in outages.items():
            known = self._db.execute(
                "SELECT EXISTS (SELECT 1 FROM outage WHERE origin = ? AND account = ?)", (origin, account)
            ).get
            if account and bool(known) == (note is None):
                text = f"an outage has begun: {note.error}" if note else f"the outage of {origin} is over"
                self.of_account(account, text, now)

    def _add(self, which: str, at: float, text: str, key: object) -> None:
        for (run,) in list(self._db.execute(_ADD.format(which), (at, text, key))):
            last = self._db.execute("SELECT max(number) FROM run_event WHERE run = ?", (run,)).get
            self._db.execute(_OLD, (run, last))
