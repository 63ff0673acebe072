"""The connection of a PostgreSQL sink: pipelined transactions, and protection from transactions of a connection that
was given up.

A COMMIT whose answer was lost may have been done, or may still be done. The next connection takes a new epoch. For this
it waits until the old transaction has ended; one that has not begun yet is refused afterwards. Then it is certain what
was written. The same deliveries are written again, which changes nothing that exists already.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format, TransactionStatus

from crawlerd.postgres import LONG_SECONDS, Session, set_up
from crawlerd.sink import SinkError, SinkReplaced, SinkState
from crawlerd.sinks.postgresql import relations
from crawlerd.sinks.postgresql.failures import ANOTHER, FENCED, Place, failure
from crawlerd.sinks.postgresql.statements import PINS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg.abc import Params

    from crawlerd.sink import Mark, SharedTransaction

# within which the server must handle what a transaction sends; a frozen one would otherwise stop all sinks
ANSWER_SECONDS = 30.0
LOCK_TIMEOUT = "1s"  # short, since other sinks wait meanwhile
# after an attempt, nothing is tried for this many times as long as it took, so that others get the thread's time
REST = 4

_SESSION = {
    "application_name": "crawlerd",
    "client_min_messages": "warning",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "10s",  # a frozen daemon must not keep its locks
    "lock_timeout": LOCK_TIMEOUT,
    "synchronous_commit": "on",
    "tcp_user_timeout": "10s",
    "TimeZone": "UTC",
    "work_mem": "64MB",  # the objects of one statement stay in memory
}
_MARK = """INSERT INTO _crawlerd_frontier VALUES (%s, %s)
ON CONFLICT (frontier) DO UPDATE SET number = excluded.number"""
_NUMBER = "SELECT number FROM _crawlerd_frontier WHERE frontier = %s"
_EPOCH = """INSERT INTO _crawlerd_writer AS w VALUES (%s, 1, pg_backend_pid())
ON CONFLICT (name) DO UPDATE SET epoch = w.epoch + 1, pid = excluded.pid RETURNING epoch"""
_END_OTHER = """SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN _crawlerd_writer w ON w.pid = a.pid
WHERE w.name = %s AND a.application_name = 'crawlerd' AND a.usename = current_user AND a.pid <> pg_backend_pid()"""
_LOST = """SELECT name FROM _crawlerd_stream WHERE counted <> -1
AND to_regclass(quote_ident(name)) IS NULL"""
_FENCE = "SELECT _crawlerd_begin(%s::text, %s::text, %s::bigint)"
_SAME = """SELECT 1 FROM pg_stat_activity WHERE pid = %s::bigint AND backend_start = %s::text::timestamptz
AND datname = current_database() AND usename = current_user"""
LOCK = "SELECT pg_advisory_xact_lock(hashtext('crawlerd'), hashtext(current_schema()))"


class Text(bytes):
    """UTF-8 bytes that are sent unchanged as text."""


class _TextDumper(Dumper):
    format, oid = Format.TEXT, 25

    def dump(self, obj: bytes) -> bytes:
        return bytes(obj)


class _LentCursor(psycopg.Cursor[Any]):
    """A cursor of a session that belongs to the frontier, with values as the sink's statements give and expect them."""

    def __init__(self, session: psycopg.Connection[Any], adapters: AdaptersMap | None) -> None:
        self._its = adapters
        super().__init__(session)

    @property
    def adapters(self) -> AdaptersMap:
        return self._its or super().adapters


class Connection(Session):
    patience = ANSWER_SECONDS


