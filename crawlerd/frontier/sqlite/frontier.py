"""The frontier on SQLite. Every change of state is one transaction, and every statement works on a whole group."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.errors import FrontierError, FrontierRefused, StorageFailed, SyncFailed
from crawlerd.frontier.change import Change
from crawlerd.frontier.contract import MAX_DELAY, NOWHERE, Bounds, Committed, StartedRun
from crawlerd.frontier.sqlite import dead_rows
from crawlerd.frontier.sqlite.accounts import Accounts
from crawlerd.frontier.sqlite.answer_rows import AnswerRows
from crawlerd.frontier.sqlite.cancel import Removal
from crawlerd.frontier.sqlite.closing import Closing
from crawlerd.frontier.sqlite.database import FILE_NAME, MARK_NAME, connect, shrink_log, storage_errors, transaction
from crawlerd.frontier.sqlite.doubts import Doubts
from crawlerd.frontier.sqlite.enqueue import Enqueuer
from crawlerd.frontier.sqlite.event_rows import EventRows
from crawlerd.frontier.sqlite.figure_rows import FigureRows
from crawlerd.frontier.sqlite.names import Names
from crawlerd.frontier.sqlite.origins import Origins
from crawlerd.frontier.sqlite.outage_rows import note_outages
from crawlerd.frontier.sqlite.parents import Parents
from crawlerd.frontier.sqlite.pause_rows import PauseRows
from crawlerd.frontier.sqlite.queue_rows import QueueRows
from crawlerd.frontier.sqlite.quota_rows import SqliteQuotaRows
from crawlerd.frontier.sqlite.run_control import RunControl
from crawlerd.frontier.sqlite.run_end import end_runs
from crawlerd.frontier.sqlite.run_rows import Runs
from crawlerd.frontier.sqlite.schedule_rows import put_note
from crawlerd.frontier.sqlite.sink_identity import Sinks
from crawlerd.frontier.sqlite.stages import Stages
from crawlerd.frontier.sqlite.submission_rows import SubmissionRows, once
from crawlerd.frontier.sqlite.write import write
from crawlerd.frontier.submission_contract import NO_CHUNK
from crawlerd.sink import Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from crawlerd.core.schedule_rules import ScheduleNote
    from crawlerd.core.task import NewGather, NewTask
    from crawlerd.frontier.contract import Ahead, Attached, OutageNote, Settled
    from crawlerd.frontier.submission_contract import Chunk
    from crawlerd.frontier.waiting_contract import Block
    from crawlerd.sink import SinkState, Totals


class SqliteFrontier(RunControl, SubmissionRows):
    """See `Frontier`. Construct it with the state lock held."""

    def __init__(self, state_dir: Path, *, now: float, bounds: Bounds = Bounds()) -> None:  # noqa: B008 - frozen
        path = state_dir / FILE_NAME
        super().__init__(connect(path, mark=state_dir / MARK_NAME), path)
        self.quota_rows = SqliteQuotaRows(self._db)
        with storage_errors(self.path, self._db):
            self._names = Names(self._db, bounds.names)
            self._accounts = Accounts(self._db, self._read, self._execute)
            self._runs = Runs(self._db, self._read, self._execute)
            self._parents = Parents(self._db, self._names, self._execute, bounds.purge)
            self._doubts = Doubts(self._db, self._execute)
            self._enqueuer = Enqueuer(self._db, self._names, self._parents, self._execute)
            self._stages = Stages(self._db, self._enqueuer, bounds.stages)
            self._sinks = Sinks(self._db)
            self._origins = Origins(self._db)
            self._queues = QueueRows(self._db, self._execute)
            self._figures = FigureRows(self._execute, self._names.kind)
            self._events = EventRows(self._db)
            self._pauses = PauseRows(self._db, self._queues, self._events)
            self._answers = AnswerRows(self._db)
            self._removal = Removal(self._db, self._queues, bounds.slice)
            self._closing = Closing(self._db, self._execute)
        self._sound = True  # False after an error after which the frontier must not be used
        self._inode = self.path.stat().st_ino
        self._purge_rows = bounds.purge
        self._purging: list[int] = [
            run
            for (run,) in self._read(
                "SELECT id FROM run WHERE state <> 'running' AND (EXISTS (SELECT 1 FROM seen WHERE run = run.id) "
                "OR id IN (SELECT run FROM queue WHERE ready = 0))"
            )
        ]
        with self._transaction():
            self._db.execute("UPDATE account SET refused = NULL WHERE refused IS NOT NULL")
            self._db.execute("UPDATE bucket SET blocked_until = 0 WHERE blocked_until > ?", (now + MAX_DELAY,))
            self.quota_rows.bring_back(now)
            self.quota_rows.ask_again(now)
            dead_rows.adopt(self._db, self._execute)
            self._db.execute("UPDATE OR REPLACE delayed SET due_at = ? WHERE due_at > ?", (now, now + MAX_DELAY))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            if not self.path.exists() or self.path.stat().st_ino != self._inode:
                raise FrontierRefused(f"{self.path} was deleted, moved or replaced while it was in use")
            self._stages.begin()
            with storage_errors(self.path, self._db), transaction(self._db):
                yield
            self._events.done()
        except BaseException as error:
            self._events.rolled_back()
            self._names.forget()
            self._figures.forget()
            self._queues.rolled_back()
            self._removal.rolled_back()
            self._closing.forget()
            self._stages.rolled_back()
            self._sound = self._sound and not isinstance(error, SyncFailed | FrontierRefused)
            raise

    def close(self) -> None:
        if self._purging and self._sound:
            with suppress(FrontierError), self._transaction():  # the next process removes what is left
                self._purge()
        with storage_errors(self.path, self._db):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()

    # accounts

    def account(self, name: str, source: str) -> int:
        return self.account_numbers({name: source})[name]

    def account_numbers(self, sources: Mapping[str, str]) -> dict[str, int]:
        known = self._accounts.known(sources)
        new = {name: source for name, source in sources.items() if name not in known}
        if new:
            with self._transaction():
                known |= self._accounts.add(new)
        return {name: known[name] for name in sources}

    def account_name(self, number: int) -> str:
        return self._accounts.name(number)

    def bucket_number(self, account: int, name: str) -> int:
        with self._transaction():
            return self._names.bucket(account, name)

    def identities(self, accounts: Sequence[int]) -> list[str | None]:
        return self._accounts.identities(accounts)

    def confirm(self, account: int, identity: str) -> str | None:
        with self._transaction():
            return self._accounts.confirm(account, identity)

    def refuse(self, account: int, reason: str, now: float) -> None:
        with self._transaction():
            if self._accounts.refuse(account, reason):
                self._events.of_account(account, f"credentials are refused: {reason}", now)

    def accept(self, account: int, now: float) -> None:
        with self._transaction():
            if self._accounts.refuse(account, None):
                self._events.of_account(account, "the credentials work again", now)

    # runs

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
        ad_hoc: str | None = None,
        added: Sequence[str] = (),
        began: str = "",
        schedule: ScheduleNote | None = None,
        sample: int | None = None,
        part: str | None = None,
        submitted: bool = False,
        chunk: Chunk = NO_CHUNK,
    ) -> StartedRun:
        with self._transaction():
            run = self._runs.begin(
                import_name,
                account,
                full=full,
                now=now,
                sink=sink,
                why=why,
                ad_hoc=ad_hoc,
                added=added,
                began=began,
                sample=sample,
                part=part,
                submitted=submitted,
            )
            self._pauses.again([run])
            if schedule is not None:
                put_note(self._db, import_name, schedule)
            if ad_hoc is None:
                self._doubts.begin(run, streams, whole, setup=setup, shrink=shrink)
            self._note(chunk, now, run)
            if submitted:
                tasks = [once(task) for task in tasks]
            change = Change(now)
            change.runs[run].open = 0
            change.figures.begins(run, tasks, gathers)
            members = self._enqueuer.open(change, [(run, account, gather, 0) for gather in gathers])
            self._enqueuer.add(change, [*((run, account, task, 0) for task in tasks), *members])
            return self._answers.done(StartedRun(run, self._apply(change).ended, change.enqueued[run]))

    # sinks

    @property
    def mark(self) -> Mark:
        return Mark(self._sinks.frontier, self._sinks.commits + 1)

    def attach(self, name: str, state: SinkState, now: float) -> Attached:
        with self._transaction():
            return self._abandoning(self._sinks.attach(name, state, now))

    def attach_receiver(self, import_name: str, identity: str | None, now: float) -> Attached:
        with self._transaction():
            return self._abandoning(self._sinks.attach_receiver(import_name, identity, now))

    def bind(
        self,
        import_name: str,
        sink: int,
        now: float,
        origins: Mapping[str, str] = NOWHERE,
        *,
        ad_hoc: bool = False,
    ) -> Attached:
        with self._transaction():
            moved = self._origins.note(import_name, origins, ad_hoc=ad_hoc)
            return self._abandoning(self._sinks.bind(import_name, sink, now, moved))

    def elsewhere(self, import_name: str, origins: Mapping[str, str]) -> set[str]:
        with storage_errors(self.path, self._db):
            return self._origins.elsewhere(import_name, origins)

    def news(self, import_name: str, sink: int) -> str | None:
        with storage_errors(self.path, self._db):
            return self._origins.news(import_name) or self._sinks.news(import_name, sink)

    def _abandoning(self, attached: Attached) -> Attached:
        self._parents.find()
        if attached.news or attached.abandoned:
            self._left(attached.abandoned)
        return attached

    def _left(self, runs: list[int]) -> None:
        """Call when runs were cancelled: their tasks must be removed."""
        self._stages.abandon()
        self._removal.find()
        self._purging += runs

    # changing tasks

    def idle(self) -> bool:
        try:
            with storage_errors(self.path, self._db):
                return shrink_log(self._db)
        except StorageFailed as error:
            if not error.full:
                raise
            return False

    @property
    def chores(self) -> bool:
        return bool(self._stages or self._removal or self._purging or self._parents)

    def commit(
        self,
        group: Sequence[Settled],
        *,
        now: float,
        blocked: Mapping[int, Block] | None = None,
        learned: Mapping[str, object] | None = None,
        charge: Callable[[], None] | None = None,
        totals: Mapping[tuple[int, str], Totals] | None = None,
        written: Collection[int] = (),
        ahead: Sequence[Ahead] = (),
        void: Sequence[tuple[int, int]] = (),
        outages: Mapping[tuple[str, int], OutageNote | None] | None = None,
        due: int = 500,
    ) -> Committed:
        change = Change(now, blocked=blocked or {}, learned=learned or {}, totals=totals or {})
        change.take(group, self._names.kind)
        with self._transaction():
            self._remove(change)
            self._stages.put(ahead)
            self._stages.take_over(change, group, void)
            self._parents.note(change.parents)
            self._doubts.count(change.counted)
            children = change.children
            if change.gathers:  # groups first, since tasks refer to them
                children = self._enqueuer.open(change, change.gathers) + children
            self._enqueuer.add(change, children)
            unfolding, started = self._stages.unfolding, time.monotonic()
            self._stages.step(change)
            self._wake(change, due)
            if charge is not None:
                charge()
            purged = self._purge()
            self._removal.step()
            if written:
                self._sinks.note(written)
            if outages:
                self._events.outages(outages, now)
                note_outages(self._db, outages)
            self._closing.close(group)
            committed = self._apply(change)
            if unfolding:
                self._stages.took(time.monotonic() - started)
        del self._purging[:purged]
        if written:
            self._sinks.commits += 1
        return committed

    def _execute(self, statement: str, rows: Iterable[Sequence[object]]) -> list[Any]:
        """Runs a statement once for all `rows`, which it reads as json_each(?). Does nothing when there are no rows."""
        values = list(rows)
        return list(self._db.execute(statement, (msgspec.json.encode(values).decode(),))) if values else []

    def _remove(self, change: Change) -> None:
        self._execute(
            "DELETE FROM ready WHERE (bucket, run, priority, seq) IN (WITH gone AS MATERIALIZED "
            "(SELECT value->>0 AS bucket, value->>1 AS run, value->>2 AS priority, value->3 AS tasks "
            "FROM json_each(?)) "
            "SELECT bucket, run, priority, value FROM gone, json_each(tasks))",
            sorted((*key, sorted(tasks)) for key, tasks in change.gone.items()),
        )
        if change.gone and self._db.changes() != sum(map(len, change.gone.values())):
            raise FrontierError(f"{self.path}: a task that was worked on is not in `ready`; nothing was written")

    def _wake(self, change: Change, limit: int) -> None:
        """Moves up to `limit` delayed tasks whose time has come to `ready`."""
        for seq, bucket, priority, run, kind, attempt, payload, group, refused, chain in self._db.execute(
            "DELETE FROM delayed WHERE (due_at, seq) IN "
            "(SELECT due_at, seq FROM delayed WHERE due_at <= ? ORDER BY due_at, seq LIMIT ?) "
            "RETURNING seq, bucket, priority, run, kind, attempt, payload, grp, refused, chain",
            (change.now, limit),
        ):
            change.make_ready(bucket, priority, seq, run, kind, attempt, payload, group, refused, chain)
            change.runs[run].delayed -= 1

    def _apply(self, change: Change) -> Committed:
        """Writes a change, and ends the runs that have no open tasks any more."""
        borrowed = write(change, self._execute, self._queues)
        self._figures.write(change)
        self._events.write()
        long = self._runs.long(change.runs) if change.done else []
        if any(counts.dead for counts in change.runs.values()):
            self._closing.forget()
        ended = end_runs(change, self._execute)
        self._figures.end(ended)
        for run in ended:
            self._names.end_run(run)
        self._purging += ended
        task = self._names.task
        fresh = {queue: [task(row) for row in sorted(rows)] for queue, rows in change.fresh.items() if rows}
        return Committed(change.arrived, ended, borrowed, fresh, long, change.enqueued, change.first_letters)

    def _purge(self) -> int:
        """Removes a slice of the keys and queues of ended runs. A slice may cover several runs: otherwise those of many
        small runs would accumulate. Returns how many runs have none left; the caller must forget these after the
        transaction."""
        left, done = self._purge_rows, 0
        while left > 0 and done < len(self._purging):
            run = self._purging[done]
            self._db.execute(
                "DELETE FROM seen WHERE run = ?1 AND key IN (SELECT key FROM seen WHERE run = ?1 LIMIT ?2)", (run, left)
            )
            gone = self._db.changes()
            if gone < left:
                gone += self._queues.purge(run, left - gone)
            done += gone < left
            left -= gone + 1
        self._parents.purge()
        return done
