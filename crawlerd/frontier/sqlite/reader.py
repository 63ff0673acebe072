"""Reads a frontier for people: its state, its runs and its dead letters. Read-only; never counts tasks one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from crawlerd.frontier.group_end import NOT_RUN
from crawlerd.frontier.reports import (
    Doubt,
    LeftImport,
    OutageReport,
    Overview,
    RetryReport,
    RunReport,
    Status,
    StreamReport,
    TaskReport,
)
from crawlerd.frontier.sqlite.database import FILE_NAME, MARK_NAME, connect_reader
from crawlerd.frontier.sqlite.dead_reader import DeadReader
from crawlerd.frontier.sqlite.figure_reader import figures, flow, full_before
from crawlerd.frontier.sqlite.metric_reader import (
    bucket_names,
    charged,
    charges_of,
    import_figures,
    most_ready,
    quota_keys,
    quota_keys_of,
)
from crawlerd.frontier.sqlite.notice_reader import failing, first_started, newest_run, refused_accounts, run_states
from crawlerd.frontier.sqlite.schedule_rows import schedule_notes
from crawlerd.frontier.sqlite.sync_point_rows import sync_points

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from crawlerd.core.estimate import RunFlow
    from crawlerd.core.schedule_rules import ScheduleNote
    from crawlerd.frontier.figure_reports import RunFigures
    from crawlerd.frontier.metric_contract import ImportFigures


Shape = TypeVar("Shape", bound=msgspec.Struct)
SHOWN_RUNS, SHOWN_ACCOUNTS = 50, 500  # how many of the newest runs, and of the first accounts, a status has
MOST_IMPORTS = 1_000  # with up to this many imports, the latest run of each is read; else only the newest runs are
NEWEST_RUNS = 5_000
NEXT_RETRIES = 100_000  # a run's next retry is searched among this many delayed tasks


_LEFT = """
SELECT setup.import, coalesce((SELECT account.name FROM run JOIN account ON account.id = run.account
       WHERE run.import = setup.import ORDER BY run.id DESC LIMIT 1), ''), setup.digest,
       (SELECT json_group_array(stream) FROM origin WHERE origin.import = setup.import)
FROM json_each(?) AS j JOIN setup ON setup.import = j.value ORDER BY j.key
"""
# The constants make SQLite use the partial indexes of these states. Most runs are completed, which has no index.
_STATE = {"completed": "run.state = ?", "running": "run.state = ? AND run.state = 'running'"}
_NOT_CLEAN = "run.state = ? AND run.state IN ('failed', 'cancelled', 'completed with dead letters')"
_RUN = """
SELECT run.id, run.import, account.name, run."full", run.state, run.started_at, run.ended_at,
       run.open - run.delayed - run.waiting, run.delayed, run.waiting, run.done, run.dead, run.retried, run.throttled,
       run.records,
       run.state = 'completed' AND NOT EXISTS (SELECT 1 FROM tally WHERE tally.run = run.id AND skipped > 0)
       AND NOT EXISTS (SELECT 1 FROM doubt WHERE doubt.run = run.id),
       run.why, run.ended_why, run.ad_hoc,
       (SELECT json_group_array(json_array(account.name, stream, seen, before) ORDER BY account.name, stream)
        FROM doubt JOIN account ON account.id = doubt.account WHERE doubt.run = run.id),
       run.began, run.part
FROM run JOIN account ON account.id = run.account
"""
_STREAMS = f"""
SELECT run, stream, sum(records), sum(seen), sum(new), sum(changed), sum(unchanged), sum(tombstoned), sum(skipped),
    sum(dead), max(denied), max(reason), max(marked), sum(unmarked), max(unmarked_reason)
