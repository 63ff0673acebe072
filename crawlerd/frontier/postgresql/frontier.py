"""The frontier on PostgreSQL: who writes it, how a transaction ends, and what costs a round trip."""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import psycopg

from crawlerd.core.errors import FrontierRefused, StartAgain, StorageFailed
from crawlerd.core.task import Task
from crawlerd.frontier.contract import Bounds
from crawlerd.frontier.letter_contract import Copied
from crawlerd.frontier.postgresql import holder, migrations
from crawlerd.frontier.postgresql.database import Connection, Result
from crawlerd.frontier.postgresql.dialect import Array
from crawlerd.frontier.postgresql.holder import NODE
from crawlerd.frontier.postgresql.session import SESSION, connect, errors, older_state, taken_over
from crawlerd.frontier.postgresql.shared_transaction import ServerTransaction
from crawlerd.frontier.postgresql.vacuum import Vacuum
from crawlerd.frontier.sql.frontier import SqlFrontier
from crawlerd.frontier.sql.waiting import BUCKET
from crawlerd.frontier.sqlite.database import write_mark
from crawlerd.frontier.waiting_contract import Bucket, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from crawlerd.frontier.change import Change
    from crawlerd.frontier.postgresql.session import Place
    from crawlerd.frontier.waiting_contract import Key, Queue

LOOK_SECONDS = 0.2  # between two tries to find out
UNKNOWN_SECONDS = 20.0  # that the outcome of a COMMIT without an answer is looked for

_GONE = """WITH gone AS (DELETE FROM ready WHERE (bucket, run, priority, seq) IN
(SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?)) RETURNING 1)
SELECT expect_tasks(count(*), ?2) FROM gone"""
_HEADS = """
SELECT wanted.key, head.seq, head.bucket, head.priority, head.run, kind.name, head.attempt, head.payload, head.crashes,
    head.grp, head.refused, head.chain
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    WITH ORDINALITY AS wanted(bucket, run, priority, seq, most, key)
CROSS JOIN LATERAL (
    SELECT * FROM ready WHERE ready.bucket = wanted.bucket AND ready.run = wanted.run
    AND (ready.priority, ready.seq) > (wanted.priority, wanted.seq)
    ORDER BY ready.priority, ready.seq LIMIT wanted.most
) AS head JOIN kind ON kind.id = head.kind ORDER BY wanted.key, head.priority, head.seq
"""
_MOST_OWN = 1_000  # connections that are remembered


class _Begun(NamedTuple):
    """A transaction that has begun. number: the count of it."""

    pipeline: ExitStack
    number: Result


