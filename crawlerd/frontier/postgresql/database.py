"""A connection to PostgreSQL that takes the frontier's statements, which are in SQLite's dialect.

Within a transaction, what is executed is sent at once and not waited for: only a statement whose result is read costs a
round trip, with all that were sent before it.
"""

from __future__ import annotations

import math
import re
import threading
import time
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from psycopg.types.numeric import Int8Dumper

from crawlerd.core.errors import StorageFailed
from crawlerd.frontier.postgresql.dialect import NUL, Array, bindings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from psycopg.abc import Buffer

_RETURNS = re.compile(r"^\s*(SELECT|WITH)\b(?!.*\bDELETE FROM\b)|\bRETURNING\b", re.DOTALL)
READ_SECONDS = 60.0  # that a statement which only reads is tried again; without `away`, also with a server that is away
# Nothing is wrong with what was sent: the same may be sent again.
AGAIN = re.compile("^(08|53|55|57P|40)|^25006$|^25P0|^57014$|^58030$")
AGAIN_SECONDS = 1.0  # between two tries: nothing tells when a server is back
PREPARED = 1_000  # statements, each once for each shape of its rows

_FLOATS = {
    "at", "seconds", "since", "until", "next_at", "delay", "due_at", "started_at", "ended_at", "blocked_until",
    "blocked_since", "put_at", "v", "w", "x", "y", "first_at", "last_at", "began_at", "settled",
}  # fmt: skip


class _ArrayDumper(Dumper):
    format, oid = Format.TEXT, 0

    def dump(self, obj: Array) -> bytes:
        return obj.text()


class _BoolDumper(Dumper):
    format, oid = Format.TEXT, 20

    def dump(self, obj: bool) -> bytes:
        return b"1" if obj else b"0"


class _TextDumper(Dumper):
    format, oid = Format.TEXT, 25

    def dump(self, obj: str) -> bytes:
        return (obj.replace("\0", NUL) if "\0" in obj else obj).encode()


class _NumberLoader(Loader):
    """Sums of integers are of the type numeric."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data)
        return float(text) if b"." in text else int(text)


class _JsonLoader(Loader):
    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


def adapt(session: psycopg.Connection[Any]) -> None:
    """Values as the frontier's statements give and expect them."""
    adapters = session.adapters
    adapters.register_dumper(Array, _ArrayDumper)
    adapters.register_dumper(bool, _BoolDumper)
    adapters.register_dumper(int, Int8Dumper)
    adapters.register_dumper(str, _TextDumper)
    adapters.register_loader("numeric", _NumberLoader)
    adapters.register_loader("json", _JsonLoader)
    session.prepare_threshold = 0
    session.prepared_max = PREPARED


class Result:
    """See `database_contract`. Nothing is waited for before it is read."""

    def __init__(self, cursor: psycopg.RawCursor[Any], *, returns: bool) -> None:
        """returns: it has rows."""
        self._cursor, self._returns = cursor, returns
        self._rows: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        if self._rows is None:
            self._rows = iter(self._cursor.fetchall() if self._returns else ())
        return self._rows

    def __next__(self) -> Any:
        return next(iter(self))

    def fetchone(self) -> Any:
        return next(iter(self), None)

    @property
    def get(self) -> Any:
        row = self.fetchone()
        return row[0] if row is not None and len(row) == 1 else row

    @property
    def count(self) -> int:
        """Rows that were written or deleted, once the answer is here."""
        return self._cursor.rowcount


