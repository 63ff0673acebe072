"""When a run completes a task, closes the dead letters that earlier runs of its import have for the same task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.outcome import Complete
from crawlerd.frontier.sql.dead_rows import key
from crawlerd.frontier.sql.letter_work import drop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.contract import Settled
    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.sql.dead_rows import Execute

MOST = 10_000  # most runs that are remembered
_OLDER = """SELECT EXISTS (
    SELECT 1 FROM run AS mine JOIN run AS old ON old.import = mine.import AND old.id < mine.id AND old.sink = mine.sink
    WHERE mine.id = ? AND old.dead > 0
)"""
# CROSS JOIN makes SQLite look letters up by the keys of finished tasks, however many letters there are.
_SAME = """SELECT dead.seq FROM json_each(?) AS j CROSS JOIN dead ON dead.key = unhex(j.value->>1)
CROSS JOIN run AS mine ON mine.id = j.value->>0 CROSS JOIN run AS old ON old.id = dead.run
WHERE old.id < mine.id AND old.import = mine.import AND old.sink = mine.sink"""


class Closing:
    """Closes dead letters whose task a later run has completed. Used in the frontier's transactions. Hashes tasks only
    in runs whose import has older dead letters."""

    def __init__(self, db: Database, execute: Execute) -> None:
        self._db, self._execute = db, execute
        self._older: dict[int, bool] = {}  # whether earlier runs of the same import have dead letters

    def forget(self) -> None:
        """Call when dead letters were added or removed."""
        self._older.clear()

    def close(self, group: Sequence[Settled]) -> None:
        runs = {run for run in {settled.task.run for settled in group} if self._has_older(run)}
        if not runs:
            return
        done = {
            (settled.task.run, key(settled.account, settled.task.kind, settled.task.payload))
            for settled in group
            if settled.task.run in runs and isinstance(settled.outcome, Complete)
        }
        if same := [seq for (seq,) in self._execute(_SAME, sorted(done))]:
            drop(same, self._execute)
            self.forget()

    def _has_older(self, run: int) -> bool:
        found = self._older.get(run)
        if found is None:
            if len(self._older) >= MOST:
                self._older.clear()
            found = self._older[run] = bool(self._db.execute(_OLDER, (run,)).get)
        return found
