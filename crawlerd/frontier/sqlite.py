"""The frontier on SQLite: every change of state is one transaction here, and every statement works on a whole group."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from crawlerd.core.errors import FrontierError
from crawlerd.core.outcome import Bury, Complete, Outcome
from crawlerd.core.task import PART, Task
from crawlerd.frontier import groups
from crawlerd.frontier.change import Change
from crawlerd.frontier.quota import QuotaRows
from crawlerd.frontier.schema import FILE_NAME, connect, storage_errors, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from crawlerd.core.task import NewGather, NewTask
    from crawlerd.sink import Totals

RunState = Literal["running", "completed", "completed with dead letters", "failed", "cancelled"]
_tasks = msgspec.json.Decoder(list[Task]).decode
MAX_DELAY = 86_400.0  # seconds; a due time further off than this means that the clock was set back
BUCKET_CACHE = 20_000  # names looked up lately; bounds memory at many accounts
PURGE_ROWS = 2_000  # rows of an ended run's `seen` that one commit drops, so that none stalls


class Bucket(NamedTuple):
    """A bucket with ready tasks. blocked_until: Unix seconds."""

    id: int
    account: int
    name: str
    blocked_until: float


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A leased task, its account, and what its attempt led to."""

    task: Task
    account: int
    outcome: Outcome


class Committed(NamedTuple):
    """arrived: buckets that got ready tasks, with the first key (priority, seq) of them. ended: runs now over.
    borrowed: (run, account) where a run has got its first tasks for an account that is not its own."""

    arrived: dict[int, tuple[int, int]]
    ended: list[int]
    borrowed: Sequence[tuple[int, int]] = ()


class StartedRun(NamedTuple):
    """A new run's id, which is in `ended` as well when it had nothing to do."""

    run: int
    ended: list[int]


class Run(NamedTuple):
    """A run as its row says. started_at, ended_at: Unix seconds."""

    id: int
    import_name: str
    account: int
    full: bool
    state: RunState
    started_at: float
    ended_at: float | None


