"""The frontier against a plain model of it: any sequence of commits, wake-ups, retries, mistakes and crashes."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crawlerd.core.errors import FrontierError
from crawlerd.core.outcome import (
    CRASHES,
    Batch,
    Bury,
    Complete,
    Crash,
    Defer,
    Outcome,
    Pause,
    Retry,
    Skipped,
)
from crawlerd.core.task import NewTask, Task
from crawlerd.frontier.change import Counts
from crawlerd.frontier.reader import FrontierReader
from crawlerd.frontier.schema import FILE_NAME
from crawlerd.frontier.sqlite import Frontier, Settled

COUNTERS = tuple(Counts.__dataclass_fields__)
IMPORTS = {"a": "acme", "b": "acme", "c": "zenith"}  # to their accounts
BUCKETS = ("charges", "customers")
COUNTERS = ("open", "delayed", "done", "dead", "retried", "throttled", "records")
START = 1_000_000.0
MEMORY = "/dev/shm"  # noqa: S108 - a private directory in it; thousands of commits need not wait for a disk here

NEW_TASKS = st.lists(
    st.builds(
        lambda kind, bucket, priority, page: NewTask(
            f"s.{kind}", bucket, priority, f'{{"page":{page}}}', kind != "plain", kind == "sequential"
        ),
        st.sampled_from(["plain", "unique", "sequential"]),
        st.sampled_from(BUCKETS),
        st.integers(0, 9),
        st.integers(0, 5),  # few, so that unique ones come twice
    ),
    min_size=1,
    max_size=4,
)
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(
        Complete,
        st.lists(
            st.builds(lambda of, count: Batch(of, count, "[]", []), st.sampled_from(BUCKETS), st.integers(1, 100)),
            max_size=2,
        ),
        st.just([]) | NEW_TASKS,
        st.lists(st.tuples(st.sampled_from(BUCKETS), st.integers(0, 99).map(str)), max_size=2),
        st.lists(
            st.builds(Skipped, st.sampled_from(BUCKETS), st.sampled_from("xyz"), st.just("cannot be serialised")),
            max_size=2,
        ),
    ),
    st.builds(Complete),
    st.builds(Retry, st.sampled_from([0.0, 1.0, 60.0]), st.just("reset")),
    st.builds(Defer, st.just("slow")),
    st.builds(Bury, st.just("gone"), st.booleans(), st.sampled_from(["", "charges"])),
    st.builds(Pause, st.just("no")),
    st.builds(Crash, st.just("died")),
)
STEP = st.sampled_from([0.0, 0.5, 1.0, 100.0])  # seconds from one transaction to the next


@dataclass
class Known:
    """A task as it must be on disk. where: ready, delayed or dead."""

    account: str
    bucket: str
    where: str
    task: Task
    due_at: float = 0.0
    error: str = ""
    denied: bool = False
    stream: str = ""
    at: float = 0.0


@dataclass
class KnownRun:
    name: str
    state: str = "running"
    ended_at: float | None = None
    counts: Counter[str] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)
    staged: dict[str, str] = field(default_factory=dict)
    tally: defaultdict[str, list[Any]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, None]))


class FrontierMachine(RuleBasedStateMachine):
    @initialize()
    def create(self) -> None:
        self.root = Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
        self.folder = self.root / "0"
        self.folder.mkdir()
        self.generation = 0
        self.reading: apsw.Connection | None = None
        self.now = START
        self.frontier = Frontier(self.folder, now=self.now)
        self.accounts = {name: self.frontier.account(name, "s") for name in sorted(set(IMPORTS.values()))}
        self.tasks: dict[int, Known] = {}
        self.runs: dict[int, KnownRun] = {}
        self.cursors: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.paused: dict[str, str] = {}
        self.blocked: dict[int, float] = {}
        self.next_seq = 1
        self.gone = 0

    def teardown(self) -> None:
        self.close()
        shutil.rmtree(self.root)

    def close(self) -> None:
        if self.reading is not None:
            self.reading.close()
            self.reading = None
        self.frontier.close()

    # what may happen

    @rule(name=st.sampled_from(sorted(IMPORTS)), tasks=st.just([]) | NEW_TASKS, full=st.booleans(), step=STEP)
    def start_run(self, name: str, tasks: list[NewTask], full: bool, step: float) -> None:
        self.now += step
        account = IMPORTS[name]
        started = self.frontier.start_run(name, self.accounts[account], tasks, full=full, now=self.now)
        assert started.run == len(self.runs) + 1
        self.runs[started.run] = KnownRun(name)
        for task in tasks:
            self.add(started.run, account, task)
        assert started.ended == self.end_runs([started.run])

    @precondition(lambda self: self.where("ready") or self.where("delayed"))
    @rule(data=st.data(), step=STEP, due=st.sampled_from([0, 1, 500]))
    def commit(self, data: st.DataObject, step: float, due: int) -> None:
        self.now += step
        ready = self.where("ready")
        chosen = data.draw(st.lists(st.sampled_from(ready), unique=True, max_size=6)) if ready else []
        self.commit_outcomes({seq: data.draw(OUTCOMES) for seq in chosen}, data, due)

    @precondition(lambda self: self.where("ready"))
    @rule(
        data=st.data(),
        last=st.lists(
            st.sampled_from([Complete(), Complete([], [], [("charges", "7")]), Bury("gone")]), min_size=1, max_size=2
        ),
        retry=st.booleans(),
    )
    def end_all(self, data: st.DataObject, last: list[Outcome], retry: bool) -> None:
        """Runs come to their end, and somebody may retry what is dead at once."""
        self.commit_outcomes(dict(zip(self.where("ready"), itertools.cycle(last), strict=False)), data, due=0)
        if retry:
            self.retry(self.where("dead"))

    def commit_outcomes(self, outcomes: dict[int, Outcome], data: st.DataObject, due: int) -> None:
        group = [self.settled(seq, outcome) for seq, outcome in outcomes.items()]
        numbers = sorted(self.bucket_ids().values())
        blocked = data.draw(st.dictionaries(st.sampled_from(numbers or [0]), st.floats(0, START), max_size=2))
        committed = self.frontier.commit(group, now=self.now, blocked=blocked, due=due)
        self.blocked.update((number, until) for number, until in blocked.items() if number in numbers)
        woken = sorted((known.due_at, seq) for seq, known in self.tasks.items() if known.where == "delayed")
        touched = {settled.task.run for settled in group}
        arrived = [seq for seq, outcome in outcomes.items() if self.settle(seq, outcome)]
        for settled in group:
            if isinstance(settled.outcome, Complete):
                account = IMPORTS[self.runs[settled.task.run].name]
                arrived += [self.add(settled.task.run, account, child) for child in settled.outcome.children]
        for due_at, seq in woken[:due]:
            if due_at <= self.now:
                known = self.tasks[seq]
                known.where = "ready"
                self.runs[known.task.run].counts["delayed"] -= 1
                arrived.append(seq)
        first: dict[int, tuple[int, int]] = {}
        for seq in arrived:
            if seq in self.tasks and (known := self.tasks[seq]).where == "ready":
                key = known.task.priority, seq
                first[known.task.bucket] = min(first.get(known.task.bucket, key), key)
        assert committed.arrived == first
        assert sorted(committed.ended) == self.end_runs(sorted(touched))

    @precondition(lambda self: self.where("dead"))
    @rule(data=st.data())
    def retry_dead(self, data: st.DataObject) -> None:
        self.retry(data.draw(st.lists(st.sampled_from([*self.where("dead"), 10**9]), min_size=1, unique=True)))

    def retry(self, numbers: list[int]) -> None:
        count, names = self.frontier.retry_dead(numbers)
        found = [number for number in numbers if number in self.tasks]
        assert count == len(found)
        assert names == sorted({self.runs[self.tasks[number].task.run].name for number in found})
        remaining = self.rows("SELECT run, lower(hex(key)) FROM seen")
        for number in found:
            known = self.tasks[number]
            run = self.runs[known.task.run]
            if run.state != "running":  # what is left of the keys that it dropped when it ended counts again
                left = {key for of, key in remaining if of == known.task.run}
                assert left <= run.seen
                run.seen = left
            run.state, run.ended_at = "running", None
            run.counts.update(dead=-1, open=1)
            self.tasks[number] = Known(
                known.account, known.bucket, "ready", self.changed(known.task, attempt=0, crashes=0)
            )

    @rule(data=st.data())
    def settle_what_is_not_ready(self, data: st.DataObject) -> None:
        """A fenced-off outcome that got as far as the frontier, alone or with others: nothing at all is written."""
        ready = self.where("ready")
        others = data.draw(st.lists(st.sampled_from(ready), unique=True, max_size=2)) if ready else []
        stale = data.draw(st.sampled_from([*self.where("delayed"), *self.where("dead"), *others, None]))
        kind = NewTask("s.plain", BUCKETS[0], 5, "{}")
        task = Task(self.next_seq, 1, 5, 1, kind.kind, 0, "{}") if stale is None else self.tasks[stale].task
        if kind.kind not in {name for (name,) in self.rows("SELECT name FROM kind")}:
            return
        outcomes: list[Outcome] = [Complete([], [kind]), Retry(1.0, "reset"), Bury("gone")]
        outcome = data.draw(st.sampled_from(outcomes))
        before = self.dump()
        with pytest.raises(FrontierError, match="not in `ready`; nothing was written"):
            self.frontier.commit(
                [*(self.settled(seq, Complete([], [kind])) for seq in others), Settled(task, 1, outcome)], now=self.now
            )
        assert self.dump() == before

    @rule(name=st.sampled_from(sorted(set(IMPORTS.values()))), reason=st.sampled_from(["no key", None]))
    def pause_or_resume(self, name: str, reason: str | None) -> None:
        if reason:
            self.frontier.pause(self.accounts[name], reason)
            self.paused[name] = reason
        else:
            self.frontier.resume(self.accounts[name])
            self.paused.pop(name, None)

    @rule(crash=st.booleans())
    def open_again(self, crash: bool) -> None:
        if crash:  # what a killed process leaves: the database and its log, copied while both are in use
            self.generation += 1
            folder = self.root / str(self.generation)
            folder.mkdir()
            for suffix in ("", "-wal"):
                if (file := self.folder / f"{FILE_NAME}{suffix}").exists():
                    shutil.copy(file, folder)
            self.folder = folder
        self.close()
        self.frontier = Frontier(self.folder, now=self.now)
        self.paused.clear()
        for name, number in self.accounts.items():
            assert self.frontier.account(name, "s") == number

    # what must always hold

    @invariant()
    def each_task_lies_in_exactly_one_place(self) -> None:
        names = {number: key for key, number in self.bucket_ids().items()}
        ready = self.rows(
            "SELECT bucket, priority, seq, run, kind.name, attempt, crashes, payload FROM ready "
            "JOIN kind ON kind.id = ready.kind ORDER BY seq"
        )
        tasks = [self.tasks[seq].task for seq in self.where("ready")]
        assert ready == [(t.bucket, t.priority, t.seq, t.run, t.kind, t.attempt, t.crashes, t.payload) for t in tasks]
        assert all(names[known.task.bucket] == (known.account, known.bucket) for known in self.tasks.values())
        delayed = self.rows(
            "SELECT due_at, seq, bucket, priority, run, kind.name, attempt, error, payload FROM delayed "
            "JOIN kind ON kind.id = delayed.kind ORDER BY seq"
        )
        assert delayed == [
            (k.due_at, t.seq, t.bucket, t.priority, t.run, t.kind, t.attempt, k.error, t.payload)
            for seq in self.where("delayed")
            if (k := self.tasks[seq]) and (t := k.task)
        ]
        dead = self.rows(
            "SELECT seq, run, bucket, priority, kind.name, attempt, denied, stream, error, payload, at FROM dead "
            "JOIN kind ON kind.id = dead.kind ORDER BY seq"
        )
        assert dead == [
            (seq, t.run, t.bucket, t.priority, t.kind, t.attempt, k.denied, k.stream, k.error, t.payload, k.at)
            for seq in self.where("dead")
            if (k := self.tasks[seq]) and (t := k.task)
        ]
        assert self.next_seq - 1 == len(self.tasks) + self.gone
        assert self.rows("SELECT value FROM next_seq") == [(self.next_seq,)]

    @invariant()
    def counters_are_counts(self) -> None:
        counted: defaultdict[int, Counter[str]] = defaultdict(Counter)
        buckets: Counter[int] = Counter()
        for known in self.tasks.values():
            counted[known.task.run][known.where] += 1
            buckets[known.task.bucket] += known.where == "ready"
        rows = self.rows(f"SELECT id, import, state, ended_at, {', '.join(COUNTERS)} FROM run ORDER BY id")
        assert rows == [
            (number, run.name, run.state, run.ended_at, *(run.counts[name] for name in COUNTERS))
            for number, run in self.runs.items()
        ]
        for number, run in self.runs.items():
            lie = counted[number]
            assert run.counts["open"] == lie["ready"] + lie["delayed"]
            assert (run.counts["delayed"], run.counts["dead"]) == (lie["delayed"], lie["dead"])
            assert (run.state == "running") == (run.counts["open"] > 0)
        assert self.rows("SELECT id, ready, blocked_until FROM bucket ORDER BY id") == [
            (number, buckets[number], self.blocked.get(number, 0.0)) for number in sorted(self.bucket_ids().values())
        ]
        ready = {bucket.id for account in self.accounts.values() for bucket in self.frontier.ready_buckets(account)}
        assert ready == {of for of, count in buckets.items() if count}

    @invariant()
    def heads_are_the_most_urgent_first(self) -> None:
        for number in self.bucket_ids().values():
            tasks = sorted(
                (known.task for known in self.tasks.values() if known.where == "ready" and known.task.bucket == number),
                key=lambda task: (task.priority, task.seq),
            )
            assert self.frontier.heads(number, (-1, -1), 1000) == tasks
            for task in tasks[:1]:
                assert self.frontier.heads(number, (task.priority, task.seq), 2) == tasks[1:3]
        due = [known.due_at for known in self.tasks.values() if known.where == "delayed"]
        assert self.frontier.next_due() == min(due, default=None)

    @invariant()
    def cursors_and_reports_are_as_they_should(self) -> None:
        for name in IMPORTS:
            assert self.frontier.cursors(name) == self.cursors[name]
            running = [number for number, run in self.runs.items() if run.name == name and run.state == "running"]
            assert self.frontier.running_runs(name) == running
            latest = self.frontier.latest_run(name)
            assert (latest and latest.id) == max((n for n, run in self.runs.items() if run.name == name), default=None)
        staged = self.rows("SELECT run, stream, value FROM staged ORDER BY run, stream")
        assert staged == [(n, *item) for n, run in self.runs.items() for item in sorted(run.staged.items())]
        seen: defaultdict[int, set[str]] = defaultdict(set)
        for number, key in self.rows("SELECT run, lower(hex(key)) FROM seen"):
            seen[number].add(key)
        for number, run in self.runs.items():
            if run.state == "running":
                assert seen[number] == run.seen
            else:
                assert seen[number] <= run.seen
        tally = self.rows("SELECT run, stream, records, skipped, skip_reason FROM tally ORDER BY run, stream")
        assert tally == [(n, of, *row) for n, run in self.runs.items() for of, row in sorted(run.tally.items())]
        assert dict(self.rows("SELECT name, paused FROM account WHERE paused IS NOT NULL")) == self.paused

    @invariant()
    def the_reader_says_so_too(self) -> None:
        reader = FrontierReader.open(self.folder)
        assert reader is not None
        with contextlib.closing(reader):
            assert reader.totals() == tuple(len(self.where(place)) for place in ("ready", "delayed", "dead"))
            letters = reader.dead_letters(limit=10_000)
            assert [letter.id for letter in letters] == self.where("dead")

    # the model

    def where(self, place: str) -> list[int]:
        return sorted(seq for seq, known in self.tasks.items() if known.where == place)

    def settled(self, seq: int, outcome: Outcome) -> Settled:
        known = self.tasks[seq]
        return Settled(known.task, self.accounts[known.account], outcome)

    def changed(self, task: Task, *, attempt: int, crashes: int) -> Task:
        return Task(task.seq, task.bucket, task.priority, task.run, task.kind, attempt, task.payload, crashes)

    def add(self, number: int, account: str, new: NewTask) -> int:
        """The seq that the task got, 0 for none."""
        run, bucket = self.runs[number], self.bucket_ids()[account, new.bucket]
        repeated = new.unique and new.key() in run.seen
        if repeated and not new.sequential:
            return 0
        if new.unique:
            run.seen.add(new.key())
        task = Task(self.next_seq, bucket, new.priority, number, new.kind, 0, new.payload)
        self.next_seq += 1
        self.tasks[task.seq] = known = Known(account, new.bucket, "ready", task)
        if repeated:
            error = "the API's cursor repeated: this very page was already asked for in this run"
            self.bury(known, Bury(error, stream=new.bucket))
        else:
            run.counts["open"] += 1
        return task.seq

    def bury(self, known: Known, outcome: Bury) -> None:
        task = known.task
        known.where, known.error, known.denied, known.at = "dead", outcome.error, outcome.denied, self.now
        known.stream = outcome.stream or task.kind.rpartition(".")[2]
        known.task = self.changed(task, attempt=task.attempt + 1, crashes=0)
        self.runs[task.run].counts["dead"] += 1

    def settle(self, seq: int, outcome: Outcome) -> bool:
        """Whether the task became ready anew."""
        known = self.tasks[seq]
        task, run = known.task, self.runs[known.task.run]
        match outcome:
            case Complete():
                del self.tasks[seq]
                self.gone += 1
                run.counts.update(open=-1, done=1, records=sum(batch.count for batch in outcome.batches))
                for batch in outcome.batches:
                    run.tally[batch.stream][0] += batch.count
                for skipped in outcome.skipped:
                    run.tally[skipped.stream][1] += 1
                    run.tally[skipped.stream][2] = f"{skipped.key}: {skipped.reason}"
                run.staged.update(outcome.cursors)
            case Retry():
                known.where, known.due_at, known.error = "delayed", self.now + outcome.delay, outcome.error
                known.task = self.changed(task, attempt=task.attempt + 1, crashes=0)
                run.counts.update(delayed=1, retried=1)
            case Defer():
                run.counts["throttled"] += 1
            case Crash() if task.crashes + 1 < CRASHES:
                known.task = self.changed(task, attempt=task.attempt, crashes=task.crashes + 1)
                return True
            case Crash():
                run.counts["open"] -= 1
                error = f"its worker process died {CRASHES} times while it ran; the last time: {outcome.error}"
                self.bury(known, Bury(error))
            case Bury():
                run.counts["open"] -= 1
                self.bury(known, outcome)
        return False

    def end_runs(self, touched: list[int]) -> list[int]:
        ended = [n for n in touched if self.runs[n].state == "running" and not self.runs[n].counts["open"]]
        for number in ended:
            run = self.runs[number]
            run.ended_at = self.now
            if run.counts["dead"]:
                run.state = "completed with dead letters" if run.counts["done"] else "failed"
                continue
            run.state = "completed"
            if number == max(n for n, other in self.runs.items() if other.name == run.name):
                self.cursors[run.name].update(run.staged)
            run.staged.clear()
        return ended

    def bucket_ids(self) -> dict[tuple[str, str], int]:
        return {
            (account, name): number
            for number, account, name in self.rows(
                "SELECT bucket.id, account.name, bucket.name FROM bucket JOIN account ON account.id = bucket.account"
            )
        }

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Reads beside the frontier."""
        if self.reading is None:
            self.reading = apsw.Connection(str(self.folder / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
        return list(self.reading.execute(statement))

    def dump(self) -> list[list[tuple[Any, ...]]]:
        tables = self.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        return [self.rows(f'SELECT * FROM "{name}"') for (name,) in tables]


TestFrontier = FrontierMachine.TestCase
TestFrontier.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
