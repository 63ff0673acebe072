"""The outbox of an HTTP sink: versions in their order, the batches in which they are delivered, and which task has each
batch."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
import msgspec

from crawlerd.core.priority import DEFAULT_PRIORITY
from crawlerd.core.task import NewTask
from crawlerd.sink import SinkError
from crawlerd.sinks.cutting import RANGES, Version, batches, range_of
from crawlerd.sinks.sqlite.erasing import keys_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from crawlerd.core.configuration import Receiver
    from crawlerd.core.erasure import Erasure
    from crawlerd.sink import Delivery, Mark, Receipt
    from crawlerd.sinks.sqlite.database import Database
    from crawlerd.sinks.sqlite.rows import SqliteRows

KIND, STREAM = "http.outbox", "deliveries"
BUSY_MILLISECONDS = 5_000

# _crawlerd_line has the versions of records that are to be delivered.
#   batch: the batch that has it; 0 while it waits; negative if the batch was refused.
#   run: the sink's own number, since another frontier gives the same numbers to other runs.
#   method, path: of its own request; "" if it is sent together with others.
#   data: JSON, NULL for a tombstone.
# _crawlerd_batch has the batches; each belongs to a task of a run.
#   number: the task is made by the commit that follows the one with this number.
#   token: the token of that task.
#   refused: 1 if the task is a dead letter; its ranges continue without it.
_TABLES = """
CREATE TABLE IF NOT EXISTS _crawlerd_line(
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  batch   INTEGER NOT NULL DEFAULT 0,
  range   INTEGER NOT NULL,
  name    TEXT NOT NULL,
  account TEXT NOT NULL,
  key     TEXT NOT NULL,
  run     INTEGER NOT NULL,
  change  TEXT NOT NULL,
  method  TEXT NOT NULL,
  path    TEXT NOT NULL,
  data    BLOB
);
CREATE INDEX IF NOT EXISTS _crawlerd_line_batch ON _crawlerd_line(batch, range, id);
CREATE INDEX IF NOT EXISTS _crawlerd_line_key ON _crawlerd_line(name, account, key, id);
CREATE TABLE IF NOT EXISTS _crawlerd_batch(
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  idempotency_key TEXT NOT NULL,
  token           INTEGER NOT NULL,
  frontier        TEXT NOT NULL,
  number          INTEGER NOT NULL,
  run             INTEGER NOT NULL,
  refused         INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS _crawlerd_batch_live ON _crawlerd_batch(id) WHERE refused = 0;
"""
_PUT = """INSERT INTO _crawlerd_line(range, name, account, key, run, change, method, path, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_SUPERSEDE = "DELETE FROM _crawlerd_line WHERE name = ? AND account = ? AND key = ? AND batch < 0"
_REFUSED = """SELECT key FROM _crawlerd_line WHERE name = ? AND account = ? AND batch < 0 AND run <> ?
AND key IN (SELECT value FROM json_each(?))"""
_WAITING = """SELECT id, name, account, key, coalesce(length(data), 0), run, method <> '' FROM _crawlerd_line
WHERE batch = 0 AND range = ? ORDER BY id LIMIT ?"""
_SPLIT = """UPDATE _crawlerd_line SET batch = 0 WHERE batch = :batch AND id NOT IN (
  SELECT id FROM _crawlerd_line WHERE batch = :batch ORDER BY id
  LIMIT (SELECT count(*) / 2 FROM _crawlerd_line WHERE batch = :batch));
UPDATE _crawlerd_batch SET idempotency_key = lower(hex(randomblob(16))) WHERE id = :batch"""
_REFUSE = """DELETE FROM _crawlerd_line WHERE batch = :batch AND EXISTS (
  SELECT 1 FROM _crawlerd_line AS l WHERE l.name = _crawlerd_line.name AND l.account = _crawlerd_line.account
  AND l.key = _crawlerd_line.key AND l.id > _crawlerd_line.id);
UPDATE _crawlerd_line SET batch = -batch WHERE batch = :batch;
UPDATE _crawlerd_batch SET refused = 1 WHERE id = :batch"""
_DONE = """DELETE FROM _crawlerd_line WHERE batch = :batch; DELETE FROM _crawlerd_batch WHERE id = :batch"""
_AGAIN = """UPDATE _crawlerd_line SET batch = 0 WHERE batch = -:batch; DELETE FROM _crawlerd_batch WHERE id = :batch"""
# The key is random: a restored copy of the database must not use the same key again.
_CUT = """INSERT INTO _crawlerd_batch VALUES (NULL, lower(hex(randomblob(16))), 0, '', 0, 0, 0) RETURNING id"""
_HAND_OUT = """UPDATE _crawlerd_batch SET token = token + 1, frontier = ?, number = ?, run = ? WHERE id = ?
RETURNING token, (SELECT count(*) FROM _crawlerd_line WHERE batch = _crawlerd_batch.id)"""
_COUNT = """UPDATE _crawlerd_tally SET new = new + ?3, changed = changed + ?4, tombstoned = tombstoned + ?5
WHERE run = ?1 AND stream = ?2"""


_VERSIONS = """SELECT id, name, account, key, coalesce(stream, name) FROM _crawlerd_line
LEFT JOIN _crawlerd_stream USING (name)"""
_EMPTY = """DELETE FROM _crawlerd_batch WHERE id NOT IN (SELECT abs(batch) FROM _crawlerd_line)"""


class Line(NamedTuple):
    """A version that is to be delivered; see `_TABLES`.

    data: None for a tombstone.
    """

    name: str
    account: str
    key: str
    run: int
    change: str
    method: str
    path: str
    data: bytes | None


class Task(msgspec.Struct, frozen=True):
    """The arguments of a task that delivers a batch, as the frontier stores them; `crawlerd.sources.http.Send` reads
    them. The batch itself stays in the outbox."""

    database: str
    batch: int
    token: int
    records: int
    method: str
    path: str
    field: str
    accepted: str
    attempts: int
    retry_seconds: float
    expires_at: float


class Sending(NamedTuple):
    """A batch to send.

    what: the first record, for people.
    method, path: of its only record; "" if several are sent together.
    """

    idempotency_key: str
    data: list[bytes | None]
    what: str
    method: str
    path: str


class SqliteOutbox:
    """See `Outbox`."""

    def __init__(self, rows: SqliteRows, receiver: Receiver) -> None:
        self._rows, self._receiver = rows, receiver
        self._errands: defaultdict[int, list[NewTask]] = defaultdict(list)  # requested by completed transactions
        self._lost: set[int] = set()  # batches that no task has
        self._uncut = False  # some versions wait that could be sent now
        with rows.transaction():
            self._execute(_TABLES)
        self.reset()

    @property
    def waits_for_a_run(self) -> bool:
        return bool(self._lost) or self._uncut

    def take_errands(self) -> dict[int, list[NewTask]]:
        errands, self._errands = self._errands, defaultdict(list)
        return errands

    def call_back(self, mark: Mark, runs: Callable[[int], bool]) -> None:
        with self._rows.transaction():
            rows = self._execute("SELECT id, frontier, number, run FROM _crawlerd_batch WHERE refused = 0").fetchall()
            self._uncut = self._execute("SELECT 1 FROM _crawlerd_line WHERE batch = 0 LIMIT 1").get is not None
        self._lost |= {
            batch
            for batch, frontier, number, run in rows
            if frontier != mark.frontier or not 0 < number < mark.number or not runs(run)
        }

    # within a transaction

    def forget(self, which: Erasure) -> int:
        """Removes versions that match, and batches that have none left. Returns how many versions."""
        below = keys_below(self._execute, which)
        gone = [
            number
            for number, name, account, key, stream in self._execute(_VERSIONS).fetchall()
            if which.of_account(account)
            and which.of_table(name, stream)
            and (which.key in ("", key) or (name, account, key) in below)
        ]
        ids = msgspec.json.encode(gone).decode()
        self._execute("DELETE FROM _crawlerd_line WHERE id IN (SELECT value FROM json_each(?))", (ids,))
        self._execute(_EMPTY)
        self.look_again()
        return len(gone)

    def reset(self) -> None:
        """Called after the last transaction was rolled back."""
        self._fresh: dict[int, list[NewTask]] = {}  # requested by this transaction
        self._found: set[int] = set()  # lost batches that it has handled
        self.look_again()

    def committed(self) -> None:
        """Called after the last transaction was committed."""
        for run, tasks in self._fresh.items():
            self._errands[run] += tasks
        self._lost -= self._found
        self._fresh, self._found = {}, set()

    def refused(self, table: str, account: str, keys: Sequence[str], run: int) -> set[str]:
        """The keys whose version was refused after another run had read it."""
        if self._execute("SELECT 1 FROM _crawlerd_line WHERE batch < 0 LIMIT 1").get is None:
            return set()
        rows = self._execute(_REFUSED, (table, account, run, msgspec.json.encode(keys).decode()))
        return {key for (key,) in rows}

    def put(self, lines: Sequence[Line]) -> None:
        """Adds versions. Earlier refused versions of the same records are not delivered any more."""
        if not lines:
            return
        many = self._rows.database.connection.executemany
        many(_SUPERSEDE, [each[:3] for each in lines])
        told = [each for each in lines if each.data is not None or self._receiver.gone_path]
        ranges = [range_of(*each[:3]) for each in told]
        many(_PUT, [(place, *each) for place, each in zip(ranges, told, strict=True)])
        self._loaded.update(ranges)

    def end(self, deliveries: Sequence[Delivery], mark: Mark | None) -> None:
        """Processes the receipts, and hands out batches that can be sent now."""
        started = {each.run: each.started for each in deliveries if each.carries}
        known = {self._rows.number(each): each.run for each in deliveries if each.carries}
        if not started:
            self._uncut = True
            return
        usual = next(iter(started))
        again: list[tuple[int, int]] = []  # batch and run
        for delivery in deliveries:
            if delivery.receipt is not None and self._take(delivery, delivery.receipt):
                again.append((delivery.receipt.batch, delivery.run))
        again += [(batch, usual) for batch in self._lost if all(batch != each for each, _ in again)]
        again += [(batch, known.get(run, usual)) for batch, run in self._cut()]
        errands: defaultdict[int, list[NewTask]] = defaultdict(list)
        for batch, run in again:
            errands[run] += self._hand_out(batch, run, started[run], mark)
        self._fresh, self._found, self._uncut = dict(errands), set(self._lost), False

    def _take(self, delivery: Delivery, receipt: Receipt) -> bool:
        """Whether the batch must be sent again, in its current form."""
        batch = receipt.batch
        facts = self._execute("SELECT token, refused FROM _crawlerd_batch WHERE id = ?", (batch,)).fetchone()
        if facts is None or facts[0] != receipt.token:
            return False
        if facts[1]:
            if receipt.state == "done":  # its dead letter was retried: no later version of its records has come
                self._execute(_AGAIN, {"batch": batch})
                self.look_again()
            return False
        match receipt.state:
            case "done":
                self._count(delivery, batch)
                self._execute(_DONE, {"batch": batch})
            case "later":
                self._execute("UPDATE _crawlerd_batch SET number = 0 WHERE id = ?", (batch,))
                return False
            case "split":
                self._execute(_SPLIT, {"batch": batch})
            case "refused":
                self._execute(_REFUSE, {"batch": batch})
        self.look_again()
        return receipt.state == "split"

    def look_again(self) -> None:
        """Forgets which ranges are free, and which have waiting versions. May be called outside of a transaction
        too."""
        self._locked: set[int] | None = None  # ranges of which a batch is under way
        self._loaded = set(range(RANGES))  # ranges in which versions may wait

    def _cut(self) -> list[tuple[int, int]]:
        """Makes batches of versions that can be sent now. Returns each with the run that wrote its first version, by
        the sink's number."""
        if self._locked is None:
            rows = self._execute("SELECT DISTINCT range FROM _crawlerd_line WHERE batch > 0")
            self._locked = {place for (place,) in rows}
        waiting = {place: self._waiting(place) for place in self._loaded - self._locked}
        self._loaded &= self._locked | {place for place, each in waiting.items() if each}
        cut = []
        for versions in batches((each for each in waiting.values() if each), self._receiver.batch):
            batch: int = self._execute(_CUT).get
            self._rows.database.connection.executemany(
                "UPDATE _crawlerd_line SET batch = ? WHERE id = ?", [(batch, each.number) for each in versions]
            )
            self._locked.update(range_of(*each.key) for each in versions)
            cut.append((batch, versions[0].run))
        return cut

    def _waiting(self, place: int) -> list[Version]:
        rows = self._execute(_WAITING, (place, self._receiver.batch))
        return [
            Version(number, (name, account, key), size, run, bool(alone))
            for number, name, account, key, size, run, alone in rows
        ]

    def _hand_out(self, batch: int, run: int, started: float, mark: Mark | None) -> Iterable[NewTask]:
        """Requests the task that delivers a batch; nothing if there is no such batch."""
        handed = self._execute(_HAND_OUT, (*(mark or ("", 0)), run, batch)).fetchone()
        if handed is None:
            return
        to = self._receiver
        task = Task(
            database=str(self._rows.database.path),
            batch=batch,
            token=handed[0],
            records=handed[1],
            method=to.method,
            path=to.path,
            field=to.records,
            accepted=to.accepted,
            attempts=to.attempts,
            retry_seconds=to.retry_seconds,
            expires_at=started + to.expires_seconds,
        )
        yield NewTask(KIND, STREAM, DEFAULT_PRIORITY, msgspec.json.encode(task).decode(), account=to.account)

    def _count(self, delivery: Delivery, batch: int) -> None:
        """Adds what was delivered to the totals of the run whose task delivered it."""
        rows = self._execute("SELECT change, count(*) FROM _crawlerd_line WHERE batch = ? GROUP BY change", (batch,))
        counts = dict(rows.fetchall())
        run = self._rows.number(delivery)
        self._rows.begin(run, STREAM)
        self._execute(_COUNT, (run, STREAM, *(counts.get(each, 0) for each in ("new", "changed", "tombstoned"))))

    def _execute(self, statement: str, bindings: Sequence[Any] | dict[str, Any] = ()) -> Any:
        return self._rows.database.connection.execute(statement, bindings)


def read(path: Path, batch: int, token: int) -> Sending | None:
    """A batch, for the task that sends it; None if there is nothing to send: it was delivered or refused, or has
    another task now. May be called from any process. Raises SinkError if the database cannot be read."""
    try:
        database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            database.set_busy_timeout(BUSY_MILLISECONDS)
            database.execute("BEGIN")
            key = database.execute(
                "SELECT idempotency_key FROM _crawlerd_batch WHERE id = ? AND token = ? AND refused = 0", (batch, token)
            ).get
            rows: list[tuple[Any, ...]] = database.execute(
                "SELECT data, name, account, key, method, path FROM _crawlerd_line WHERE batch = ? ORDER BY id",
                (batch,),
            ).fetchall()
        finally:
            database.close()
    except apsw.Error as error:
        raise SinkError(f"cannot read {path}: {error}") from error
    if not key or not rows:
        return None
    _, name, account, record, method, address = rows[0]
    return Sending(key, [row[0] for row in rows], f"{record} ({name} of {account})", method, address)


def forget_another(database: Database, receiver: str) -> int | None:
    """Drops the content of a database that belonged to another receiver; it must be opened again then. Returns how many
    versions waited for that one; None if the receiver is the same."""
    execute = database.connection.execute
    with database.transaction():
        execute("CREATE TABLE IF NOT EXISTS _crawlerd_receiver(address TEXT NOT NULL)")
        noted = execute("SELECT address FROM _crawlerd_receiver").get
        if noted is None:
            execute("INSERT INTO _crawlerd_receiver VALUES (?)", (receiver,))
        if noted in (None, receiver):
            return None
        waiting = (
            execute("SELECT 1 FROM sqlite_schema WHERE name = '_crawlerd_line'").get
            and execute("SELECT count(*) FROM _crawlerd_line").get
        )
        names = execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall()
        for (name,) in names:
            execute(f'DROP TABLE "{name}"')
    return waiting or 0
