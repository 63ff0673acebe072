"""The rows of a PostgreSQL sink: one table per stream, and all statements of a write in one pipeline."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg.pq import ExecStatus

from crawlerd.sink import Refused, Totals
from crawlerd.sinks.postgresql import statements
from crawlerd.sinks.postgresql.database import LOCK, Database, Text
from crawlerd.sinks.postgresql.erasing import erase, expire, scrub
from crawlerd.sinks.postgresql.failures import TOO_LARGE, Place, failure
from crawlerd.sinks.postgresql.jsonb import no_jsonb
from crawlerd.sinks.postgresql.relations import relation, stream_statements
from crawlerd.sinks.postgresql.statements import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from crawlerd.core.erasure import Erased, Erasure
    from crawlerd.sink import Batch, Delivery, Mark, SharedTransaction, SinkState
    from crawlerd.sinks.deliveries import RowStamp, Same, SweepBounds

ROWS, ROW_BYTES = 1_000, 16 << 20  # of one statement
KNOWN_RUNS = 1_000  # numbers of runs that are remembered; others are looked up again

_RUN = """INSERT INTO _crawlerd_run SELECT
  CASE WHEN EXISTS (SELECT 1 FROM _crawlerd_run WHERE id = %(run)s::bigint)
    THEN (SELECT max(id) + 1 FROM _crawlerd_run) ELSE %(run)s::bigint END, %(run)s::bigint, %(started)s::float8