class Frontier:
    """The only writer of the frontier database; used by one thread. Call with the state lock held.

    Every method that changes something is one durable transaction. Raises StorageFailed when the disk is full or
    failing (the transaction is rolled back and the connection stays usable) and FrontierError for the rest.
    """

    def __init__(self, state_dir: Path, *, now: float) -> None:
        self.path = state_dir / FILE_NAME
        self._db = connect(state_dir)
        self.quota_rows = QuotaRows(self._db)
        self._read_names()
        self._next_seq: int = self._read("SELECT value FROM next_seq")[0][0]
        self._purging: list[int] = [
            run
            for (run,) in self._read(
                "SELECT id FROM run WHERE state <> 'running' AND EXISTS (SELECT 1 FROM seen WHERE run = run.id)"
            )
        ]
        with self._transaction():
            self._db.execute("UPDATE account SET paused = NULL WHERE paused IS NOT NULL")
            self._db.execute("UPDATE bucket SET blocked_until = 0 WHERE blocked_until > ?", (now + MAX_DELAY,))
            self.quota_rows.bring_back(now)
            self._db.execute("UPDATE OR REPLACE delayed SET due_at = ? WHERE due_at > ?", (now, now + MAX_DELAY))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with storage_errors(self.path, self._db), transaction(self._db):
                yield
        except BaseException:
            self._read_names()  # numbers given out by what was rolled back must not be used
            raise

    def _read(self, statement: str, *bindings: object) -> list[Any]:
        with storage_errors(self.path, self._db):
            return list(self._db.execute(statement, bindings))

    def _read_names(self) -> None:
        self._kind_ids: dict[str, int] = dict(self._read("SELECT name, id FROM kind"))
        self._bucket_ids: dict[tuple[int, str], int] = {}
        self._account_ids: dict[str, int] = dict(self._read("SELECT name, id FROM account"))
        self._own: dict[int, int] = {}
        self._borrowed: dict[int, set[int]] = {}

    def close(self) -> None:
        """Checkpoints and closes; a crash instead loses nothing."""
        with storage_errors(self.path, self._db):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()

    # accounts and runs

    def account(self, name: str, source: str) -> int:
        """The account's number, given out at the first call."""
        return self.account_numbers({name: source})[name]

    def account_numbers(self, sources: Mapping[str, str]) -> dict[str, int]:
        """The numbers of accounts by name, given out at the first call. sources: of each account, by its name."""
        known = dict(self._read("SELECT name, source FROM account")) if len(sources) > 1 else {}
        with self._transaction():
            changed = self._execute(
                "INSERT INTO account(name, source) SELECT value->>0, value->>1 FROM json_each(?) WHERE true "
                "ON CONFLICT (name) DO UPDATE SET source = excluded.source RETURNING name, id",
                [(name, source) for name, source in sources.items() if known.get(name) != source],
            )
        self._account_ids |= changed
        return {name: self._account_ids[name] for name in sources}

    def account_name(self, number: int) -> str:
        name: str = self._read("SELECT name FROM account WHERE id = ?", number)[0][0]
        return name

    def identity(self, account: int) -> str | None:
        """Who the account's credentials belong to, as `confirm` noted."""
        noted: str | None = self._read("SELECT identity FROM account WHERE id = ?", account)[0][0]
        return noted

    def confirm(self, account: int, identity: str) -> str | None:
        """Notes who the account's credentials belong to, once. The identity noted before if it is another one."""
        with self._transaction():
            self._db.execute("UPDATE account SET identity = ? WHERE id = ? AND identity IS NULL", (identity, account))
            noted: str = self._db.execute("SELECT identity FROM account WHERE id = ?", (account,)).get
        return None if noted == identity else noted

    def pause(self, account: int, reason: str) -> None:
        """Notes why nothing of the account is leased; forgotten when the frontier is opened again."""
        with self._transaction():
            self._db.execute("UPDATE account SET paused = ? WHERE id = ?", (reason, account))

    def resume(self, account: int) -> None:
        """Undoes `pause`."""
        with self._transaction():
            self._db.execute("UPDATE account SET paused = NULL WHERE id = ?", (account,))

    def start_run(
        self,
        import_name: str,
        account: int,
        tasks: Sequence[NewTask],
        *,
        gathers: Sequence[NewGather] = (),
        full: bool,
        now: float,
    ) -> StartedRun:
        """A new run with its first tasks and groups; without any it has ended at once."""
        with self._transaction():
            run: int = self._db.execute(
                'INSERT INTO run(import, account, "full", state, started_at) VALUES (?, ?, ?, ?, ?) RETURNING id',
                (import_name, account, full, "running", now),
            ).get
            change = Change(now)
            change.runs[run].open = 0
            members = self._open(change, [(run, account, gather, 0) for gather in gathers])
            self._add(change, [*((run, account, task, 0) for task in tasks), *members])
            return StartedRun(run, self._apply(change).ended)

    def run(self, number: int) -> Run:
        """KeyError when there is no such run."""
        for row in self._read(
            'SELECT id, import, account, "full", state, started_at, ended_at FROM run WHERE id = ?', number
        ):
            return Run(row[0], row[1], row[2], bool(row[3]), *row[4:])
        raise KeyError(number)

    def accounts(self, run: int) -> list[int]:
        """The accounts that a run has had tasks for, its own first."""
        others = self._read("SELECT account FROM borrowed WHERE run = ? ORDER BY account", run)
        return [self.run(run).account, *(account for (account,) in others)]

    def latest_run(self, import_name: str) -> Run | None:
        """The import's newest run, running or ended."""
        ((number,),) = self._read("SELECT max(id) FROM run WHERE import = ?", import_name)
        return None if number is None else self.run(number)

    def running_runs(self, import_name: str) -> list[int]:
        """The import's runs that have not ended, oldest first."""
        rows = self._read("SELECT id FROM run WHERE state = 'running' AND import = ? ORDER BY id", import_name)
        return [run for (run,) in rows]

    def running_imports(self) -> set[str]:
        """The imports that have a run which has not ended."""
        return {name for (name,) in self._read("SELECT DISTINCT import FROM run WHERE state = 'running'")}

    def learned(self) -> dict[str, str]:
        """What limiters have found out, as JSON, by their keys."""
        return dict(self._db.execute("SELECT key, value FROM learned"))

    def cursors(self, import_name: str) -> dict[str, str]:
        """The import's published cursors, by stream."""
        return dict(self._read("SELECT stream, value FROM cursor WHERE import = ?", import_name))

    # reading tasks

    def ready_buckets(self, account: int | None) -> list[Bucket]:
        """The account's buckets that have ready tasks, or all such."""
        rows = "SELECT id, account, name, blocked_until FROM bucket WHERE ready > 0"
        if account is None:
            return [Bucket(*row) for row in self._read(rows)]
        return [Bucket(*row) for row in self._read(f"{rows} AND account = ?", account)]

    def sleeping_buckets(self, after: tuple[float, int], now: float, count: int) -> list[Bucket]:
        """Up to `count` buckets with ready tasks that may be leased from now, behind (blocked_until, id)."""
        return [
            Bucket(*row)
            for row in self._read(
                "SELECT id, account, name, blocked_until FROM bucket WHERE ready > 0 "
                "AND (blocked_until, id) > (?, ?) AND blocked_until <= ? ORDER BY blocked_until, id LIMIT ?",
                *after,
                now,
                count,
            )
        ]

    def next_unblocked(self, now: float) -> float | None:
        """When the first of the blocked buckets with ready tasks may be leased from again, in Unix seconds."""
        until: float | None = self._read(
            "SELECT min(blocked_until) FROM bucket WHERE ready > 0 AND blocked_until > ?", now
        )[0][0]
        return until

    def bucket(self, number: int) -> Bucket:
        return Bucket(*self._read("SELECT id, account, name, blocked_until FROM bucket WHERE id = ?", number)[0])

    def heads(self, bucket: int, after: tuple[int, int], count: int) -> list[Task]:
        """The bucket's next `count` ready tasks behind the key (priority, seq)."""
        (text,) = self._read(  # one row, for with each row the interpreter's lock is given up and fought for again
            "SELECT json_group_array(json_array("
            "seq, bucket, priority, run, (SELECT name FROM kind WHERE id = kind), attempt, payload, crashes, grp)) "
            "FROM (SELECT * FROM ready WHERE bucket = ? AND (priority, seq) > (?, ?) ORDER BY priority, seq LIMIT ?)",
            bucket,
            *after,
            count,
        )[0]
        return _tasks(text)

    def next_due(self) -> float | None:
        """When the first delayed task is due, in Unix seconds."""
        due: float | None = self._read("SELECT min(due_at) FROM delayed")[0][0]
        return due

    # changing tasks

    def commit(
        self,
        group: Sequence[Settled],
        *,
        now: float,
        blocked: Mapping[int, float] | None = None,
        learned: Mapping[str, object] | None = None,
        charge: Callable[[], None] | None = None,
        totals: Mapping[tuple[int, str], Totals] | None = None,
        due: int = 500,
    ) -> Committed:
        """One transaction: the outcomes of a group of leased tasks, each with its children and counters, and up to
        `due` delayed tasks whose time has come. The group's records must be durable in their sinks already.

        blocked: buckets that may not be leased from before a Unix time. learned: by limiters, see `learned`. charge:
        writes to `quota_rows`. totals: of runs and streams, as their sinks have returned them.
        """
        change = Change(now)
        children: list[tuple[int, int, NewTask, int]] = []
        gathers: list[tuple[int, int, NewGather, int]] = []
        for settled in group:
            task, outcome = settled.task, settled.outcome
            if type(outcome) is Complete:
                change.complete(task, outcome)
                if outcome.children:
                    children += [(task.run, settled.account, child, task.group) for child in outcome.children]
                if outcome.gathers:
                    gathers += [(task.run, settled.account, gather, task.group) for gather in outcome.gathers]
            else:
                change.settle(task, self._kind_ids[task.kind], outcome)
        with self._transaction():
            self._remove(change)
            if gathers:  # what others wait for goes first
                children = self._open(change, gathers) + children
            self._add(change, children)
            self._wake(change, due)
            if blocked:
                self._execute(
                    "UPDATE bucket SET blocked_until = j.value->>1 FROM json_each(?) AS j "
                    "WHERE bucket.id = j.value->>0",
                    blocked.items(),
                )
            if learned:
                self._execute(
                    "INSERT INTO learned SELECT value->>0, value->1 FROM json_each(?) WHERE true "
                    "ON CONFLICT DO UPDATE SET value = excluded.value",
                    learned.items(),
                )
            if totals:
                self._execute(
                    "INSERT INTO tally(run, stream, seen, new, changed, unchanged, tombstoned) "
                    "SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 "
                    "FROM json_each(?) WHERE true ON CONFLICT DO UPDATE SET seen = excluded.seen, new = excluded.new, "
                    "changed = excluded.changed, unchanged = excluded.unchanged, tombstoned = excluded.tombstoned",
                    ((*key, *each) for key, each in totals.items()),
                )
            if charge is not None:
                charge()
            self._purge()
            return self._apply(change)

    def retry_dead(self, numbers: Sequence[int]) -> tuple[int, list[str]]:
        """Makes dead letters ready again, with all their attempts; ended runs run again. Returns how many there were,
        and the names of their imports. What groups have failed for is waited for again."""
        change = Change(0.0)
        with self._transaction():
            count = groups.retry(numbers, change, self._execute)
            imports = self._execute(
                "UPDATE run SET state = 'running', ended_at = NULL WHERE id IN (SELECT value->>0 FROM json_each(?)) "
                "RETURNING import",
                [(run,) for run in change.runs],
            )
            self._apply(change)
        self._purging = [run for run in self._purging if run not in change.runs]  # it needs its keys again
        return count, sorted({name for (name,) in imports})

    def _execute(self, statement: str, rows: Iterable[Sequence[object]]) -> list[Any]:
        """Runs a statement once for all `rows`, which it reads as json_each(?); not at all when there are none."""
        values = list(rows)
        if not values:
            return []
        return list(self._db.execute(statement, (msgspec.json.encode(values).decode(),)))

    def _remove(self, change: Change) -> None:
        self._execute(
            "DELETE FROM ready WHERE (bucket, priority, seq) IN "
            "(SELECT value->>0, value->>1, value->>2 FROM json_each(?))",
            sorted(change.gone),
        )
        if change.gone and self._db.changes() != len(change.gone):
            raise FrontierError(f"{self.path}: a task that was worked on is not in `ready`; nothing was written")

    def _open(
        self, change: Change, gathers: Sequence[tuple[int, int, NewGather, int]]
    ) -> list[tuple[int, int, NewTask, int]]:
        """New groups of (run, account, …, the group they are inside of). Returns their tasks, which are to be added."""
        rows, members = [], []
        for run, account, gather, parent in gathers:
            then = gather.then
            bucket = self._bucket_id(self._account_for(change, run, account, then), then.bucket)
            kind = self._kind_id(then.kind)
            rows.append((self._next_seq, run, parent, gather.if_dead, bucket, then.priority, kind, then.payload))
            members += [(run, account, task, self._next_seq) for task in gather.tasks]
            change.runs[run].open += 1
            change.runs[run].waiting += 1
            change.groups[self._next_seq].open += 0  # it may have ended already
            if parent:
                change.groups[parent].open += 1
            self._next_seq += 1
        self._execute(
            "INSERT INTO gather(id, run, parent, if_dead, bucket, priority, kind, payload) SELECT value->>0, "
            "value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7 FROM json_each(?)",
            rows,
        )
        self._db.execute("UPDATE next_seq SET value = ?", (self._next_seq,))
        return members

    def _add(self, change: Change, tasks: Sequence[tuple[int, int, NewTask, int]]) -> None:
        """New tasks of (run, account, …, group); one that must be unique in its run and was there before is left
        out."""
        if not tasks:
            return
        keys = [(run, self._key(run, account, task)) if task.unique else None for run, account, task, _ in tasks]
        before = {
            (run, key)
            for run, key in self._execute(
                "SELECT j.value->>0, j.value->>1 FROM json_each(?) AS j "
                "JOIN seen ON seen.run = j.value->>0 AND seen.key = unhex(j.value->>1)",
                (key for key in keys if key),
            )
        }
        fresh = []
        for (run, account, task, group), key in zip(tasks, keys, strict=True):
            if task.account:
                account = self._account_for(change, run, account, task)
            bucket, kind, repeated = self._bucket_id(account, task.bucket), self._kind_id(task.kind), key in before
            if repeated and not task.sequential:
                continue
            if key and not repeated:
                before.add(key)
                fresh.append(key)
            if repeated:
                change.bury(
                    Task(self._next_seq, bucket, task.priority, run, task.kind, 0, task.payload, group=group),
                    kind,
                    Bury(
                        "the API's cursor repeated: this very page was already asked for in this run",
                        stream=task.bucket,
                    ),
                )
            else:
                change.make_ready(bucket, task.priority, self._next_seq, run, kind, 0, task.payload, group)
                change.runs[run].open += 1
                if group:
                    change.groups[group].open += 1
            self._next_seq += 1
        self._execute("INSERT INTO seen SELECT value->>0, unhex(value->>1) FROM json_each(?)", fresh)
        self._db.execute("UPDATE next_seq SET value = ?", (self._next_seq,))

    def _account_for(self, change: Change, run: int, account: int, task: NewTask) -> int:
        """The account that a new task of a run is for, which is noted when it is not the run's own."""
        if task.account:
            account = self._number_of(account, task.account)
            if account != self._own_account(run) and account not in (known := self._borrowed.setdefault(run, set())):
                known.add(account)
                change.borrowed.append((run, account))
        return account

    def _number_of(self, account: int, name: str) -> int:
        """The number of an account named by a task of another one; a part of that is made known here."""
        if name.startswith(PART):
            of: str = self._db.execute("SELECT name FROM account WHERE id = ?", (account,)).get
            name = of.partition(PART)[0] + name
            if name not in self._account_ids:
                self._account_ids[name] = self._db.execute(
                    "INSERT INTO account(name, source) SELECT ?, source FROM account WHERE id = ? RETURNING id",
                    (name, account),
                ).get
        return self._account_ids[name]

    def _key(self, run: int, account: int, task: NewTask) -> str:
        number = self._number_of(account, task.account) if task.account else account
        return task.key(0 if number == self._own_account(run) else number)

    def _own_account(self, run: int) -> int:
        number = self._own.get(run)
        if number is None:
            if len(self._own) >= BUCKET_CACHE:
                self._own.clear()
            number = self._own[run] = self._db.execute("SELECT account FROM run WHERE id = ?", (run,)).get
        return number

    def _wake(self, change: Change, limit: int) -> None:
        """Delayed tasks that are due become ready."""
        for seq, bucket, priority, run, kind, attempt, payload, group in self._db.execute(
            "DELETE FROM delayed WHERE (due_at, seq) IN "
            "(SELECT due_at, seq FROM delayed WHERE due_at <= ? ORDER BY due_at, seq LIMIT ?) "
            "RETURNING seq, bucket, priority, run, kind, attempt, payload, grp",
            (change.now, limit),
        ):
            change.make_ready(bucket, priority, seq, run, kind, attempt, payload, group)
            change.runs[run].delayed -= 1

    def _apply(self, change: Change) -> Committed:
        """Writes what a change has gathered, and ends the runs that have nothing open any more."""
        change.count()
        if change.groups:
            groups.settle(change, self._execute)
        groups.bury(change, self._execute)
        self._execute(
            "INSERT INTO ready(bucket, priority, seq, run, kind, attempt, crashes, payload) SELECT value->>0, "
            "value->>1, value->>2, value->>3, value->>4, value->>5, 0, value->>6 FROM json_each(?)",
            sorted(change.ready),
        )
        self._execute(
            "INSERT INTO ready SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, 0, value->>6, "
            "value->>7 FROM json_each(?)",
            sorted(change.grouped),
        )
        self._execute(
            "INSERT INTO delayed SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, "
            "value->>6, value->>7, value->>8, value->>9 FROM json_each(?)",
            change.delayed,
        )
        self._execute(
            "UPDATE ready SET crashes = crashes + 1 WHERE (bucket, priority, seq) IN "
            "(SELECT value->>0, value->>1, value->>2 FROM json_each(?))",
            change.crashed,
        )
        self._execute(
            "UPDATE bucket SET ready = ready + j.value->>1 FROM json_each(?) AS j WHERE bucket.id = j.value->>0",
            ((bucket, delta) for bucket, delta in change.buckets.items() if delta),
        )
        self._execute(
            "UPDATE run SET open = open + j.value->>1, delayed = delayed + j.value->>2, "
            "waiting = waiting + j.value->>3, done = done + j.value->>4, dead = dead + j.value->>5, "
            "retried = retried + j.value->>6, throttled = throttled + j.value->>7, records = records + j.value->>8 "
            "FROM json_each(?) AS j WHERE run.id = j.value->>0",
            ((run, *counts.row()) for run, counts in change.runs.items()),
        )
        self._execute(
            "INSERT INTO tally(run, stream, records, skipped, skip_reason) "
            "SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?) "
            "WHERE true ON CONFLICT DO UPDATE SET "
            "records = records + excluded.records, skipped = skipped + excluded.skipped, "
            "skip_reason = coalesce(excluded.skip_reason, skip_reason)",
            ([*key, tally.records, tally.skipped, tally.skip_reason] for key, tally in change.tallies.items()),
        )
        stage = "INSERT INTO staged SELECT value->>0, value->>1, value->>2 FROM json_each(?) WHERE true "
        self._execute(stage + "ON CONFLICT DO UPDATE SET value = excluded.value", change.staged)
        self._execute(stage + "ON CONFLICT DO UPDATE SET value = max(value, excluded.value)", change.greatest)
        borrowed = self._execute(
            "INSERT INTO borrowed SELECT value->>0, value->>1 FROM json_each(?) WHERE true ON CONFLICT DO NOTHING "
            "RETURNING run, account",
            change.borrowed,
        )
        return Committed(change.arrived, self._end_runs(change), borrowed)

    def _end_runs(self, change: Change) -> list[int]:
        """A clean end publishes the run's cursors, unless the import has been run anew since. It is clean as well where
        all dead letters were denied, but for their streams."""
        ended = self._execute(
            "UPDATE run SET ended_at = j.value->>1, state = CASE WHEN dead = 0 THEN 'completed' "
            "WHEN done = 0 THEN 'failed' ELSE 'completed with dead letters' END "
            "FROM json_each(?) AS j WHERE run.id = j.value->>0 AND open = 0 AND state = 'running' "
            "RETURNING run.id, state",
            ((run, change.now) for run in change.runs),
        )
        for run, state in ended:
            self._purging.append(run)
            self._own.pop(run, None)
            self._borrowed.pop(run, None)
            self._db.execute(
                "INSERT INTO cursor SELECT run.import, stream, value FROM staged JOIN run ON run.id = staged.run "
                "WHERE run.id = ? AND run.id = (SELECT max(id) FROM run AS r WHERE r.import = run.import) "
                "AND NOT EXISTS (SELECT 1 FROM dead "
                " WHERE dead.run = run.id AND (NOT denied OR dead.stream = staged.stream)) "
                "ON CONFLICT DO UPDATE SET value = excluded.value",
                (run,),
            )
            if state == "completed":
                self._db.execute("DELETE FROM staged WHERE run = ?", (run,))
        return [run for run, _ in ended]

    def _purge(self) -> None:
        if self._purging:
            run = self._purging[0]
            self._db.execute(
                "DELETE FROM seen WHERE run = ? AND key IN (SELECT key FROM seen WHERE run = ? LIMIT ?)",
                (run, run, PURGE_ROWS),
            )
            if not self._db.changes():
                self._purging.pop(0)

    def _kind_id(self, name: str) -> int:
        number = self._kind_ids.get(name)
        if number is None:
            number = self._db.execute("INSERT INTO kind(name) VALUES (?) RETURNING id", (name,)).get
            self._kind_ids[name] = number
        return number

    def _bucket_id(self, account: int, name: str) -> int:
        number = self._bucket_ids.get((account, name))
        if number is None:
            number = self._db.execute(
                "INSERT INTO bucket(account, name) VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET name = excluded.name RETURNING id",
                (account, name),
            ).get
            if len(self._bucket_ids) >= BUCKET_CACHE:
                self._bucket_ids.clear()
            self._bucket_ids[account, name] = number
        return number