class Connection:
    """See `database_contract`. Used by one thread.

    reopen: gets another session where the last one is broken. Outside of transactions, a statement waits for that: it
        only reads.
    """

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self.session = session
        self.reopen: Callable[[], None] | None = None
        self.away: Callable[[str], None] | None = None  # see `WaitingTasks`
        self.stopping = threading.Event()  # see `WaitingTasks`
        self._pipeline: psycopg.Pipeline | None = None
        self._last: Result | None = None

    @contextmanager
    def pipelined(self) -> Iterator[None]:
        """Within it, statements are sent without waiting for the answers to those before them."""
        with self.session.pipeline() as self._pipeline:
            try:
                yield
            finally:
                self._pipeline = None

    def execute(self, statements: str, bindings_: Any = (), /) -> Result:
        if isinstance(bindings_, dict):
            places: Mapping[str, Any] = {f":{name}": value for name, value in bindings_.items()}
        else:
            places = {f"?{number}": value for number, value in enumerate(bindings_, 1)}
        self._last = self._run(statements, places)
        return self._last

    def for_rows(self, statement: str, rows: Sequence[Sequence[Any]], *more: Any) -> Result:
        """A statement once for all of them, which it reads as json_each(?). more: ?2 and so on."""
        self._last = self._run(statement, {f"?{number}": value for number, value in enumerate((rows, *more), 1)})
        return self._last

    def executemany(self, statements: str, rows: Iterable[Sequence[Any] | Mapping[str, Any]], /) -> None:
        for row in rows:
            self.execute(statements, row)

    def settle(self) -> None:
        """Waits for the answers to all that was sent."""
        if self._pipeline:
            self._pipeline.sync()

    def changes(self) -> int:
        self.settle()
        return self._last.count if self._last else 0

    def _run(self, statement: str, places: Mapping[str, Any]) -> Result:
        ready, values = bindings(places, statement, column_type)
        return self.raw(ready.text, values, returns=_RETURNS.search(statement) is not None)

    def raw(self, statement: str, values: Sequence[Any], *, returns: bool = True) -> Result:
        """A statement of PostgreSQL's own."""
        text = statement.encode()
        until = time.monotonic() + READ_SECONDS
        while True:
            try:
                cursor = psycopg.RawCursor(self.session)
                return Result(cursor.execute(text, values, prepare=True), returns=returns)
            except psycopg.Error as error:
                if not self.reopen or self._pipeline or not self._passes(error) or time.monotonic() > until:
                    raise
                if not error.sqlstate:
                    self.session.close()  # its answer may still come
                if not (self.session.broken or self.session.closed):  # the server refuses for now
                    if self.stopping.wait(AGAIN_SECONDS):
                        raise
                    continue
            self._reopen(math.inf if self.away else until)
            until = time.monotonic() + READ_SECONDS

    def _passes(self, error: psycopg.Error) -> bool:
        """Whether the same may succeed later."""
        if error.sqlstate:
            return AGAIN.match(error.sqlstate) is not None
        return isinstance(error, psycopg.OperationalError) or self.session.broken or self.session.closed

    def _reopen(self, until: float) -> None:
        assert self.reopen  # noqa: S101 - the caller has looked
        while True:
            try:
                self.reopen()
            except StorageFailed as error:
                if self.away:
                    self.away(str(error))
                if not error.full or time.monotonic() > until or self.stopping.wait(AGAIN_SECONDS):
                    raise
            else:
                if self.away:
                    self.away("")
                return


def schema() -> str:
    """The statements that make the tables."""
    return (files(__package__) / "schema.sql").read_text()


@cache
def tables() -> dict[str, list[tuple[str, str]]]:
    """The columns of each table, with their types."""
    found = {}
    for name, body in re.findall(r"CREATE TABLE (\w+)\((.*?)\n\)", schema(), re.DOTALL):
        columns = re.findall(r'^    "?(\w+)"? (bigint|integer|text|double precision|bytea|boolean)', body, re.MULTILINE)
        found[name] = columns
    return found


@cache
def column_type(name: str) -> str:
    """The type of a column: of a table's by its place, such as "run_slow.2", or of any by its name."""
    table, _, place = name.partition(".")
    if place.isdecimal():
        columns = tables()[table]
        return columns[int(place)][1] if int(place) < len(columns) else "text"
    if name in _FLOATS:
        return "double precision"
    kinds = {kind for columns in tables().values() for column, kind in columns if column == name}
    if "bigint" in kinds and name not in {"name", "source", "key", "import"}:
        return "bigint"
    return "text" if "text" in kinds or not name else "bigint"
