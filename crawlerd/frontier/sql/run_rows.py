"""The rows of runs: begins runs, and reads what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crawlerd.frontier.contract import Run
from crawlerd.sink import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.sql.groups import Execute

LONG, LEAST_LONG = 10, 100  # a run is long if it does LONG times the tasks of the last full run, and LEAST_LONG tasks
_LAST_FULL = """(SELECT done FROM run AS r
WHERE r.import = {} AND r."full" = 1 AND r.ad_hoc IS NULL AND r.part IS NULL
AND r.state LIKE 'completed%'
ORDER BY r.id DESC LIMIT 1)"""
_BEGIN = """INSERT INTO run(import, account, "full", state, started_at, sink, why, warn_at, ad_hoc, added, began,
sample, part, submitted)
VALUES (?1, ?2, ?3, 'running', ?4, ?5, ?6, 
    CASE WHEN {last_full} IS NULL THEN NULL ELSE max(?7, ?8 * {last_full}) END, ?9, ?10, ?11, ?12, ?13, ?14)
RETURNING id""".format(last_full=_LAST_FULL.format("?1"))
_LONG = "UPDATE run SET warn_at = 2 * done FROM json_each(?) AS j WHERE run.id = j.value->>0 AND done >= warn_at "
LONG_RUNS = _LONG + f"RETURNING run.id, done, {_LAST_FULL.format('run.import')}"


class Runs:
    """See `Frontier`. Call the methods that change something in a transaction of the frontier."""

    def __init__(self, db: Database, read: Callable[..., list[Any]], execute: Execute) -> None:
        self._db, self._read, self._execute = db, read, execute

    def begin(
        self,
        import_name: str,
        account: int,
        *,
        full: bool,
        now: float,
        sink: int,
        why: str | None,
        ad_hoc: str | None,
        added: Sequence[str],
        began: str,
        sample: int | None,
        part: str | None,
        submitted: bool,
    ) -> int:
        """Inserts a new run without tasks. Returns its number. For the parameters see `Frontier.start_run`."""
        streams = ",".join(added)
        bindings = (
            *(import_name, account, full, now, sink, why, LEAST_LONG, LONG, ad_hoc, streams, began),
            *(sample, part, submitted),
        )
        run: int = self._db.execute(_BEGIN, bindings).get
        return run

    def let_shrink(self, runs: Sequence[int]) -> None:
        self._execute(
            "UPDATE run SET shrink = 1 WHERE id IN (SELECT value->>0 FROM json_each(?))", ((run,) for run in runs)
        )

    def go_on(self, runs: Sequence[int]) -> list[str]:
        """Sets ended runs to running again. Returns their imports."""
        rows = self._execute(
            "UPDATE run SET state = 'running', ended_at = NULL WHERE id IN (SELECT value->>0 FROM json_each(?)) "
            "RETURNING import",
            ((run,) for run in runs),
        )
        return sorted({name for (name,) in rows})

    def run(self, number: int) -> Run:
        for row in self._read(
            'SELECT id, import, account, "full", state, started_at, ended_at, again, records, done, dead, ad_hoc, '
            "added, sample, submitted, open FROM run WHERE id = ?",
            number,
        ):
            run, name, account, full, state, started, ended, again, records, done, dead, ad_hoc, added, *others = row
            streams = tuple(added.split(",")) if added else ()
            most, submitted, still = others
            return Run(
                *(run, name, account, bool(full), state, started, ended, again == 1),
                *(records, done, dead, ad_hoc, streams, most, bool(submitted), still),
            )
        raise KeyError(number)

    def accounts(self, run: int) -> list[int]:
        others = self._read("SELECT account FROM borrowed WHERE run = ? ORDER BY account", run)
        return [self.run(run).account, *(account for (account,) in others)]

    def tallied(self, run: int) -> dict[str, Totals]:
        rows = self._read("SELECT stream, seen, new, changed, unchanged, tombstoned FROM tally WHERE run = ?", run)
        return {stream: Totals(*counts) for stream, *counts in rows}

    def latest(self, import_name: str) -> Run | None:
        ((number,),) = self._read(
            "SELECT max(id) FROM run WHERE import = ? AND ad_hoc IS NULL AND part IS NULL", import_name
        )
        return None if number is None else self.run(number)

    def running(self, import_name: str) -> list[int]:
        rows = self._read("SELECT id FROM run WHERE state = 'running' AND import = ? ORDER BY id", import_name)
        return [run for (run,) in rows]

    def running_imports(self) -> set[str]:
        return {name for (name,) in self._read("SELECT DISTINCT import FROM run WHERE state = 'running'")}

    def cursors(self, import_name: str, sink: int) -> dict[str, str]:
        return dict(self._read("SELECT stream, value FROM cursor WHERE import = ? AND sink = ?", import_name, sink))