FROM (
    SELECT run, stream, records, seen, new, changed, unchanged, tombstoned, skipped, 0 AS dead, 0 AS denied,
        skip_reason AS reason, marked, unmarked, unmarked_reason
    FROM tally WHERE run IN (SELECT value FROM json_each(?1))
    UNION ALL SELECT run, stream, 0, 0, 0, 0, 0, 0, 0, count(*), max(denied),
        coalesce(max(error) FILTER (WHERE error NOT LIKE '{NOT_RUN}%'), max(error)), 0, 0, NULL
    FROM dead WHERE run IN (SELECT value FROM json_each(?1)) GROUP BY run, stream
)
GROUP BY run, stream ORDER BY run, stream
"""  # noqa: S608 - our own text
_EACH_IMPORT = """
WITH RECURSIVE each(name) AS (
    SELECT min(import) FROM run
    UNION ALL SELECT (SELECT min(import) FROM run WHERE import > each.name) FROM each WHERE each.name IS NOT NULL
)
SELECT {} FROM each WHERE each.name IS NOT NULL LIMIT ?
"""
_IMPORTS = _EACH_IMPORT.format("(SELECT max(id) FROM run WHERE import = each.name AND state <> 'running')")
_IMPORT_NAMES = _EACH_IMPORT.format("name")
# The last run of an import, and its last run of all streams: a good ad hoc run does not make up for a bad run before.
_UNCLEAN = """
WITH last(id) AS (SELECT value FROM json_each(?)), looked_at(id) AS (
    SELECT id FROM last UNION SELECT (
        SELECT whole.id FROM run AS whole WHERE whole.import = run.import AND whole.state <> 'running'
        AND whole.ad_hoc IS NULL AND whole.part IS NULL ORDER BY whole.id DESC LIMIT 1
    ) FROM last JOIN run ON run.id = last.id
)
SELECT run.id FROM looked_at JOIN run ON run.id = looked_at.id
WHERE state IN ('failed', 'completed with dead letters')
OR (ad_hoc IS NULL AND EXISTS (SELECT 1 FROM doubt WHERE doubt.run = run.id)) ORDER BY run.id DESC LIMIT ?
"""
_FRESH = """
SELECT name, at FROM (SELECT j.value AS name, (SELECT started_at FROM run WHERE import = j.value
    AND state IN ('completed', 'completed with dead letters') AND ad_hoc IS NULL AND part IS NULL ORDER BY id DESC
    LIMIT 1) AS at
FROM json_each(?) AS j) WHERE at IS NOT NULL
"""
_TASK = """
SELECT run, account.name, kind.name, attempt, {1} FROM {0} JOIN bucket ON bucket.id = bucket
JOIN account ON account.id = bucket.account JOIN kind ON kind.id = kind WHERE seq = ?
"""


class SqliteReader(DeadReader):
    """See `FrontierReader`."""

    @classmethod
    def open(cls, state_dir: Path) -> SqliteReader | None:
        """Opens a reader; None when there is no frontier yet. Raises FrontierRefused when the frontier is gone."""
        path = state_dir / FILE_NAME
        database = connect_reader(path, mark=state_dir / MARK_NAME)
        return None if database is None else cls(database, path)

    def close(self) -> None:
        self._db.close()

    def status(self) -> Status:
        runs = [_run(row) for row in self._rows(f"{_RUN} ORDER BY run.id DESC LIMIT ?", SHOWN_RUNS)]
        ready, delayed, waiting, dead = self.totals()
        accounts = self.account_page(after="", most=SHOWN_ACCOUNTS, needs_a_look=False, now=0.0)
        return Status(ready, delayed, waiting, dead, runs, accounts, self.outages(), self.pauses(), self.lowered())

    def overview(self, most: int, now: float) -> Overview:
        running = "SELECT id FROM run WHERE state = 'running' ORDER BY id LIMIT ?"
        ended, imports = self._ended()
        return Overview(
            *self.totals(),
            self.runs([number for (number,) in self._rows(running, most)]),
            self._count("SELECT count(*) FROM run WHERE state = 'running'"),
            sorted(self.runs(ended[:most]), key=lambda run: -run.id),
            imports,
            self._unclean(ended, most),
            [found for name in self.first_to_look_at(most, now) if (found := self.account(name))],
            self._count("SELECT count(*) FROM account WHERE instr(name, '/') = 0"),
            self.outages(),
            self.pauses(),
            self.lowered(),
        )

    def schedule_notes(self, names: Sequence[str]) -> dict[str, ScheduleNote]:
        return schedule_notes(self._rows, names)

    def sync_points(self, import_name: str, sink_name: str) -> dict[str, str] | None:
        return sync_points(self._rows, import_name, sink_name)

    def first_started(self, imports: Sequence[str]) -> dict[str, float]:
        return first_started(self._rows, imports)

    def refused_accounts(self, most: int) -> list[tuple[str, str]]:
        return refused_accounts(self._rows, most)

    def failing(self, imports: Sequence[str], least: int) -> dict[str, tuple[int, int]]:
        return failing(self._rows, imports, least)

    def run_states(self, numbers: Sequence[int], after: int, through: int) -> dict[int, str]:
        return run_states(self._rows, numbers, after, through)

    def newest_run(self) -> int:
        return newest_run(self._rows)

    def _ended(self) -> tuple[list[int], int | None]:
        """The newest ended run of each import, the newest first, and how many imports have one; None when there are
        more than MOST_IMPORTS."""
        found = [number for (number,) in self._rows(_IMPORTS, MOST_IMPORTS + 1)]
        if len(found) <= MOST_IMPORTS:
            ended = [number for number in found if number is not None]
            return sorted(ended, reverse=True), len(ended)
        newest: dict[str, int] = {}
        rows = self._rows("SELECT import, id, state FROM run ORDER BY id DESC LIMIT ?", NEWEST_RUNS)
        for name, number, state in rows:
            if state != "running":
                newest.setdefault(name, number)
        return list(newest.values()), None

    def _unclean(self, ended: list[int], most: int) -> list[RunReport]:
        numbers = self._rows(_UNCLEAN, _json(ended), most)
        return sorted(self.runs([number for (number,) in numbers]), key=lambda run: -run.id)

    def known_imports(self, most: int) -> list[str]:
        return [name for (name,) in self._rows(_IMPORT_NAMES, most)]

    def running_imports(self, most: int) -> list[str]:
        names = "SELECT DISTINCT import FROM (SELECT import FROM run WHERE state = 'running' ORDER BY id LIMIT ?)"
        return [name for (name,) in self._rows(names, most)]

    def fresh(self, imports: Sequence[str]) -> dict[str, float]:
        return dict(self._rows(_FRESH, _json(list(imports))))

    def _count(self, statement: str, *bindings: Any) -> int:
        return int(self._rows(statement, *bindings)[0][0])

    def outages(self) -> list[OutageReport]:
        rows = self._rows(
            "SELECT origin, account.name, since, next_at, error "
            "FROM outage LEFT JOIN account ON account.id = outage.account WHERE outage.account = 0 "
            "OR origin NOT IN (SELECT origin FROM outage WHERE account = 0) ORDER BY origin, account.name"
        )
        return [OutageReport(*row) for row in rows]

    def outage_of(self, account: str) -> OutageReport | None:
        rows = self._rows(
            "SELECT own.origin, account.name, own.since, coalesce(whole.next_at, own.next_at), "
            "coalesce(whole.error, own.error) FROM account JOIN outage AS own ON own.account = account.id "
            "LEFT JOIN outage AS whole ON whole.origin = own.origin AND whole.account = 0 "
            "WHERE account.name = ? ORDER BY own.since LIMIT 1",
            account,
        )
        return OutageReport(*rows[0]) if rows else None

    def totals(self) -> tuple[int, int, int, int]:
        ready, delayed, waiting = self._rows(
            "SELECT coalesce(sum(open - delayed - waiting), 0), coalesce(sum(delayed), 0), coalesce(sum(waiting), 0) "
            "FROM run WHERE state = 'running'"
        )[0]
        return ready, delayed, waiting, self._rows("SELECT coalesce(sum(dead), 0) FROM run WHERE dead > 0")[0][0]

    def runs(self, numbers: Iterable[int]) -> list[RunReport]:
        rows = self._rows(f"{_RUN} JOIN json_each(?) ON value = run.id ORDER BY run.id", _json(list(numbers)))
        return [_run(row) for row in rows]

    def run_page(
        self, *, import_name: str | None, state: str | None, since: float, after: int | None, most: int
    ) -> list[RunReport]:
        which: list[tuple[str, object]] = [("run.started_at >= ?", since)]
        which += [("run.import = ?", import_name)] if import_name is not None else []
        which += [(_STATE.get(state, _NOT_CLEAN), state)] if state is not None else []
        which += [("run.id < ?", after)] if after is not None else []
        where = " AND ".join(clause for clause, _ in which)
        rows = self._rows(f"{_RUN} WHERE {where} ORDER BY run.id DESC LIMIT ?", *(value for _, value in which), most)
        return [_run(row) for row in rows]

    def seen_before(self, run: int) -> dict[str, int]:
        rows = self._rows(
            "SELECT stream, seen FROM tally WHERE run = (SELECT max(id) FROM run WHERE id < ?1 "
            "AND state LIKE 'completed%' AND import = (SELECT import FROM run WHERE id = ?1))",
            run,
        )
        return dict(rows)

    def figures(self, run: int) -> RunFigures:
        return figures(self._rows, run)

    def flow(self, run: int) -> RunFlow:
        return flow(self._rows, run)

    def full_before(self, run: int) -> int | None:
        return full_before(self._rows, run)

    def import_figures(self, imports: Sequence[str]) -> dict[str, ImportFigures]:
        return import_figures(self._rows, imports)

    def most_ready(self, most: int) -> list[tuple[str, int]]:
        return most_ready(self._rows, most)

    def quota_keys(self) -> list[str]:
        return quota_keys(self._rows)

    def quota_keys_of(self, account: str, most: int) -> list[str]:
        return quota_keys_of(self._rows, account, most)

    def charged(self, since: Mapping[str, float]) -> dict[str, int]:
        return charged(self._rows, since)

    def charges_of(self, account: str, since: float) -> dict[str, list[tuple[float, int]]]:
        return charges_of(self._rows, account, since)

    def running_runs(self, most: int) -> list[int]:
        return [run for (run,) in self._rows("SELECT id FROM run WHERE state = 'running' ORDER BY id LIMIT ?", most)]

    def bucket_names(self, numbers: Sequence[int]) -> dict[int, str]:
        return bucket_names(self._rows, numbers)

    def run(self, number: int) -> RunReport:
        return self.runs([number])[0]

    def left_imports(self, configured: Collection[str]) -> list[LeftImport]:
        names = [name for (name,) in self._rows("SELECT import FROM setup ORDER BY import") if name not in configured]
        rows = self._rows(_LEFT, msgspec.json.encode(names).decode()) if names else []
        return [
            LeftImport(name, account, digest, frozenset(msgspec.json.decode(streams)))
            for name, account, digest, streams in rows
        ]

    def latest(self, import_name: str) -> RunReport | None:
        ((number,),) = self._rows(
            "SELECT coalesce((SELECT min(id) FROM run INDEXED BY run_running WHERE state = 'running' AND import = ?1), "
            "(SELECT max(id) FROM run WHERE import = ?1))",
            import_name,
        )
        return None if number is None else self.run(number)

    def next_retry(self, run: int) -> RetryReport | None:
        rows = self._rows(
            "SELECT due_at, attempt, error FROM (SELECT * FROM delayed ORDER BY due_at, seq LIMIT ?) WHERE run = ? "
            "ORDER BY due_at LIMIT 1",
            NEXT_RETRIES,
            run,
        )
        return RetryReport(*rows[0]) if rows else None

    def task(self, number: int) -> TaskReport | None:
        for table, rest in (("ready", "NULL, NULL"), ("delayed", "due_at, error")):
            for run, account, kind, attempts, due_at, error in self._rows(_TASK.format(table, rest), number):
                retry = None if due_at is None else RetryReport(due_at, attempts, error)
                return TaskReport(run, account, kind, attempts, retry)
        return None

    def accounts(self, run: int) -> list[str]:
        rows = self._rows(
            "SELECT name FROM account WHERE id IN "
            "(SELECT account FROM run WHERE id = ?1 UNION SELECT account FROM borrowed WHERE run = ?1) ORDER BY name",
            run,
        )
        return [name for (name,) in rows]

    def goes_on(self, run: int, accounts: Collection[str]) -> bool:
        return bool(
            self._rows(
                "WITH theirs AS (SELECT bucket.id FROM bucket JOIN account ON account.id = bucket.account "
                "WHERE account.name IN (SELECT value FROM json_each(?2))) "
                "SELECT EXISTS "
                "(SELECT 1 FROM queue WHERE run = ?1 AND ready > 0 AND bucket IN (SELECT id FROM theirs)) "
                "OR EXISTS (SELECT 1 FROM delayed WHERE run = ?1 AND bucket IN (SELECT id FROM theirs)) "
                "OR EXISTS (SELECT 1 FROM unfolding WHERE run = ?1)",  # the accounts of these tasks are not known yet
                run,
                _json(list(accounts)),
            )[0][0]
        )

    def streams(self, run: int, wanted: Iterable[str] = ()) -> dict[str, StreamReport]:
        found = self.streams_many([run])[run]
        return {stream: found.get(stream, StreamReport()) for stream in sorted({*wanted, *found})}

    def streams_many(self, runs: Iterable[int]) -> dict[int, dict[str, StreamReport]]:
        found: dict[int, dict[str, StreamReport]] = {run: {} for run in runs}
        for run, stream, *facts, reason, marked, unmarked, why in self._rows(_STREAMS, _json(list(found))):
            note = _note(marked, unmarked, why)
            if any((*facts, note)):  # otherwise the stream was read only for the lists below its records
                found[run][stream] = _struct(StreamReport, [*facts, reason or note, note])
        return found


def _json(values: list[int] | list[str]) -> str:
    return msgspec.json.encode(values).decode()


def _note(marked: int, unmarked: int, why: str | None) -> str | None:
    """What a stream's report says about the times (or numbers) of the last change of its records."""
    if not unmarked:
        return None
    if marked:
        return f"the time of change cannot be read in {unmarked:,} record{'s' * (unmarked != 1)}: {why}"
    return f"no mark: read in full each time, because the time of change cannot be read in any record: {why}"


def _run(row: Sequence[Any]) -> RunReport:
    *facts, doubts, began, part = row
    return _struct(RunReport, (*facts, [_struct(Doubt, each) for each in msgspec.json.decode(doubts)], began, part))


def _struct(kind: type[Shape], row: Sequence[Any]) -> Shape:
    return msgspec.convert(dict(zip(kind.__struct_encode_fields__, row, strict=True)), kind, strict=False)
