"""The frontier on SQLite: every change of state is one transaction here, and every statement works on a whole group."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.errors import FrontierError, FrontierRefused
from crawlerd.core.outcome import DONE, Complete
from crawlerd.frontier.change import Change
from crawlerd.frontier.contract import Committed, Run, StartedRun
from crawlerd.frontier.sqlite import groups
from crawlerd.frontier.sqlite.doubts import Doubts
from crawlerd.frontier.sqlite.enqueue import Enqueuer
from crawlerd.frontier.sqlite.names import Names
from crawlerd.frontier.sqlite.parents import Parents
from crawlerd.frontier.sqlite.quota_rows import QuotaRows
from crawlerd.frontier.sqlite.removal import Removal
from crawlerd.frontier.sqlite.schema import FILE_NAME, MARK_NAME, connect, storage_errors, transaction
from crawlerd.frontier.sqlite.sinks import Attached, Sinks
from crawlerd.frontier.sqlite.waiting import Waiting
from crawlerd.frontier.sqlite.write import end_runs, write
from crawlerd.sink import Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from crawlerd.core.doubt import Expected
    from crawlerd.core.task import NewGather, NewTask
    from crawlerd.frontier.contract import Settled
    from crawlerd.frontier.sqlite.parents import Place
    from crawlerd.sink import SinkState, Totals

MAX_DELAY = 86_400.0  # seconds; a due time further off than this means that the clock was set back
PURGE_ROWS = 2_000  # rows of an ended run's `seen` that one commit drops, so that none stalls


class Frontier(Waiting):
    """The only writer of the frontier database; used by one thread. Call with the state lock held.

    Every method that changes something is one durable transaction. Raises StorageFailed when the disk is full or
    failing (the transaction is rolled back and the connection stays usable) and FrontierError for the rest.
    """

    def __init__(self, state_dir: Path, *, now: float) -> None:
        path = state_dir / FILE_NAME
        super().__init__(connect(path, mark=state_dir / MARK_NAME), path)
        self.quota_rows = QuotaRows(self._db)
        with storage_errors(self.path, self._db):
            self._names = Names(self._db)
            self._parents = Parents(self._db, self._names, self._execute)
            self._doubts = Doubts(self._db, self._execute)
            self._enqueuer = Enqueuer(self._db, self._names, self._parents, self._execute)
            self._sinks = Sinks(self._db)
            self._removal = Removal(self._db, self.accounts)
        self._inode = self.path.stat().st_ino
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
            if not self.path.exists() or self.path.stat().st_ino != self._inode:
                raise FrontierRefused(f"{self.path} was deleted, moved or replaced while it was in use")
            with storage_errors(self.path, self._db), transaction(self._db):
                yield
        except BaseException:
            self._names.forget()
            self._removal.rolled_back()
            raise

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
        numbers = self._names.accounts
        numbers |= changed
        return {name: numbers[name] for name in sources}

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
        sink: int = 0,
        why: str | None = None,
        streams: Sequence[str] = (),
        whole: Sequence[str] = (),
        setup: str = "",
        shrink: bool = False,
    ) -> StartedRun:
        """A new run with its first tasks and groups; without any it has ended at once. sink: see `attach`. why: why it
        is full, where nobody asked for that. streams, whole, setup, shrink: see `Doubts.begin`."""
        with self._transaction():
            run: int = self._db.execute(
                'INSERT INTO run(import, account, "full", state, started_at, sink, why) VALUES (?, ?, ?, ?, ?, ?, ?) '
                "RETURNING id",
                (import_name, account, full, "running", now, sink, why),
            ).get
            self._doubts.begin(run, streams, whole, setup=setup, shrink=shrink)
            change = Change(now)
            change.runs[run].open = 0
            members = self._enqueuer.open(change, [(run, account, gather, 0) for gather in gathers])
            self._enqueuer.add(change, [*((run, account, task, 0) for task in tasks), *members])
            return StartedRun(run, self._apply(change).ended)

    def run(self, number: int) -> Run:
        """KeyError when there is no such run."""
        for row in self._read(
            'SELECT id, import, account, "full", state, started_at, ended_at, again FROM run WHERE id = ?', number
        ):
            return Run(row[0], row[1], row[2], bool(row[3]), row[4], row[5], row[6], row[7] == 1)
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

    def cursors(self, import_name: str, sink: int = 0) -> dict[str, str]:
        """The import's published cursors for a sink, by stream."""
        return dict(self._read("SELECT stream, value FROM cursor WHERE import = ? AND sink = ?", import_name, sink))

    # doubts

    def doubted(self, import_name: str, sink: int) -> set[str]:
        """See `Doubts.standing`."""
        with storage_errors(self.path, self._db):
            return self._doubts.standing(import_name, sink)

    def expected(self, run: int, account: int, stream: str) -> Expected | None:
        """See `Doubts.expected`."""
        with storage_errors(self.path, self._db):
            return self._doubts.expected(run, account, stream)

    def let_shrink(self, runs: Sequence[int]) -> None:
        """However little these runs see from now on is accepted."""
        with self._transaction():
            self._execute(
                "UPDATE run SET shrink = 1 WHERE id IN (SELECT value->>0 FROM json_each(?))", ((run,) for run in runs)
            )

    # sinks; see `crawlerd.frontier.sqlite.sinks`

    @property
    def mark(self) -> Mark:
        """What is to be left in the sinks that are written before the next commit."""
        return Mark(self._sinks.frontier, self._sinks.commits + 1)

    def attach(self, name: str, state: SinkState, now: float) -> Attached:
        """See `Sinks.attach`."""
        with self._transaction():
            return self._abandoning(self._sinks.attach(name, state, now))

    def attach_receiver(self, import_name: str, identity: str | None, now: float) -> Attached:
        """See `Sinks.attach_receiver`."""
        with self._transaction():
            return self._abandoning(self._sinks.attach_receiver(import_name, identity, now))

    def bind(self, import_name: str, sink: int, now: float) -> list[int]:
        """See `Sinks.bind`."""
        with self._transaction():
            return self._abandoning(Attached(sink, self._sinks.bind(import_name, sink, now), None)).abandoned

    def news(self, import_name: str, sink: int) -> str | None:
        """See `Sinks.news`."""
        with storage_errors(self.path, self._db):
            return self._sinks.news(import_name, sink)

    def _abandoning(self, attached: Attached) -> Attached:
        self._parents.find()
        if attached.news or attached.abandoned:
            self._removal.find()
            self._purging += attached.abandoned
        return attached

    @property
    def chores(self) -> bool:
        """There are rows of ended runs that commits remove, some with each."""
        return bool(self._removal or self._purging or self._parents)

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
        written: Collection[int] = (),
        due: int = 500,
    ) -> Committed:
        """One transaction: the outcomes of a group of leased tasks, each with its children and counters, and up to
        `due` delayed tasks whose time has come. The group's records must be durable in their sinks already.

        blocked: buckets that may not be leased from before a Unix time. learned: by limiters, see `learned`. charge:
        writes to `quota_rows`. totals: of runs and streams, as their sinks have returned them. written: the sinks, by
        their numbers here, that have got the mark.
        """
        change = Change(now, blocked=blocked or {}, learned=learned or {}, totals=totals or {})
        children: list[tuple[int, int, NewTask, int]] = []
        gathers: list[tuple[int, int, NewGather, int]] = []
        parents: list[tuple[Place, bool]] = []
        counted: list[tuple[int, int, str, int, bool]] = []
        for settled in group:
            task, outcome = settled.task, settled.outcome
            if outcome is DONE and not task.group:  # the many from which nothing comes, at half the cost
                change.gone[task.bucket, task.priority].append(task.seq)
                change.done.append(task.run)
            elif type(outcome) is Complete:
                change.complete(task, outcome)
                if outcome.children:
                    children += [(task.run, settled.account, child, task.group) for child in outcome.children]
                if outcome.gathers:
                    gathers += [(task.run, settled.account, gather, task.group) for gather in outcome.gathers]
                if outcome.parents:
                    parents += [((task.run, settled.account, of, hash), whole) for of, hash, whole in outcome.parents]
                if outcome.counted:
                    counted += [(task.run, settled.account, *each) for each in outcome.counted]
            else:
                change.settle(task, self._names.kind(task.kind), outcome)
        with self._transaction():
            self._remove(change)
            self._parents.note(parents)
            self._doubts.count(counted)
            if gathers:  # what others wait for goes first
                children = self._enqueuer.open(change, gathers) + children
            self._enqueuer.add(change, children)
            self._wake(change, due)
            if charge is not None:
                charge()
            self._purge()
            self._removal.step()
            if written:
                self._sinks.note(written)
            committed = self._apply(change)
        if written:
            self._sinks.commits += 1
        return committed

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
            "DELETE FROM ready WHERE (bucket, priority, seq) IN (WITH gone AS MATERIALIZED "
            "(SELECT value->>0 AS bucket, value->>1 AS priority, value->2 AS tasks FROM json_each(?)) "
            "SELECT bucket, priority, value FROM gone, json_each(tasks))",
            sorted((*key, sorted(tasks)) for key, tasks in change.gone.items()),
        )
        if change.gone and self._db.changes() != sum(map(len, change.gone.values())):
            raise FrontierError(f"{self.path}: a task that was worked on is not in `ready`; nothing was written")

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
        borrowed = write(change, self._execute)
        ended = end_runs(change, self._execute)
        for run in ended:
            self._names.end_run(run)
        self._purging += ended
        task = self._names.task
        fresh = {bucket: [task(row) for row in sorted(rows)] for bucket, rows in change.fresh.items() if rows}
        return Committed(change.arrived, ended, borrowed, fresh)

    def _purge(self) -> None:
        if self._purging:
            run = self._purging[0]
            self._db.execute(
                "DELETE FROM seen WHERE run = ? AND key IN (SELECT key FROM seen WHERE run = ? LIMIT ?)",
                (run, run, PURGE_ROWS),
            )
            if not self._db.changes():
                self._purging.pop(0)
        self._parents.purge()
