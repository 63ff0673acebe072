"""The frontier as SQL: every change of state is one transaction here, and every statement works on a whole group."""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.errors import FrontierError, FrontierRefused, SyncFailed
from crawlerd.frontier.change import Change
from crawlerd.frontier.contract import MAX_DELAY, Bounds, Committed, LongRun, StartedRun
from crawlerd.frontier.sink_contract import NOWHERE
from crawlerd.frontier.sql import dead_rows, delayed_rows
from crawlerd.frontier.sql.accounts import Accounts
from crawlerd.frontier.sql.answer_rows import AnswerRows
from crawlerd.frontier.sql.cancel import Removal
from crawlerd.frontier.sql.closing import Closing
from crawlerd.frontier.sql.doubts import Doubts
from crawlerd.frontier.sql.enqueue import Enqueuer
from crawlerd.frontier.sql.event_rows import EventRows
from crawlerd.frontier.sql.figure_rows import FigureRows
from crawlerd.frontier.sql.names import Names
from crawlerd.frontier.sql.origins import Origins
from crawlerd.frontier.sql.outage_rows import note_outages
from crawlerd.frontier.sql.parents import Parents
from crawlerd.frontier.sql.pause_rows import PauseRows
from crawlerd.frontier.sql.queue_rows import QueueRows
from crawlerd.frontier.sql.quota_rows import SqlQuotaRows
from crawlerd.frontier.sql.run_control import RunControl
from crawlerd.frontier.sql.run_end import COUNT, RunCounts, end_runs
from crawlerd.frontier.sql.run_rows import LONG_RUNS, Runs
from crawlerd.frontier.sql.schedule_rows import put_note
from crawlerd.frontier.sql.sink_identity import Sinks
from crawlerd.frontier.sql.stages import Stages
from crawlerd.frontier.sql.submission_rows import SubmissionRows, once
from crawlerd.frontier.sql.waiting import UNKNOWN
from crawlerd.frontier.sql.write import write
from crawlerd.frontier.submission_contract import NO_CHUNK
from crawlerd.sink import Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from crawlerd.core.schedule_rules import ScheduleNote
    from crawlerd.core.task import NewGather, NewTask
    from crawlerd.frontier.contract import Ahead, OutageNote, Settled
    from crawlerd.frontier.sink_contract import Attached
    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.submission_contract import Chunk
    from crawlerd.frontier.waiting_contract import Block
    from crawlerd.sink import SharedTransaction, SinkState, Totals


