"""What runs have done to the streams of an SQLite sink, counted exactly, within the transactions that do it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crawlerd.sink import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from crawlerd.sink import Delivery
    from crawlerd.sinks.sqlite.database import Database

# Names that no stream's table can have. A run has a number of the sink's own: the frontier's number, unless another run
# has it already.
_TABLES = """
CREATE TABLE IF NOT EXISTS _crawlerd_run(
  id      INTEGER PRIMARY KEY,
  run     INTEGER NOT NULL,
  started REAL NOT NULL,
  UNIQUE (run, started)
);
CREATE TABLE IF NOT EXISTS _crawlerd_tally(
  run        INTEGER NOT NULL,
  stream     TEXT NOT NULL,
  new        INTEGER NOT NULL DEFAULT 0,
  changed    INTEGER NOT NULL DEFAULT 0,
  unchanged  INTEGER NOT NULL DEFAULT 0,
  tombstoned INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, stream)
) WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS _crawlerd_old(last INTEGER NOT NULL);
INSERT INTO _crawlerd_old SELECT 9223372036854775807 WHERE NOT EXISTS (SELECT 1 FROM _crawlerd_old);
"""
KNOWN_RUNS = 1_000  # numbers of runs that are remembered; others are looked up again
_RUN = """INSERT INTO _crawlerd_run SELECT
  iif(EXISTS (SELECT 1 FROM _crawlerd_run WHERE id = ?1), (SELECT max(id) + 1 FROM _crawlerd_run), ?1), ?1, ?2
WHERE NOT EXISTS (SELECT 1 FROM _crawlerd_run WHERE run = ?1 AND started = ?2)"""

# TEMP, so that the triggers do not count other programs' writes, which need not know of them. Each row counts once per
# run, by its last change, in the transaction that changes it: a repeated delivery changes no row. Rows after the `last`
# old one are being inserted, and are counted afterwards: a trigger for each took a quarter of the sink's time.
_COUNT = """
CREATE TEMP TRIGGER IF NOT EXISTS "{table}_update" AFTER UPDATE ON main."{table}"
WHEN (NEW.run <> OLD.run OR NEW.change IS NOT OLD.change) AND OLD.rowid <= (SELECT last FROM _crawlerd_old) BEGIN
  UPDATE _crawlerd_tally SET
    new        = new        + (NEW.change IS 'new')        - (NEW.run = OLD.run AND OLD.change IS 'new'),
    changed    = changed    + (NEW.change IS 'changed')    - (NEW.run = OLD.run AND OLD.change IS 'changed'),
    unchanged  = unchanged  + (NEW.change IS 'unchanged')  - (NEW.run = OLD.run AND OLD.change IS 'unchanged'),
    tombstoned = tombstoned + (NEW.change IS 'tombstoned') - (NEW.run = OLD.run AND OLD.change IS 'tombstoned')
  WHERE run = NEW.run AND stream = '{stream}';
END"""
_BEFORE = """UPDATE _crawlerd_old SET last = (SELECT coalesce(max(rowid), 0) FROM "{table}")"""
_BEHIND = """UPDATE _crawlerd_tally SET
  new = new + (SELECT count(*) FROM "{table}" WHERE rowid > (SELECT last FROM _crawlerd_old) AND change = 'new')
WHERE run = ?1 AND stream = ?2;
UPDATE _crawlerd_old SET last = 9223372036854775807"""

# Whether data are the same. {respelled}: see `crawlerd.sinks.sqlite.rows`.
_SAME = "iif(data IS excluded.data, 1, iif(run <= {respelled}, crawlerd_same(data, excluded.data), 0))"
# The new `change` of an existing row in an upsert. For the first write in a run, its previous state decides; later
# writes know from `change` whether it existed before the run ('new' and NULL: it did not).
CHANGE = """CASE
  WHEN iif(run = excluded.run, change IS NULL OR change = 'new', deleted_at IS NOT NULL)
    THEN iif(excluded.deleted_at IS NULL, 'new', NULL)
  WHEN excluded.deleted_at IS NOT NULL THEN 'tombstoned'
  WHEN {same} AND (run <> excluded.run OR change IN ('unchanged', 'skipped')) THEN 'unchanged'
  ELSE 'changed'
END""".replace("{same}", _SAME)


# Forgotten rows are counted for a run number that no frontier has.
_FORGOTTEN = """INSERT INTO _crawlerd_tally(run, stream, tombstoned) VALUES (0, ?1, ?2)
ON CONFLICT DO UPDATE SET tombstoned = tombstoned + excluded.tombstoned"""


def note_forgotten(execute: Callable[..., object], stream: str, rows: int) -> None:
    """Counts existing rows of the stream that are about to be deleted."""
    if rows:
        execute(_FORGOTTEN, (stream, rows))


class Tallies:
    """What each run has done to each stream. Used within the transactions that do it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reset()

    def reset(self) -> None:
        """Called after a transaction was rolled back: what it has made is gone."""
        self._ready = False
        self._runs: dict[tuple[int, float], int] = {}
        self._streams: set[tuple[int, str]] = set()

    def open(self) -> None:
        """Makes the tables. `run` calls this itself."""
        if not self._ready:
            self._database.connection.execute(_TABLES)
            self._ready = True

    def run(self, delivery: Delivery) -> int:
        """The sink's own number of a delivery's run."""
        key = delivery.run, delivery.started
        number = self._runs.get(key)
        if number is None:
            self.open()
            self._database.connection.execute(_RUN, key)
            number = self._database.connection.execute(
                "SELECT id FROM _crawlerd_run WHERE run = ? AND started = ?", key
            ).get
            assert isinstance(number, int)  # noqa: S101 - it was there or has been made
            if len(self._runs) >= KNOWN_RUNS:
                self._runs.clear()
            self._runs[key] = number
        return number

    def count(self, table: str, stream: str) -> None:
        """From then on, changes of rows of `table`, which has the columns run and change, are counted for the
        stream."""
        self._database.connection.execute(_COUNT.format(table=table, stream=stream))

    @contextmanager
    def inserting(self, table: str, run: int, stream: str) -> Iterator[None]:
        """A block in which rows of the run may be inserted."""
        execute = self._database.connection.execute
        execute(_BEFORE.format(table=table))
        yield
        execute(_BEHIND.format(table=table), (run, stream))

    def begin(self, run: int, stream: str) -> None:
        """Must be called before the first change of a run to a stream."""
        if (run, stream) not in self._streams:
            self._database.connection.execute(
                "INSERT OR IGNORE INTO _crawlerd_tally(run, stream) VALUES (?, ?)", (run, stream)
            )
            if len(self._streams) >= KNOWN_RUNS:
                self._streams.clear()
            self._streams.add((run, stream))

    def totals(self, deliveries: Iterable[Delivery]) -> dict[tuple[int, str], Totals]:
        """The totals of the deliveries' runs, for every stream that was begun."""
        totals: dict[tuple[int, str], Totals] = {}
        for number, run in {self.run(delivery): delivery.run for delivery in deliveries}.items():
            rows: list[tuple[Any, ...]] = self._database.connection.execute(
                "SELECT stream, new + changed + unchanged, new, changed, unchanged, tombstoned FROM _crawlerd_tally "
                "WHERE run = ?",
                (number,),
            ).fetchall()
            totals |= {(run, stream): Totals(*counts) for stream, *counts in rows}
        return totals
