"""The law of orphans: a parent that is gone takes what was last written below it, and nothing else, once."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.sink_batches import batch_of

from crawlerd.core.configuration import SinkSpec
from crawlerd.sink import Batch, Delivery
from crawlerd.sinks import open_sink

KEYS = [f"k{number}" for number in range(6)]
PARENTS = ["p", "p1", "q"]  # one begins with another
RUNS = [1, 2, 3]  # they overlap: each begins when it first writes


class Row(NamedTuple):
    there: bool
    parent: str
    run: int
    at: int


class Orphaned(RuleBasedStateMachine):
    """rows: what the sink is to hold. told: of each key what readers of a sink that hands on are told, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.rows: dict[str, Row] = {}
        self.told: dict[str, list[int | None]] = {}
        self.started: dict[int, int] = {}
        self.now = 0
        self.last: Delivery | None = None

    @initialize()
    def open(self) -> None:
        self.sinks = [
            open_sink(SinkSpec(name="sink", type=kind, path=self.folder / kind)) for kind in ("sqlite", "persist-queue")
        ]

    def teardown(self) -> None:
        for sink in self.sinks:
            sink.close()
        shutil.rmtree(self.folder)

    def deliver(self, run: int, batches: list[Batch], gone: list[str]) -> None:
        orphans = [("things", parent) for parent in gone]
        self.last = Delivery("shop", "acme", run, float(self.started[run]), self.now, batches, [], orphans=orphans)
        for sink in self.sinks:
            sink.write([self.last], float(self.now))

    def next(self, run: int) -> None:
        self.now += 1
        self.started.setdefault(run, self.now)
        self.now += 1

    def put(self, key: str, run: int, parent: str, data: int | None) -> None:
        old = self.rows.get(key, Row(False, "", 0, 0))
        if data is not None or old.there:
            self.told.setdefault(key, []).append(data)
        self.rows[key] = Row(data is not None, parent or old.parent, run, self.now)

    def end(self, run: int, parent: str) -> None:
        for key, row in self.rows.items():
            if row.there and row.parent == parent and (row.run == run or row.at < self.started[run]):
                self.put(key, run, "", None)

    @rule(
        run=st.sampled_from(RUNS),
        rows=st.dictionaries(st.sampled_from(KEYS), st.tuples(st.sampled_from(["", *PARENTS]), st.booleans())),
        gone=st.lists(st.sampled_from([*PARENTS, "nobody"]), max_size=2),
    )
    def write(self, run: int, rows: dict[str, tuple[str, bool]], gone: list[str]) -> None:
        """A task's records, each with its parent or none, some of them tombstones; then its orphans."""
        self.next(run)
        batch = batch_of("things", [(key, {"v": self.now} if there else None) for key, (_, there) in rows.items()])
        parents = [parent for parent, _ in rows.values()]
        batch = msgspec.structs.replace(batch, parents=parents if any(parents) else [])
        self.deliver(run, [batch] if rows else [], gone)
        for key, (parent, there) in rows.items():
            self.put(key, run, parent, self.now if there else None)
        for parent in gone:
            self.end(run, parent)

    @rule(reopened=st.booleans())
    def come_again(self, reopened: bool) -> None:
        """As after a crash before the task's end was noted."""
        if reopened:
            for sink in self.sinks:
                sink.close()
            self.open()
        if self.last and not self.last.batches:  # a record that comes again is there again, until its orphans end it
            for sink in self.sinks:
                sink.write([self.last], self.now + 0.5)

    @invariant()
    def holds_what_is_there(self) -> None:
        if not self.told:
            return
        db = apsw.Connection(str(self.folder / "sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
        found = {key for (key,) in db.execute("SELECT id FROM shop_things WHERE deleted_at IS NULL")}
        db.close()
        assert found == {key for key, row in self.rows.items() if row.there}

    @invariant()
    def tells_each_version_once(self) -> None:
        queue = apsw.Connection(str(self.folder / "persist-queue" / "data.db"), flags=apsw.SQLITE_OPEN_READONLY)
        told: dict[str, list[int | None]] = {}
        for (text,) in queue.execute("SELECT data FROM ack_queue_default ORDER BY _id"):
            line = msgspec.json.decode(bytes(text))
            told.setdefault(line["id"], []).append(line["data"] and line["data"]["v"])
        queue.close()
        assert told == self.told

    @invariant()
    def can_be_asked_for(self) -> None:
        for run, started in self.started.items():
            asked = Delivery("shop", "acme", run, float(started), 0, [], [])
            for parent in PARENTS:
                due = [
                    key
                    for key, row in sorted(self.rows.items())
                    if row.there and row.parent == parent and row.run != run and row.at < started
                ]
                for sink in self.sinks:
                    assert sink.missing(asked, "things", "", "", parent) == due


Orphaned.TestCase.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
test_a_parent_takes_what_was_last_written_below_it = Orphaned.TestCase
