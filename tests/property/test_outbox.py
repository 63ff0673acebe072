"""The law of the outbox: whatever is repeated, killed, lost or refused, each version arrives once, and in order."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.sink_batches import batch_of

from crawlerd.core.configuration import Receiver
from crawlerd.sink import Delivery, Mark, Receipt
from crawlerd.sinks.cutting import MOST_BYTES, RANGES, Version, batches
from crawlerd.sinks.http_sink import HttpSink
from crawlerd.sinks.sqlite.outbox import Sending, Task, read

KEYS = [f"k{number}" for number in range(6)]
FRONTIER = "frontier"


class Flight(NamedTuple):
    """A request under way."""

    run: int
    task: Task
    sending: Sending | None


class Outbox(RuleBasedStateMachine):
    """due: of each record the versions that its receiver is to get, in order. refused: the version that a dead letter
    is about. tasks, dead: of the frontier, with their runs. known, applied: by Idempotency-Key."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.due: defaultdict[str, list[Any]] = defaultdict(list)
        self.seen: dict[str, Any] = dict.fromkeys(KEYS)
        self.refused: dict[str, tuple[int, Any]] = {}
        self.tasks: list[tuple[int, Task]] = []
        self.dead: list[tuple[int, Task]] = []
        self.flights: list[Flight] = []
        self.known: dict[str, Sending] = {}
        self.applied: set[str] = set()
        self.commits, self.run, self.serial = 0, 1, 0

    @initialize(most=st.sampled_from([1, 2, 3, 100]), alone=st.booleans())
    def open(self, most: int, alone: bool) -> None:
        self.receiver = Receiver(
            account="crm",
            base_url="http://x",
            path="/x/{id}" if alone else "/x",
            batch=most,
            fields={"id": "id", "v": "v"},
            gone_path="/x/{key}",
        )
        self.sink = HttpSink(self.folder / "outbox.db", self.receiver)

    def teardown(self) -> None:
        if hasattr(self, "sink"):
            self.drain()
            self.sink.close()
        shutil.rmtree(self.folder)

    def drain(self) -> None:
        """A later run, with a receiver that takes everything, leaves nothing."""
        while self.flights:
            self.answer(0, "done")
        self.tasks, self.dead = [], []  # the old run is given up
        self.begin()
        self.write([])
        while self.tasks:
            self.send(0)
            self.answer(0, "done")
        assert not any(self.due.values()), self.due
        left = self.sink.rows.database.connection.execute("SELECT key FROM _crawlerd_line").fetchall()
        assert sorted(key for (key,) in left) == sorted(self.refused)

    def write(self, deliveries: list[Delivery], *, killed: bool = False) -> None:
        """As the store does. killed: before its commit."""
        deliveries = deliveries or [Delivery("s", "a", self.run, float(self.run), 0, [])]
        mark = Mark(FRONTIER, self.commits + 1)
        self.sink.write(deliveries, 1.0, mark)
        errands = self.sink.outbox.take_errands()
        if killed:
            self.reopen()
            return
        self.commits += 1
        self.tasks += [
            (run, msgspec.json.decode(each.payload, type=Task)) for run, tasks in errands.items() for each in tasks
        ]

    def reopen(self) -> None:
        self.sink.close()
        self.sink = HttpSink(self.folder / "outbox.db", self.receiver)
        self.sink.outbox.call_back(Mark(FRONTIER, self.commits + 1), lambda run: run == self.run)
        self.tasks += [(each.run, each.task) for each in self.flights]
        self.flights = []

    def begin(self) -> None:
        self.run += 1
        self.sink.outbox.call_back(Mark(FRONTIER, self.commits + 1), lambda run: run == self.run)

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=8), how=st.randoms(), kills=st.integers(0, 2))
    def page(self, keys: list[str], how: Any, kills: int) -> None:
        """A task's records are written, up to three times."""
        rows: list[tuple[str, Any]] = []
        for key in keys:
            self.serial += 1
            kind = how.choice(["same", "new", "new", "gone"])
            version = {"same": self.seen[key], "new": self.serial, "gone": None}[kind]
            rows.append((key, version))
            if version != self.seen[key]:
                self.refused.pop(key, None)
                self.due[key].append(version)
            elif version is not None and key in self.refused and self.refused[key][0] != self.run:
                self.due[key].append(self.refused.pop(key)[1])  # another run reads what was refused
            self.seen[key] = version
        data = [(key, None if v is None else {"id": key, "v": v, "noise": how.random()}) for key, v in rows]
        delivery = Delivery("s", "a", self.run, float(self.run), 1, [batch_of("things", data)])
        for _ in range(kills):
            if len(set(keys)) == len(keys):  # else a repeat goes back to what came first, as it should
                self.write([delivery], killed=True)
        self.write([delivery])

    @precondition(lambda self: self.tasks)
    @rule(number=st.integers(0, 100), arrives=st.sampled_from([False, False, True]))
    def send(self, number: int, arrives: bool = True) -> None:
        """A worker takes a task, and its request arrives now or not at all."""
        run, task = self.tasks.pop(number % len(self.tasks))
        sending = read(Path(task.database), task.batch, task.token)
        keys = self.keys(task) if sending else set()
        others = [each for each in self.flights if each.sending and keys & self.keys(each.task)]
        assert not others, "two requests for one record"
        self.flights.append(Flight(run, task, sending))
        if sending:
            assert self.known.setdefault(sending.idempotency_key, sending) == sending, "another batch under a known key"
            if arrives:
                self.apply(task, sending)

    def keys(self, task: Task) -> set[str]:
        select = "SELECT key FROM _crawlerd_line WHERE batch = ?"
        return {key for (key,) in self.sink.rows.database.connection.execute(select, (task.batch,))}

    def apply(self, task: Task, sending: Sending) -> None:
        """As a receiver that honors the key."""
        if sending.path:
            assert len(sending.data) == 1
        versions = [
            (sending.path.rpartition("/")[2], None) if each is None else (data["id"], data["v"])
            for each in sending.data
            for data in [msgspec.json.decode(each or b"null")]
        ]
        assert len(dict(versions)) == len(versions) <= self.receiver.batch
        if sending.idempotency_key in self.applied:
            return
        self.applied.add(sending.idempotency_key)
        for key, version in versions:
            assert self.due[key][:1] == [version], f"{key} gets {version}, and {self.due[key]} is due"
            self.due[key].pop(0)

    @precondition(lambda self: self.flights)
    @rule(
        number=st.integers(0, 100),
        verdict=st.sampled_from(["done", "done", "lost", "refused", "refused", "split", "later"]),
        kills=st.integers(0, 1),
    )
    def answer(self, number: int, verdict: Any, kills: int = 0) -> None:
        flight = self.flights.pop(number % len(self.flights))
        sending = flight.sending
        if sending is None:
            verdict = "done"  # nothing was to be sent
        elif verdict == "lost":
            self.tasks.append((flight.run, flight.task))  # it is tried again
            return
        elif sending.idempotency_key in self.applied or verdict == "done":
            self.apply(flight.task, sending)
            verdict = "done"
        if verdict == "split" and len(sending.data if sending else ()) < 2:
            verdict = "refused"
        current = sending and read(Path(flight.task.database), flight.task.batch, flight.task.token)
        if verdict == "refused" and sending and current:
            for each, key in zip(sending.data, self.lines(flight.task), strict=True):
                version = None if each is None else msgspec.json.decode(each)["v"]
                assert self.due[key].pop(0) == version
                if not self.due[key]:
                    self.refused[key] = self.run_of(flight.task, key), version
        receipt = Receipt(flight.task.batch, flight.task.token, verdict)
        delivery = Delivery("s", "a", flight.run, float(flight.run), 2, [], receipt=receipt)
        back = self.about(flight.task) if sending is None else []
        for _ in range(kills):
            self.write([delivery], killed=True)
        self.write([delivery])
        for key in back:
            self.due[key].insert(0, self.refused.pop(key)[1])
        if verdict in ("refused", "later"):
            self.dead.append((flight.run, flight.task))

    def lines(self, task: Task) -> list[str]:
        select = "SELECT key FROM _crawlerd_line WHERE batch = ? ORDER BY id"
        return [key for (key,) in self.sink.rows.database.connection.execute(select, (task.batch,))]

    def run_of(self, task: Task, key: str) -> int:
        select = "SELECT run FROM _crawlerd_line WHERE batch = ? AND key = ?"
        run: int = self.sink.rows.database.connection.execute(select, (task.batch, key)).get
        return run

    def about(self, task: Task) -> list[str]:
        """Records whose version a retried dead letter brings back."""
        select = (
            "SELECT key FROM _crawlerd_line JOIN _crawlerd_batch AS b ON b.id = -batch WHERE b.id = ? AND b.token = ?"
        )
        rows = self.sink.rows.database.connection.execute(select, (task.batch, task.token))
        return [key for (key,) in rows]

    @precondition(lambda self: self.dead)
    @rule(number=st.integers(0, 100))
    def retry_dead(self, number: int) -> None:
        self.tasks.append(self.dead.pop(number % len(self.dead)))

    @rule()
    def kill(self) -> None:
        self.reopen()
        self.write([])  # what was ready is done again

    @rule(how=st.sampled_from(["given up", "done", "refused", "split", "later"]), retried=st.booleans())
    def next_run(self, how: str, retried: bool) -> None:
        """It begins when the last one has ended, or was given up; its dead letters may be retried all the same."""
        if how == "given up":
            self.tasks, self.dead, self.flights = [], [], []
        while self.tasks or self.flights:
            if self.tasks:
                self.send(0, arrives=False)
            self.answer(0, how)
        self.begin()
        self.write([])
        if retried:
            self.tasks, self.dead = self.tasks + self.dead, []

    @invariant()
    def nothing_waits_for_nobody(self) -> None:
        """What waits is in a range that something is under way of."""
        if not hasattr(self, "sink"):
            return
        execute = self.sink.rows.database.connection.execute
        waiting = execute("SELECT DISTINCT range FROM _crawlerd_line WHERE batch = 0").fetchall()
        under_way = execute("SELECT DISTINCT range FROM _crawlerd_line WHERE batch > 0").fetchall()
        assert set(waiting) <= set(under_way)
        live = execute("SELECT id, token FROM _crawlerd_batch WHERE refused = 0").fetchall()
        tasks = [each.task for each in self.flights] + [task for _, task in self.tasks + self.dead]
        assert set(live) <= {(task.batch, task.token) for task in tasks}


