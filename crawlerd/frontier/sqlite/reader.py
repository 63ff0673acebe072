"""What people ask of a frontier: its state and its dead letters. Read-only, and never by counting tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from crawlerd.frontier.group_end import NOT_RUN
from crawlerd.frontier.reports import (
    AccountReport,
    DeadLetter,
    Doubt,
    OutageReport,
    Overview,
    RetryReport,
    RunReport,
    Status,
    StreamReport,
    TaskReport,
)
from crawlerd.frontier.sqlite.account_reader import ACCOUNTS, NEED_A_LOOK, AccountReader
from crawlerd.frontier.sqlite.database import FILE_NAME, MARK_NAME, connect_reader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path


Shape = TypeVar("Shape", bound=msgspec.Struct)
SHOWN_RUNS = 50  # newest runs in a status
MOST_IMPORTS = 1_000  # whose latest runs are looked for one by one; of more, those of the newest runs
NEWEST_RUNS = 5_000
NEWEST_LETTERS = 100_000  # task numbers among which an account's newest dead letters are looked for
NEXT_RETRIES = 100_000  # delayed tasks among which one of a run is looked for


_RUN = """
SELECT run.id, run.import, account.name, run."full", run.state, run.started_at, run.ended_at,
       run.open - run.delayed - run.waiting, run.delayed, run.waiting, run.done, run.dead, run.retried, run.throttled,
       run.records,
       run.state = 'completed' AND NOT EXISTS (SELECT 1 FROM tally WHERE tally.run = run.id AND skipped > 0)
       AND NOT EXISTS (SELECT 1 FROM doubt WHERE doubt.run = run.id),
       run.why, run.ended_why, run.ad_hoc,
       (SELECT json_group_array(json_array(account.name, stream, seen, before) ORDER BY account.name, stream)
        FROM doubt JOIN account ON account.id = doubt.account WHERE doubt.run = run.id),
       run.began
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
_DEAD = """
SELECT dead.seq, run.import, dead.run, account.name, dead.stream, kind.name, dead.attempt, dead.denied, dead.error,
       dead.payload, dead.at
FROM dead JOIN run ON run.id = dead.run JOIN account ON account.id = run.account JOIN kind ON kind.id = dead.kind
"""
_IMPORTS = """
WITH RECURSIVE each(name) AS (
    SELECT min(import) FROM run
    UNION ALL SELECT (SELECT min(import) FROM run WHERE import > each.name) FROM each WHERE each.name IS NOT NULL
)
SELECT (SELECT max(id) FROM run WHERE import = each.name AND state <> 'running') FROM each
WHERE each.name IS NOT NULL LIMIT ?
"""
_TASK = """
SELECT run, account.name, kind.name, attempt, {1} FROM {0} JOIN bucket ON bucket.id = bucket
JOIN account ON account.id = bucket.account JOIN kind ON kind.id = kind WHERE seq = ?
"""