class Database:
    """The database of a sink. Used by one thread.

    generation: changes with each connection; then everything known of the tables is looked up again.
    """

    def __init__(self, place: Place, name: str) -> None:
        """Connects, and makes what is missing. Raises SinkError if that is not possible.

        name: the sink's name in the configuration.
        """
        self.place, self._name = place, name
        self._writer, self._epoch = "", 0
        self._marked: dict[str, int] = {}  # the last durable mark of each frontier
        self._replaced: str | None = None
        self._connection: Connection | None = None
        self._rest: tuple[float, SinkError] | None = None
        self.generation = 0
        self.identity = ""
        self._shared: SharedTransaction | None = None
        self._undone: Callable[[], None] = lambda: None
        self._lent: Any = None  # the frontier's session, while a part of the shared transaction is written
        self._adapters: AdaptersMap | None = None
        self._unconfirmed: dict[str, int] = {}  # marks in the shared transaction
        self._connect()

    def join(self, shared: SharedTransaction, undone: Callable[[], None]) -> bool:
        """Writes in that transaction from now on, if it is one of the same database and role. Returns whether it is.
        undone: called when what was written was undone with it. Raises SinkError if the server cannot be reached."""
        with self.apart() as connection:
            same = connection.execute(_SAME, shared.backend()).fetchone()
            self._adapters = connection.adapters
        if same:
            self._shared, self._undone = shared, undone
        return same is not None

    def execute(self, query: str, parameters: Params | None = None) -> psycopg.Cursor[Any]:
        """Executes a statement within a transaction, without waiting for its end."""
        if self._lent is not None:
            return _LentCursor(self._lent, self._adapters).execute(query.encode(), parameters)
        assert self._connection is not None  # noqa: S101 - there is one in a transaction
        return self._connection.execute(query.encode(), parameters)

    def patient(self) -> None:
        """Lets the transaction take a long time."""
        if self._lent is not None:
            self._lent.patience = LONG_SECONDS
            return
        assert self._connection is not None  # noqa: S101 - as above
        self._connection.patience = LONG_SECONDS

    def close(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    @contextmanager
    def transaction(self, mark: Mark | None = None) -> Iterator[None]:
        """Durable at its end, with the mark, or nothing is written; if the server does not answer, the result is
        unknown. Raises SinkError for all errors of PostgreSQL."""
        if self._shared and (mark or self._shared.begun):
            with self._failures_named(), self._part(self._shared, mark):
                yield
            return
        connection = self._ready()
        try:
            with self._failures_named(), connection.pipeline():
                connection.execute("BEGIN")
                with self._fenced(mark):
                    yield
                connection.execute("COMMIT")
        except BaseException:
            self._undo(connection)
            raise
        finally:
            connection.patience = ANSWER_SECONDS
        if mark:
            self._marked[mark.frontier] = mark.number

    @contextmanager
    def _fenced(self, mark: Mark | None) -> Iterator[None]:
        self.execute(_FENCE, (self.identity, self._writer, self._epoch))
        yield
        if mark:
            self.execute(_MARK, (mark.frontier, mark.number))

    @contextmanager
    def _part(self, shared: SharedTransaction, mark: Mark | None) -> Iterator[None]:
        """A part of the shared transaction: it is durable when that has ended, see `_ended`."""
        if self._replaced is not None:
            raise SinkReplaced(self._replaced)
        settings = {**PINS, "lock_timeout": LOCK_TIMEOUT, "search_path": f'"{self.place.schema}"'}
        with shared.part(settings, self._ended) as session:
            self._lent, patience = session, session.patience
            try:
                with self._fenced(mark):
                    yield
            finally:
                self._lent, session.patience = None, patience
        if mark:
            self._unconfirmed[mark.frontier] = mark.number

    @contextmanager
    def together(self) -> Iterator[None]:
        """See `JoinedSink.together`."""
        if self._shared is None or self._replaced is not None:
            yield
            return
        with self._failures_named(), self._shared.together(self._ended):
            yield

    def _ended(self, written: bool) -> None:
        if written:
            self._marked |= self._unconfirmed
        else:
            self.generation += 1
            self._undone()
        self._unconfirmed.clear()

    @contextmanager
    def apart(self) -> Iterator[Connection]:
        """The connection itself, for commands that cannot be in a transaction, and for reading."""
        connection = self._ready()
        try:
            with self._failures_named():
                yield connection
        except BaseException:
            self._undo(connection)
            raise
        finally:
            connection.patience = ANSWER_SECONDS

    def intact(self) -> bool:
        """Called before each commit, and so without asking the server: the next transaction finds whatever the server
        has lost."""
        return self._replaced is None

    def state(self, frontier: str) -> SinkState:
        """See `Sink.state`. From then on, the sink writes for this frontier, and no earlier connection can."""
        with self.apart() as connection:
            self._take_epoch(connection, f"{frontier}/{self._name}")
            row = connection.execute(_NUMBER, (frontier,)).fetchone()
            written = connection.execute("SELECT EXISTS (SELECT 1 FROM _crawlerd_run)").fetchone()
        return SinkState(self.identity, row[0] if row else None, fresh=not (written and written[0]))

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except psycopg.Error as error:
            code = error.sqlstate
            if code == FENCED:
                raise SinkError(
                    f"{self.place}: another crawlerd has begun to write to this sink; stop one of them"
                ) from None
            if code == ANOTHER:
                raise self._give_up() from None
            found = failure(self.place, error)
            if code is None:  # the network, or a server that does not answer
                self._rest = time.monotonic() + REST * (time.monotonic() - began), found
            raise found from error

    def _ready(self) -> Connection:
        if self._replaced is not None:
            raise SinkReplaced(self._replaced)
        if self._connection is None:
            if self._rest and time.monotonic() < self._rest[0]:
                raise self._rest[1].with_traceback(None)
            self._connect()
        assert self._connection is not None  # noqa: S101 - made above
        return self._connection

    def _undo(self, connection: Connection) -> None:
        """Handles an error. The connection is used again only if it is certain that nothing was written."""
        try:
            if not connection.broken and connection.info.transaction_status == TransactionStatus.INTRANS:
                connection.execute("ROLLBACK")
                return
        except psycopg.Error:
            pass
        self.close()

    def _connect(self) -> None:
        with self._failures_named():
            missing = self.place.options()
            connection = Connection.connect(
                self.place.url, autocommit=True, prepare_threshold=0, cursor_factory=psycopg.Cursor, **missing
            )
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
        self._connection, self._rest = connection, None
        self.generation += 1

    def _set_up(self, connection: Connection) -> None:
        connection.adapters.register_dumper(Text, _TextDumper)
        connection.prepared_max = 500
        settings = {**_SESSION, **PINS, "search_path": f'"{self.place.schema}"'}
        set_up(self.place, connection, settings)
        self._make(connection)
        if self._writer:
            self._take_epoch(connection, self._writer)
        with connection.transaction():
            self._look_for_tables(connection)
            found = connection.execute("SELECT identity, format FROM _crawlerd_sink").fetchone()
            numbers = {each: connection.execute(_NUMBER, (each,)).fetchone() or (0,) for each in self._marked}
        if found is None or found[1] > relations.FORMAT:
            raise SinkError(f"{self.place} was written by a newer crawlerd, or is damaged; nothing was changed")
        if self.identity and (
            found[0] != self.identity or any(numbers[each][0] < self._marked[each] for each in self._marked)
        ):
            raise self._give_up()
        self.identity = found[0]

    def _make(self, connection: Connection) -> None:
        """Makes what all streams share. Nothing is written if it exists already, since the role may have fewer rights
        by then."""
        there = connection.execute("SELECT to_regclass('_crawlerd_account') IS NOT NULL").fetchone()
        known = "SELECT count(*) FROM pg_proc WHERE proname = ANY (%s::text[]) AND pronamespace = %s::regnamespace"
        names = "{_crawlerd_begin,_crawlerd_deleted}"
        if there and there[0]:
            found = connection.execute(known, (names, f'"{self.place.schema}"')).fetchone()
            if found and found[0] == len(relations.FUNCTIONS):
                return
        with connection.transaction():
            found = connection.execute(
                "SELECT 1 FROM pg_namespace WHERE nspname = %s::text", (self.place.schema,)
            ).fetchone()
            if found is None:
                connection.execute(f'CREATE SCHEMA "{self.place.schema}"')
            connection.execute(LOCK)
            functions = [each.format(schema=self.place.schema) for each in relations.FUNCTIONS]
            for each in (*relations.TABLES.split(";\n"), *functions):
                if each.strip():
                    connection.execute(each)

    def _take_epoch(self, connection: Connection, writer: str) -> None:
        """Takes the next epoch, after the transaction of an earlier connection has ended. If it does not end, its
        session is terminated."""
        try:
            row = connection.execute(_EPOCH, (writer,)).fetchone()
        except psycopg.errors.LockNotAvailable:
            connection.execute(_END_OTHER, (writer,))
            raise
        assert row is not None  # noqa: S101 - the statement returns one
        self._writer, self._epoch = writer, row[0]

    def _look_for_tables(self, connection: Connection) -> None:
        """Gives the sink a new identity, once, if a stream's table is missing."""
        lost = [name for (name,) in connection.execute(_LOST)]
        for name in lost:
            connection.execute("UPDATE _crawlerd_stream SET counted = -1 WHERE name = %s::text", (name,))
        if lost:
            connection.execute("UPDATE _crawlerd_sink SET identity = replace(gen_random_uuid()::text, '-', '')")

    def _give_up(self) -> SinkReplaced:
        self._replaced = (
            f"{self.place} was replaced while it was in use, or restored to an older state, or "
            "something was deleted from it"
        )
        return SinkReplaced(self._replaced)
