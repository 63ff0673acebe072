"""Sinks and frontiers that are deleted, copied, put back and swapped: what a complete run has imported is there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.ready_tasks import bucket_heads, ready_buckets

from crawlerd.core.errors import FrontierRefused
from crawlerd.core.outcome import Batch, Complete
from crawlerd.core.task import NewTask
from crawlerd.frontier import begin_new, check, restore
from crawlerd.frontier.contract import Bounds, Frontier, Settled
from crawlerd.frontier.sqlite.database import FILE_NAME
from crawlerd.frontier.sqlite.frontier import SqliteFrontier
from crawlerd.sink import Delivery
from crawlerd.sinks.sqlite.sink import sqlite_sink

if TYPE_CHECKING:
    from crawlerd.core.task import Task
    from crawlerd.sinks.deliveries import RowSink

MEMORY = "/dev/shm"  # noqa: S108 - a private directory in it; thousands of commits need not wait for a disk here
SINKS = ("one", "two")
IMPORTS = ("a", "b")  # both into the same sink at a time
BOUNDS = Bounds(slice=3)


class Machine(RuleBasedStateMachine):
    """The API has the records 0 … `count` - 1. A full run asks for each in a task of its own, an incremental one for
    those from its sync point on. What is killed leaves its files as they are."""

    @initialize()
    def create(self) -> None:
        self.root = Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
        self.state = self.root / "state"
        self.state.mkdir()
        self.now, self.count, self.copies = 1e6, 3, 0
        self.path = {name: self.root / f"{name}.db" for name in SINKS}
        self.used = SINKS[0]
        self.old_frontiers: list[Path] = []
        self.old_sinks: list[Path] = []

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(
        names=st.lists(st.sampled_from(IMPORTS), min_size=1, max_size=2, unique=True),
        steps=st.integers(0, 12),
        killed=st.sampled_from(["no", "after the sink", "after the commit"]),
    )
    def work(self, names: list[str], steps: int, killed: str) -> None:
        """A process that opens both, and works until it has ended or is killed."""
        self.now += 10
        self.count += 2
        try:
            frontier = SqliteFrontier(self.state, now=self.now, bounds=BOUNDS)
        except FrontierRefused:  # with its log, all of it was lost
            begin_new(self.state, force=True)
            frontier = SqliteFrontier(self.state, now=self.now, bounds=BOUNDS)
        sink = sqlite_sink(self.path[self.used])
        try:
            attached = frontier.attach(self.used, sink.state(frontier.mark.frontier), self.now)
        except FrontierRefused:
            frontier.close()
            sink.close()
            self.refused()
            return
        account = frontier.account("acme", "shop")
        runs: dict[int, str] = {}
        for name in names:
            frontier.bind(name, attached.id, self.now)
            running = frontier.running_runs(name)
            if not running:
                since = int(frontier.cursors(name, attached.id).get("items", "0"))
                tasks = [NewTask("shop.item", "items", 5, str(number)) for number in range(since, self.count)]
                first = NewTask("shop.mark", "items", 9, str(self.count))
                running = [
                    frontier.start_run(name, account, [*tasks, first], full=False, now=self.now, sink=attached.id).run
                ]
            runs |= dict.fromkeys(running, name)
        left = steps if killed != "no" else 10_000
        while left and (task := self.next_task(frontier, runs)):
            left -= 1
            started = frontier.run(task.run).started_at
            number = task.payload
            last = task.kind == "shop.mark"
            batches = [] if last else [Batch("items", 1, [number], [f'{{"n":{number}}}'.encode()], ["n"])]
            outcome = Complete(batches, cursors=[("items", number)] if last else [])
            if batches:
                sink.write([Delivery("shop", "acme", task.run, started, task.seq, batches)], self.now, frontier.mark)
            if not left and killed == "after the sink":
                break
            written = [attached.id] if batches else []
            frontier.commit([Settled(task, account, outcome)], now=self.now, written=written)
        if killed == "no":
            while frontier.chores:
                frontier.commit([], now=self.now)
            known = max(int(frontier.cursors(name, attached.id)["items"]) for name in names)
            frontier.close()
            sink.close()
            self.assert_all_there(known)
        else:
            self.kill(frontier, sink)
        self.old_sinks.append(self.copy(self.path[self.used]))
        self.old_frontiers.append(self.copy(self.state / FILE_NAME))

    def next_task(self, frontier: Frontier, runs: dict[int, str]) -> Task | None:
        for bucket in ready_buckets(frontier, None):
            for task in bucket_heads(frontier, bucket.id, (-1, -1), 1000):
                if task.run in runs:
                    return task
        return None

    def kill(self, frontier: Frontier, sink: RowSink) -> None:
        """The files as they are, without what a clean end does to them."""
        kept = self.root / "kept"
        kept.mkdir()
        files = [self.state / FILE_NAME, self.path[self.used]]
        for file in files:
            for suffix in ("", "-wal"):
                if (each := file.with_name(file.name + suffix)).exists():
                    shutil.copy(each, kept)
        frontier.close()
        sink.close()
        for file in files:
            for suffix in ("", "-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
                if (each := kept / (file.name + suffix)).exists():
                    shutil.copy(each, file.parent)
        shutil.rmtree(kept)

    def refused(self) -> None:
        """By mistake an old frontier was in its place, or its log was lost. The person accepts it."""
        assert restore(self.state, self.state / FILE_NAME)

    def assert_all_there(self, known: int) -> None:
        """known: how many records there were when the runs began."""
        database = apsw.Connection(str(self.path[self.used]), flags=apsw.SQLITE_OPEN_READONLY)
        rows = database.execute("SELECT id FROM shop_items WHERE deleted_at IS NULL").fetchall()
        database.close()
        assert {key for (key,) in rows} >= {str(number) for number in range(known)}

    # what people and disks do

    def copy(self, path: Path) -> Path:
        """A database with its log, as one file."""
        self.copies += 1
        target = self.root / f"copy{self.copies}"
        source = apsw.Connection(str(path))
        source.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        made = apsw.Connection(str(target))
        with made.backup("main", source, "main") as backup:
            backup.step(-1)
        made.pragma("journal_mode", "delete")
        made.close()
        source.close()
        return target

    def put(self, copy: Path | None, path: Path) -> None:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        if copy:
            shutil.copy(copy, path)

    @precondition(lambda self: self.old_sinks)
    @rule(data=st.data())
    def put_a_sink_back(self, data: st.DataObject) -> None:
        self.put(data.draw(st.sampled_from(self.old_sinks)), self.path[self.used])
        self.work(["a"], 0, "no")

    @rule(what=st.sampled_from(["delete", "other", "swap", "log"]))
    def lose_a_sink(self, what: str) -> None:
        path = self.path[self.used]
        if what == "delete":
            self.put(None, path)
        elif what == "other":
            self.used = SINKS[1 - SINKS.index(self.used)]
        elif what == "swap" and all(each.exists() for each in self.path.values()):
            copies = [self.copy(self.path[name]) for name in SINKS]
            for copy, name in zip(copies, reversed(SINKS), strict=True):
                self.put(copy, self.path[name])
        else:
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        self.work(["b", "a"], 0, "no")

    @precondition(lambda self: self.old_frontiers)
    @rule(data=st.data(), way=st.sampled_from(["put back", "restore", "log"]))
    def lose_a_frontier(self, data: st.DataObject, way: str) -> None:
        path = self.state / FILE_NAME
        if way == "put back":
            self.put(data.draw(st.sampled_from(self.old_frontiers)), path)
        elif way == "restore":
            restore(self.state, data.draw(st.sampled_from(self.old_frontiers)))
        else:
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        self.work(["a", "b"], 0, "no")
        self.work(["a", "b"], 0, "no")  # in case the first was refused

    @invariant()
    def every_invariant_holds(self) -> None:
        if (self.state / FILE_NAME).exists():
            assert check(self.state).broken == []


TestSinksAndFrontiers = Machine.TestCase
TestSinksAndFrontiers.settings = settings(
    max_examples=60, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
)