class SqliteReader(AccountReader):
    """See `FrontierReader`."""

    @classmethod
    def open(cls, state_dir: Path) -> SqliteReader | None:
        """None when there is no frontier there yet; FrontierRefused when there was one."""
        database = connect_reader(state_dir / FILE_NAME, mark=state_dir / MARK_NAME)
        return None if database is None else cls(database, state_dir)

    def close(self) -> None:
        self._db.close()

    def status(self) -> Status:
        runs = [_run(row) for row in self._rows(f"{_RUN} ORDER BY run.id DESC LIMIT ?", SHOWN_RUNS)]
        ready, delayed, waiting, dead = self.totals()
        accounts = [AccountReport(*row) for row in self._rows(ACCOUNTS.format("", "1"))]
        return Status(ready, delayed, waiting, dead, runs, accounts, self.outages(), self.pauses())

    def overview(self, most: int, now: float) -> Overview:
        running = "SELECT id FROM run WHERE state = 'running' ORDER BY id LIMIT ?"
        latest, imports = self._latest(most)
        return Overview(
            *self.totals(),
            self.runs([number for (number,) in self._rows(running, most)]),
            self._count("SELECT count(*) FROM run WHERE state = 'running'"),
            sorted(self.runs(latest), key=lambda run: -run.id),
            imports,
            self._first_accounts(most, now),
            self._count("SELECT count(*) FROM account WHERE instr(name, '/') = 0"),
            self._count("SELECT count(*) FROM account WHERE refused IS NOT NULL"),
            self._count("SELECT count(DISTINCT account) FROM bucket WHERE blocked_until > ?", now),
            self.outages(),
            self.pauses(),
        )

    def _latest(self, most: int) -> tuple[list[int], int | None]:
        """The newest ended runs of imports, and how many imports have one; None: more than are looked at."""
        found = [number for (number,) in self._rows(_IMPORTS, MOST_IMPORTS + 1)]
        if len(found) <= MOST_IMPORTS:
            ended = [number for number in found if number is not None]
            return sorted(ended, reverse=True)[:most], len(ended)
        newest: dict[str, int] = {}
        rows = self._rows("SELECT import, id, state FROM run ORDER BY id DESC LIMIT ?", NEWEST_RUNS)
        for name, number, state in rows:
            if state != "running":
                newest.setdefault(name, number)
        return list(newest.values())[:most], None

    def _first_accounts(self, most: int, now: float) -> list[AccountReport]:
        first = self._rows(ACCOUNTS.format(f"WHERE {NEED_A_LOOK}", "max(refused) IS NULL, 1 LIMIT ?2"), now, most)
        others = [] if len(first) == most else self._rows("SELECT name FROM account ORDER BY name LIMIT ?", 2 * most)
        names = {row[0] for row in first}
        found = [AccountReport(*row) for row in first]
        for (name,) in others:
            if len(found) < most and "/" not in name and name not in names and (account := self.account(name)):
                found.append(account)
        return found

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
        which += [("run.state = ?", state)] if state is not None else []
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

    def run(self, number: int) -> RunReport:
        return self.runs([number])[0]

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
                "OR EXISTS (SELECT 1 FROM unfolding WHERE run = ?1)",  # whoever it is for: that is known soon
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
            if any((*facts, note)):  # else a list that was read for those below it alone
                found[run][stream] = _struct(StreamReport, [*facts, reason or note, note])
        return found

    def dead_letters(self, *, import_name: str | None = None, after: int = 0, limit: int = 100) -> list[DeadLetter]:
        rows = self._rows(
            f"{_DEAD} WHERE dead.seq > ? AND (?2 IS NULL OR run.import = ?2) ORDER BY dead.seq LIMIT ?3",
            after,
            import_name,
            limit,
        )
        return [_struct(DeadLetter, row) for row in rows]

    def last_errors(self, account: str, most: int) -> list[DeadLetter]:
        rows = self._rows(
            f"{_DEAD} JOIN bucket ON bucket.id = dead.bucket JOIN account AS whose ON whose.id = bucket.account "  # noqa: S608
            "WHERE dead.seq > (SELECT max(seq) FROM dead) - ?3 AND whose.name = ?1 ORDER BY dead.seq DESC LIMIT ?2",
            account,
            most,
            NEWEST_LETTERS,
        )
        return [_struct(DeadLetter, row) for row in rows]

    def dead_letter(self, number: int) -> DeadLetter | None:
        rows = self._rows(f"{_DEAD} WHERE dead.seq = ?", number)
        return _struct(DeadLetter, rows[0]) if rows else None

    def known_dead(self, numbers: Iterable[int]) -> list[int]:
        asked = list(dict.fromkeys(numbers))
        rows = self._rows("SELECT seq FROM dead WHERE seq IN (SELECT value FROM json_each(?))", _json(asked))
        known = {number for (number,) in rows}
        return [number for number in asked if number in known]


def _json(values: list[int] | list[str]) -> str:
    return msgspec.json.encode(values).decode()


def _note(marked: int, unmarked: int, why: str | None) -> str | None:
    """What a stream's report says of marks: times, or numbers, of the last change."""
    if not unmarked:
        return None
    if marked:
        return f"the time of change cannot be read in {unmarked:,} record{'s' * (unmarked != 1)}: {why}"
    return f"no mark: read in full each time, because the time of change cannot be read in any record: {why}"


def _run(row: Sequence[Any]) -> RunReport:
    *facts, doubts, began = row
    return _struct(RunReport, (*facts, [_struct(Doubt, each) for each in msgspec.json.decode(doubts)], began))


def _struct(kind: type[Shape], row: Sequence[Any]) -> Shape:
    return msgspec.convert(dict(zip(kind.__struct_encode_fields__, row, strict=True)), kind, strict=False)