Outbox.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestOutbox = Outbox.TestCase


def versions(count: int, **facts: Any) -> list[Version]:
    return [Version(number, ("s_things", "a", f"k{number}"), 10, 1)._replace(**facts) for number in range(count)]


def ranges(waiting: list[Version]) -> list[list[Version]]:
    return [part for place in range(RANGES) if (part := waiting[place::RANGES])]


def test_little_takes_one_request_and_much_as_many_as_there_are_ranges() -> None:
    assert [len(each) for each in batches(ranges(versions(100)), 500)] == [100]
    assert [len(each) for each in batches(ranges(versions(40 * RANGES)), 40)] == [40] * RANGES
    assert [len(each) for each in batches(ranges(versions(10 * RANGES)), 40)] == [40] * (RANGES // 4)


def test_a_batch_has_a_most_of_bytes_unless_one_version_has_more() -> None:
    large = versions(3, size=MOST_BYTES // 2)
    assert [len(each) for each in batches([large], 500)] == [2]
    assert [len(each) for each in batches([[each] for each in large], 500)] == [2, 1]
    assert [len(each) for each in batches([versions(1, size=3 * MOST_BYTES)], 500)] == [1]


def test_versions_of_a_record_and_tombstones_do_not_share_a_batch() -> None:
    one, other = versions(2)
    assert batches([[one, other._replace(key=one.key)]], 500) == [[one]]
    assert batches([[one, other._replace(alone=True)]], 500) == [[one]]
    assert batches([[one._replace(alone=True), other]], 500) == [[one._replace(alone=True)]]