class SqlFrontier(RunControl, SubmissionRows):
    """See `Frontier`. A database adds how its transactions, its errors and its files are."""

    shared: SharedTransaction | None = None

    def __init__(self, db: Database, name: str, *, now: float, bounds: Bounds) -> None:
        """name: of the database, for people."""
        super().__init__(db, name)
        self.quota_rows = SqlQuotaRows(self._db)
        with self._errors():
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
            self._figures = FigureRows(self._execute, self._names.kind, bounds.pace_seconds)
            self._events = EventRows(self._db)
            self._pauses = PauseRows(self._db, self._queues, self._events)
            self._answers = AnswerRows(self._db)
            self._removal = Removal(self._db, self._queues, bounds.slice)
            self._closing = Closing(self._db, self._execute)
        self._counts = RunCounts()
        self._counted: list[tuple[Change, Iterable[Any]]] = []  # changes of this transaction; rows of COUNT
        self._sound = True  # nothing has happened after which it must not be used
        self._stale = False  # what is remembered of rows may be of a transaction that was rolled back
        self._purge_rows = bounds.purge
        self._purging: list[int] = [  # never changed in place: a rollback brings the former one back
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
            self._db.execute("UPDATE delayed SET due_at = ? WHERE due_at > ?", (now, now + MAX_DELAY))

    @abstractmethod
    def _durably(self) -> AbstractContextManager[None]:
        """One transaction of the database, with its errors named."""

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        purging = self._purging
        try:
            self._stages.begin()
            with self._durably():
                if self._stale:
                    self._names.forget()
                    self._queues.rolled_back()
                    self._enqueuer.rolled_back()
                    self._stale = False
                yield
            self._events.done()
            self._figures.done()
            for change, rows in self._counted:
                self._counts.note(change, self._read_later(rows))
            self._counted.clear()
        except BaseException as error:
            self._stale, self._purging = True, purging
            self._events.rolled_back()
            self._figures.forget()
            self._removal.rolled_back()
            self._closing.forget()
            self._counts.forget()
            self._counted.clear()
            self._due = UNKNOWN
            self._stages.rolled_back()
            self._sound = self._sound and not isinstance(error, SyncFailed | FrontierRefused)
            raise

    def _finish(self) -> None:
        """Removes what is left to remove; what this does not, the next process does."""
        if (self._purging or self._figures.collected) and self._sound:
            with suppress(FrontierError), self._transaction():
                self._purge()
                self._figures.flush()

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
        with self._errors():
            return self._origins.elsewhere(import_name, origins)

    def news(self, import_name: str, sink: int) -> str | None:
        with self._errors():
            return self._origins.news(import_name) or self._sinks.news(import_name, sink)

    def _abandoning(self, attached: Attached) -> Attached:
        self._parents.find()
        if attached.news or attached.abandoned:
            self._left(attached.abandoned)
        return attached

    def _left(self, runs: list[int]) -> None:
        """What is left of these runs is to be removed."""
        self._stages.abandon()
        self._figures.drop(runs)
        self._counts.forget()
        self._removal.find()
        self._purging = [*self._purging, *runs]

    # changing tasks

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
            if change.gone:
                self._take_out(change)
            self._stages.put(ahead)
            self._stages.take_over(change, group, void)
            self._parents.note(change.parents)
            self._doubts.count(change.counted)
            children = change.children
            if change.gathers:  # what others wait for goes first
                children = self._enqueuer.open(change, change.gathers) + children
            self._enqueuer.add(change, children)
            unfolding, started = self._stages.unfolding, time.monotonic()
            self._stages.step(change)
            if change.now >= self._due:
                self._due = UNKNOWN
                delayed_rows.wake(self._db, change, due)
            if charge is not None:
                charge()
            purged = self._purge()
            if self._removal:
                self._removal.step()
                self._counts.forget()
                self._due = UNKNOWN
            if written:
                self._sinks.note(written)
            if outages:
                self._events.outages(outages, now)
                note_outages(self._db, outages)
            self._closing.close(group)
            committed = self._apply(change)
            long = self._execute_later(LONG_RUNS, ((run,) for run in self._counts.could_be_long(change)))
            if unfolding:
                self._stages.took(time.monotonic() - started)
        self._purging = self._purging[purged:]
        if written:
            self._sinks.commits += 1
        return committed._replace(long=[LongRun(*row) for row in self._read_later(long)])

    def _execute(self, statement: str, rows: Iterable[Sequence[object]]) -> list[Any]:
        """Runs a statement once for all `rows`, which it reads as json_each(?); not at all when there are none."""
        values = list(rows)
        return list(self._db.execute(statement, (msgspec.json.encode(values).decode(),))) if values else []

    def _execute_later(self, statement: str, rows: Iterable[Sequence[object]]) -> Iterable[Any]:
        return self._execute(
            statement, rows
        )  # for rows that are read with `_read_later` when the transaction has ended

    def _read_later(self, rows: Iterable[Any]) -> list[Any]:
        return list(rows)  # none where the transaction was written, but no answer came

    @abstractmethod
    def _take_out(self, change: Change) -> None:
        """Removes the tasks in `change.gone` from `ready`. TaskNotReady when not all were there."""

    def _apply(self, change: Change) -> Committed:
        """Writes what a change has gathered, and ends the runs that have nothing open any more."""
        borrowed = write(change, self._execute, self._queues)
        self._due = min(self._due, change.due)
        counts = ((run, *counts.row()) for run, counts in change.runs.items())
        self._counted.append((change, self._execute_later(COUNT, counts)))
        self._figures.write(change)
        self._events.write()
        if any(counts.dead for counts in change.runs.values()):
            self._closing.forget()
        ended = end_runs(self._counts.could_end(change), change.now, self._execute)
        self._figures.end(ended)
        for run in ended:
            self._names.end_run(run)
        self._purging = [*self._purging, *ended] if ended else self._purging
        task = self._names.task
        fresh = {queue: [task(row) for row in sorted(rows)] for queue, rows in change.fresh.items() if rows}
        return Committed(change.arrived, ended, borrowed, fresh, (), change.enqueued, change.first_letters)

    def _purge(self) -> int:
        """Removes a slice of the keys and queues of runs that have ended: of as many runs as it takes, or those of
        small runs would pile up. How many of them have none left; they are to be forgotten when the transaction has
        ended."""
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
