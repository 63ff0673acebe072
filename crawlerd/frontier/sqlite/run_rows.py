"""The rows of runs: how one begins, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crawlerd.frontier.contract import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import apsw

    from crawlerd.frontier.sqlite.groups import Execute


class Runs:
    """See `Frontier`. What changes something is called in the frontier's transactions."""

    def __init__(self, db: apsw.Connection, read: Callable[..., list[Any]], execute: Execute) -> None:
        self._db, self._read, self._execute = db, read, execute

    def begin(self, import_name: str, account: int, *, full: bool, now: float, sink: int, why: str | None) -> int:
        """A new run, of which nothing is open yet."""
        run: int = self._db.execute(
            'INSERT INTO run(import, account, "full", state, started_at, sink, why) VALUES (?, ?, ?, ?, ?, ?, ?) '
            "RETURNING id",
            (import_name, account, full, "running", now, sink, why),
        ).get
        return run

    def let_shrink(self, runs: Sequence[int]) -> None:
        self._execute(
            "UPDATE run SET shrink = 1 WHERE id IN (SELECT value->>0 FROM json_each(?))", ((run,) for run in runs)
        )

    def go_on(self, runs: Sequence[int]) -> list[str]:
        """Ended runs run again. The imports of these runs."""
        rows = self._execute(
            "UPDATE run SET state = 'running', ended_at = NULL WHERE id IN (SELECT value->>0 FROM json_each(?)) "
            "RETURNING import",
            ((run,) for run in runs),
        )
        return sorted({name for (name,) in rows})

    def run(self, number: int) -> Run:
        for row in self._read(
            'SELECT id, import, account, "full", state, started_at, ended_at, again FROM run WHERE id = ?', number
        ):
            return Run(row[0], row[1], row[2], bool(row[3]), row[4], row[5], row[6], row[7] == 1)
        raise KeyError(number)

    def accounts(self, run: int) -> list[int]:
        others = self._read("SELECT account FROM borrowed WHERE run = ? ORDER BY account", run)
        return [self.run(run).account, *(account for (account,) in others)]

    def latest(self, import_name: str) -> Run | None:
        ((number,),) = self._read("SELECT max(id) FROM run WHERE import = ?", import_name)
        return None if number is None else self.run(number)

    def running(self, import_name: str) -> list[int]:
        rows = self._read("SELECT id FROM run WHERE state = 'running' AND import = ? ORDER BY id", import_name)
        return [run for (run,) in rows]

    def running_imports(self) -> set[str]:
        return {name for (name,) in self._read("SELECT DISTINCT import FROM run WHERE state = 'running'")}

    def cursors(self, import_name: str, sink: int) -> dict[str, str]:
        return dict(self._read("SELECT stream, value FROM cursor WHERE import = ? AND sink = ?", import_name, sink))