WHERE NOT EXISTS (SELECT 1 FROM _crawlerd_run WHERE run = %(run)s::bigint AND started = %(started)s::float8)"""
_RUN_ID = "SELECT id FROM _crawlerd_run WHERE run = %(run)s::bigint AND started = %(started)s::float8"
_TALLIES = "SELECT stream, new, changed, unchanged, tombstoned FROM _crawlerd_tally WHERE run = %s::bigint"
_TALLY = """INSERT INTO _crawlerd_tally VALUES (%s::bigint, %s::text, %s::bigint, %s::bigint, %s::bigint, %s::bigint)
ON CONFLICT (run, stream) DO UPDATE SET new = excluded.new, changed = excluded.changed, unchanged = excluded.unchanged,
  tombstoned = excluded.tombstoned"""
_STREAM = """INSERT INTO _crawlerd_stream AS s VALUES (%s::text, %s::text, %s::text, %s::int)
ON CONFLICT (name) DO UPDATE SET counted = CASE WHEN s.counted <> 0 AND excluded.counted = 0 THEN 1 ELSE 0 END
WHERE excluded.counted <> 0 OR s.counted NOT IN (0, 1)"""
_CONFIRM = """INSERT INTO _crawlerd_account AS a VALUES (%s::text, %s::text, %s::text)
ON CONFLICT (source, account) DO UPDATE SET identity = a.identity RETURNING identity"""


class _Sent(NamedTuple):
    """A statement whose answer has not been read.

    delivery: the delivery that it belongs to.
    """

    cursor: psycopg.Cursor[Any]
    delivery: Delivery | None
    run: int
    stream: str


class PostgresRows:
    """See `Rows`."""

    def __init__(self, place: Place, name: str) -> None:
        """Raises SinkError if the server cannot be reached, or the schema cannot be made or used."""
        self.database = Database(place, name)
        self._runs: dict[tuple[int, float], int] = {}
        self._tallies: dict[int, dict[str, list[int]]] = {}
        self._changed: dict[tuple[int, str], None] = {}
        self._sent: list[_Sent] = []
        self._made: set[str] = set()
        self._streams: dict[str, str] = {}
        self._taken: Delivery | None = None
        self._generation = 0

    @property
    def name(self) -> str:
        return str(self.database.place)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.marked(None):
            yield

    @contextmanager
    def marked(self, mark: Mark | None) -> Iterator[None]:
        self._sent.clear()
        with self.database.transaction(mark):
            if self._generation != self.database.generation:
                self._forget_known()
                self._generation = self.database.generation
            yield
            self._settle()
            for run, stream in self._changed:
                self.database.execute(_TALLY, (run, stream, *self._tallies[run][stream]))
            self._changed.clear()

    def join(self, shared: SharedTransaction, undone: Callable[[], None]) -> bool:
        return self.database.join(shared, undone)

    def together(self) -> AbstractContextManager[None]:
        return self.database.together()

    def prepare(self, first_run: int) -> None:
        """There is nothing to prepare."""

    def reset(self) -> None:
        self._sent.clear()
        self._forget_known()

    @contextmanager
    def taking(self, delivery: Delivery) -> Iterator[None]:
        self._taken = delivery
        try:
            yield
        finally:
            self._taken = None

    def number(self, delivery: Delivery) -> int:
        key = delivery.run, delivery.started
        number = self._runs.get(key)
        if number is None:
            parameters = {"run": delivery.run, "started": delivery.started}
            self.database.execute(_RUN, parameters)
            row = self.database.execute(_RUN_ID, parameters).fetchone()
            assert row is not None  # noqa: S101 - it was there or has been made
            if len(self._runs) >= KNOWN_RUNS:
                self._runs.clear()
            number = self._runs[key] = int(row[0])
            self._known_tallies(number)
        return number

    def make(self, table: str, stream: str) -> None:
        name = relation(table)
        self._streams[table] = stream
        if name in self._made:
            return
        found = self.database.execute("SELECT to_regclass(%s::text) IS NOT NULL", (f'"{name}"',)).fetchone()
        known = bool(found and found[0])
        if not known:
            self.database.execute(LOCK)
            for statement in stream_statements(name):
                self.database.execute(statement)
        source = table[: -len(stream) - 1]
        self.database.execute(_STREAM, (name, source, stream, int(not known)))
        self._made.add(name)

    def begin(self, run: int, stream: str) -> None:
        tallies = self._known_tallies(run)
        if stream not in tallies:
            tallies[stream] = [0, 0, 0, 0]
            self._changed[run, stream] = None

    def put(self, table: str, stamp: RowStamp, batch: Batch, same: Same) -> None:
        statement = statements.put(relation(table))
        for places in _portions(batch):
            data = batch.data[places]
            joined = SEPARATOR.join([each or b"" for each in data])
            if joined.count(SEPARATOR) >= len(data) or b"\0" in joined:
                raise self._refused(f"a record of {batch.stream} is not JSON, and cannot be written to {self.name}")
            parameters = {
                "account": coded(stamp.account),
                "at": stamp.at,
                "run": stamp.run,
                "keys": array_of(list(map(coded, batch.keys[places]))),
                "data": Text(joined),
                "odd": f"{{{','.join(str(place + 1) for place in no_jsonb(data))}}}",
                "parents": array_of(list(map(coded, batch.parents[places]))),
            }
            self._send(statement, parameters, stamp.run, batch.stream)

    def spare(self, table: str, stamp: RowStamp, key: str) -> None:
        parameters = {"account": coded(stamp.account), "run": stamp.run, "key": coded(key)}
        self._send(statements.spare(relation(table)), parameters, stamp.run, "")

    def sweep(self, table: str, bounds: SweepBounds) -> None:
        self.database.patient()
        statement = statements.sweep(relation(table), **_shape(bounds))
        self._send(statement, _bindings(bounds), bounds.run, self._streams[table])

    def swept(self, table: str, bounds: SweepBounds, most: int | None = None) -> list[str]:
        self.database.patient()
        statement = statements.find(relation(table), **_shape(bounds))
        rows = self.database.execute(statement, {**_bindings(bounds), "most": most}).fetchall()
        return [plain(key) for (key,) in rows]

    def known(self, table: str, account: str, keys: Sequence[str]) -> dict[str, tuple[str | None, int]]:
        """Not implemented: only sinks that pass records on need it."""
        raise NotImplementedError

    def seen(self, table: str, account: str, run: int) -> int:
        self.database.patient()
        found = self.database.execute(
            statements.seen(relation(table)), {"account": coded(account), "run": run}
        ).fetchone()
        return int(found[0]) if found else 0

    def totals(self, deliveries: Iterable[Delivery]) -> dict[tuple[int, str], Totals]:
        self._settle()
        totals: dict[tuple[int, str], Totals] = {}
        for number, run in {self.number(delivery): delivery.run for delivery in deliveries}.items():
            for stream, (new, changed, unchanged, tombstoned) in self._known_tallies(number).items():
                totals[run, stream] = Totals(new + changed + unchanged, new, changed, unchanged, tombstoned)
        return totals

    def may_be_respelled(self, run: int) -> bool:
        return False

    def intact(self) -> bool:
        return self.database.intact()

    def state(self, frontier: str) -> SinkState:
        return self.database.state(frontier)

    def confirm(self, source: str, account: str, identity: str) -> str | None:
        with self.database.transaction():
            row = self.database.execute(_CONFIRM, (source, coded(account), identity)).fetchone()
        return None if row is None or row[0] == identity else str(row[0])

    def forget(self, which: Erasure, most: int) -> Erased:
        self.database.patient()
        return erase(self.database.execute, which, most)

    def expire(self, before: str, most: int) -> Erased:
        with self.database.transaction():
            self.database.patient()
            return expire(self.database.execute, before, most)

    def scrub(self, most_bytes: int | None) -> str | None:
        return scrub(self.database, most_bytes)

    def idle(self) -> None:
        """Does nothing: no space is used to be faster."""

    def close(self) -> None:
        self.database.close()

    def _send(self, statement: str, parameters: dict[str, Any], run: int, stream: str) -> None:
        cursor = self.database.execute(statement, parameters)
        self._sent.append(_Sent(cursor, self._taken, run, stream))

    def _settle(self) -> None:
        """Reads the answers. Raises Refused if a delivery can never be written."""
        sent, self._sent = self._sent, []
        for each in sent:
            try:
                counts = each.cursor.fetchone()
            except psycopg.Error as error:
                # the first one reports the error
                failed = next((one for one in sent if not _is_done(one.cursor)), each)
                if error.sqlstate in TOO_LARGE and failed.delivery is not None:
                    reason = str(failure(self.database.place, error))
                    problem = f"a record of {failed.stream or 'a stream'} is too large: {reason}"
                    raise Refused(problem, failed.delivery.task) from None
                raise
            if each.stream and counts and any(counts):
                tally = self._known_tallies(each.run)[each.stream]
                tally[:] = [old + more for old, more in zip(tally, counts, strict=True)]
                self._changed[each.run, each.stream] = None

    def _known_tallies(self, run: int) -> dict[str, list[int]]:
        found = self._tallies.get(run)
        if found is None:
            rows = self.database.execute(_TALLIES, (run,)).fetchall()
            found = self._tallies[run] = {stream: list(counts) for stream, *counts in rows}
        return found

    def _forget_known(self) -> None:
        self._runs.clear()
        self._tallies.clear()
        self._changed.clear()
        self._made.clear()

    def _refused(self, problem: str) -> Refused:
        return Refused(problem, self._taken.task if self._taken else 0)


def _is_done(cursor: psycopg.Cursor[Any]) -> bool:
    return cursor.pgresult is not None and cursor.pgresult.status == ExecStatus.TUPLES_OK


def _portions(batch: Batch) -> Iterator[slice]:
    """Slices of a batch's rows that one statement can write. No key is in a slice twice, since a statement only sees
    the rows from before it."""
    keys: set[str] = set()
    first = size = 0
    for place, (key, data) in enumerate(zip(batch.keys, batch.data, strict=True)):
        size += len(data or b"")
        if place > first and (key in keys or place - first >= ROWS or size > ROW_BYTES):
            yield slice(first, place)
            first, size = place, len(data or b"")
            keys.clear()
        keys.add(key)
    if batch.count:
        yield slice(first, batch.count)


def _shape(bounds: SweepBounds) -> dict[str, bool]:
    return {"bounded": _past(bounds.prefix) is not None, "parent": bool(bounds.parent), "own": bounds.own}


def _bindings(bounds: SweepBounds) -> dict[str, Any]:
    return {
        "account": coded(bounds.account),
        "at": bounds.at or None,
        "run": bounds.run,
        "first": coded(bounds.first),
        "past": _past(bounds.prefix),
        "since": bounds.since,
        "parent": coded(bounds.parent),
    }


def _past(prefix: str) -> str | None:
    """A text that sorts after all keys with this prefix; None if there is none."""
    last = coded(prefix).rstrip("\U0010ffff")
    if not last:
        return None
    code = ord(last[-1]) + 1
    return last[:-1] + chr(0xE000 if code == 0xD800 else code)


def coded(text: str) -> str:
    """The text without NUL, which PostgreSQL does not accept; with the same order and the same prefixes."""
    if "\0" in text or "\1" in text:
        return text.replace("\1", "\1\2").replace("\0", "\1\1")
    return text


def plain(text: str) -> str:
    """The text of which `coded` was made."""
    return text.replace("\1\1", "\0").replace("\1\2", "\1") if "\1" in text else text


def array_of(texts: list[str]) -> str:
    """A text as an array literal, which costs a tenth of passing a list."""
    if not texts:
        return "{}"
    joined = '","'.join(texts)
    if "\\" in joined or joined.count('"') > 2 * len(texts) - 2:
        joined = '","'.join(text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return f'{{"{joined}"}}'