class PostgresFrontier(SqlFrontier):
    """See `Frontier`. Call with the state lock held.

    Each transaction counts itself in the row of this node, in the epoch that this process has taken. Where no answer to
    a COMMIT comes, the next connection takes another epoch: that waits for the transaction to end, and lets none of the
    old epoch begin. Then the count says whether it was written.
    """

    _db: Connection

    def __init__(
        self,
        place: Place,
        *,
        now: float,
        bounds: Bounds = Bounds(),  # noqa: B008 - frozen
        mark: Path | None = None,
    ) -> None:
        """mark: the file that names the frontier that belongs there; made when there is none."""
        self._place = place
        db = Connection(connect(place))
        try:
            with errors(place):
                migrations.migrate(place, db.session)
                if mark:
                    _compare(place, mark, db.execute("SELECT id FROM frontier").get)
                holder.refuse_held(place, db.session)
                self._own = deque([holder.itself(db.session)], _MOST_OWN)
                self._epoch, self._commits = holder.take(place, db.session)
            self._db, self._vacuum = db, Vacuum(place)
            self._begun: _Begun | None = None  # by a sink; the next transaction goes on with it
            settings = {**SESSION, "search_path": f'"{place.schema}"'}
            self.shared: ServerTransaction = ServerTransaction(
                self._begin_shared, self._roll_back_shared, lambda: holder.itself(db.session), settings
            )
            super().__init__(db, str(place), now=now, bounds=bounds)
        except BaseException:
            db.session.close()
            raise
        db.reopen, db.away = self._reconnect, lambda trouble: self.away(trouble)
        db.stopping = self.stopping

    def _errors(self) -> AbstractContextManager[None]:
        return errors(self._place)

    @contextmanager
    def _durably(self) -> Iterator[None]:
        written = False
        try:
            with self._errors():
                with self._one_transaction():
                    yield
                written = True
        finally:
            self.shared.end(written=written)

    @contextmanager
    def _one_transaction(self) -> Iterator[None]:
        if self._begun is None:
            self._reconnect()
        session = self._db.session
        ending = False
        try:
            begun, self._begun = self._begun or self._begin(), None
            with begun.pipeline:
                yield
                ending = True
                session.execute("COMMIT", prepare=False)
        except psycopg.Error as error:
            if not ending or not self._unknown(error):
                self._undo(session)
                raise
            session.close()
            if not self._committed():
                raise
        except BaseException:
            self._undo(session)
            raise
        else:
            self._commits = begun.number.get

    def _begin(self) -> _Begun:
        with ExitStack() as stack:
            stack.enter_context(self._db.pipelined())
            self._db.session.execute("BEGIN", prepare=False)
            number = self._db.execute("SELECT begin_commit(?, ?)", (NODE, self._epoch))
            return _Begun(stack.pop_all(), number)

    def _begin_shared(self) -> psycopg.Connection[Any]:
        """Begins the transaction for a sink, unless it has begun."""
        with self._errors():
            if self._begun is None:
                try:
                    self._begin_settled()
                except psycopg.OperationalError:
                    if not self._db.session.closed:
                        raise
                    self._begin_settled()  # the server had ended the session while it was idle
            return self._db.session

    def _begin_settled(self) -> None:
        """Begins a transaction, and waits for that: an error is not the sink's."""
        self._reconnect()
        session = self._db.session
        begun = None
        try:
            begun = self._begin()
            self._db.settle()
        except BaseException:
            if begun:
                with suppress(psycopg.Error):
                    begun.pipeline.close()
            self._undo(session)
            raise
        self._begun = begun

    def _roll_back_shared(self) -> None:
        begun, self._begun = self._begun, None
        if begun:
            with suppress(psycopg.Error):
                begun.pipeline.close()
            self._undo(self._db.session)

    def _reconnect(self) -> None:
        """Opens another connection where the last one is broken."""
        if not (self._db.session.closed or self._db.session.broken):
            return
        session = connect(self._place)
        self._db.session.close()
        self._db.session = session
        before, self._db.reopen = self._commits, None  # one attempt
        try:
            self._take_over()
        except BaseException:
            session.close()  # or it would be used without an epoch
            raise
        finally:
            self._db.reopen = self._reconnect
        if self._commits < before:
            raise older_state(self._place)

    def _take_over(self) -> None:
        """Another epoch. The last connection is ended at the server, and its transaction is waited for. FrontierRefused
        where the last one was not of this process."""
        self._own.append(holder.itself(self._db.session))
        taken = holder.take_next(self._db.session, self._own)
        if taken is None:
            commits = self._db.execute("SELECT commits FROM node WHERE id = ?", (NODE,)).get
            if commits is None or commits < self._commits:
                raise older_state(self._place)
            raise taken_over(self._place)
        self._epoch, self._commits = taken

    def _committed(self) -> bool:
        """Whether a transaction was written, to whose COMMIT no answer came."""
        number, until = self._commits + 1, time.monotonic() + UNKNOWN_SECONDS
        while True:
            try:
                with self._errors():
                    self._reconnect()
                return bool(self._commits >= number)
            except StartAgain:
                raise
            except StorageFailed as error:
                self.away(str(error))
                if time.monotonic() > until or self.stopping.wait(LOOK_SECONDS):
                    raise StartAgain(
                        f"{error}; it is not known whether the last group was written: start again, which finds out"
                    ) from None

    @staticmethod
    def _unknown(error: psycopg.Error) -> bool:
        """Whether the transaction may have been written although its COMMIT has failed: no answer came, or the server
        has ended the session, which it also does while a COMMIT waits for a standby."""
        return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))

    def _undo(self, session: psycopg.Connection[Any]) -> None:
        """After an error. The connection is used on only where it is certain that nothing was written."""
        with suppress(psycopg.Error):
            if not session.broken and session.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                session.execute("ROLLBACK")
            if session.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                return
        session.close()

    def _execute(self, statement: str, rows: Iterable[Sequence[object]]) -> list[Any]:
        return list(self._execute_later(statement, rows))

    def _execute_later(self, statement: str, rows: Iterable[Sequence[object]]) -> Iterable[Any]:
        values = [tuple(row) for row in rows]
        return self._db.for_rows(statement, values) if values else []

    def _read_later(self, rows: Iterable[Any]) -> list[Any]:
        try:
            return list(rows)
        except psycopg.Error:  # no answer came to the COMMIT
            return []

    def _take_out(self, change: Change) -> None:
        rows = [(*key, seq) for key, tasks in sorted(change.gone.items()) for seq in sorted(tasks)]
        self._db.for_rows(_GONE, rows, len(rows))
        self._vacuum.deleted(len(rows))

    def close(self) -> None:
        self.shared.give_up()
        self._finish()
        self._vacuum.close()
        with suppress(psycopg.Error):
            holder.give_up(self._db.session, self._epoch)
        with suppress(psycopg.Error):
            self._db.session.close()

    def idle(self) -> bool:
        try:
            self._rest()
        except StorageFailed as error:
            if not error.full:
                raise
            return False
        return True

    def scrub(self, most_bytes: int | None) -> str | None:
        with self._errors():
            self._reconnect()
            for (table,) in list(
                self._db.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
            ):
                self._db.session.execute(f'VACUUM "{table}"'.encode())
        return "the server's write-ahead log and its backups may still have what was deleted"

    # reading by many queues at once: a statement costs a round trip

    def heads(self, queue: Queue, after: Key, count: int) -> list[Task]:
        return self.heads_many([Wanted(queue, after, count)])[0]

    def heads_many(self, wanted: Sequence[Wanted]) -> list[list[Task]]:
        found: list[list[Task]] = [[] for _ in wanted]
        rows = [(*each.queue, *each.after, each.most) for each in wanted]
        if rows:
            for place, *task in self._fetch(_HEADS, [list(column) for column in zip(*rows, strict=True)]):
                found[place - 1].append(Task(*task))
        return found

    def buckets(self, numbers: Sequence[int]) -> list[Bucket]:
        rows = self._read(
            f"SELECT {BUCKET} FROM json_each(?) AS j JOIN bucket ON bucket.id = j.value",  # noqa: S608 - our own text
            msgspec.json.encode(list(numbers)).decode(),
        )
        known = {row[0]: Bucket(*row) for row in rows}
        return [known[number] for number in numbers]

    def queues_of(self, runs: Sequence[int]) -> list[tuple[Bucket, int]]:
        rows = self._read(
            f"SELECT {BUCKET}, queue.run FROM json_each(?) AS j JOIN queue ON queue.run = j.value "  # noqa: S608 - our own text
            "JOIN bucket ON bucket.id = queue.bucket "
            "WHERE queue.ready > 0 AND queue.paused = 0 AND bucket.paused = 0 ORDER BY j.key",
            msgspec.json.encode(list(runs)).decode(),
        )
        return [(Bucket(*bucket), run) for *bucket, run in rows]

    def runs_of(self, buckets: Sequence[int]) -> list[list[int]]:
        rows = self._read(
            "SELECT queue.bucket, queue.run FROM json_each(?) AS j JOIN queue ON queue.bucket = j.value "
            "WHERE queue.ready > 0 AND queue.paused = 0",
            msgspec.json.encode(list(buckets)).decode(),
        )
        found: dict[int, list[int]] = {}
        for bucket, run in rows:
            found.setdefault(bucket, []).append(run)
        return [found.get(bucket, []) for bucket in buckets]

    def _fetch(self, statement: str, arrays: list[list[int]]) -> list[tuple[Any, ...]]:
        """A statement of PostgreSQL's own."""
        with self._errors():
            return list(self._db.raw(statement, [Array("bigint", each) for each in arrays]))

    def copied_letters(self, most: int, most_bytes: int) -> list[Copied]:
        found: list[Copied] = []
        total = 0
        for number, text in self._read("SELECT number, letter FROM unspooled ORDER BY number LIMIT ?", most):
            letter = msgspec.json.decode(text)
            attempts = self._read(
                "SELECT at, seconds, status, method, url, error FROM attempt WHERE seq = ? ORDER BY number",
                letter["id"],
            )
            names = ("at", "seconds", "status", "method", "url", "error")
            letter |= {"letters": 1, "history": [dict(zip(names, each, strict=True)) for each in attempts]}
            found.append(Copied(number, msgspec.json.encode(letter)))
            total += len(found[-1].letter)
            if total >= most_bytes:
                break
        return found


def _compare(place: Place, mark: Path, identity: str) -> None:
    noted = mark.read_text().strip() if mark.exists() else ""
    if noted and noted != identity:
        raise FrontierRefused(
            f"{place} is another frontier than the one that was used with {mark.parent}: take the right URL, or accept "
            f"this one by removing {mark}"
        )
    if not noted:
        write_mark(mark, identity)
