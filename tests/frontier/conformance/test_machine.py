"""The frontier against a plain model of it: any sequence of commits, wake-ups, retries, mistakes and crashes."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from places import IMPLEMENTATIONS, NOW, Place
from support.ready_tasks import bucket_heads, ready_buckets

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
from crawlerd.core.pauses import PauseNote
from crawlerd.core.task import IfNew, NewGather, NewTask, Task, parent_hash
from crawlerd.core.wording import counted
from crawlerd.frontier.change import FEW, Counts
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.frontier.reports import Act, OperationReport
from crawlerd.frontier.waiting_contract import Block

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = {"sqlite": 40}  # a server takes a round trip for what a file gives at once
COUNTERS = tuple(Counts.__dataclass_fields__)
ACCOUNTS = ("acme", "zenith")
IMPORTS = {"a": "acme", "b": "acme", "c": "zenith"}  # to their accounts
BUCKETS = ("charges", "customers")

LISTS = ("orders", "lines")
HASHES = tuple(map(parent_hash, "ab"))


def below(kind: str, since: int, full: int, of: str, parent: str) -> NewTask:
    """What reads the list of a parent; both forms may be what plain tasks are as well."""
    forms = [NewTask(f"s.{kind}", BUCKETS[0], 5, f'{{"page":{page}}}', kind != "plain") for page in (since, full)]
    return msgspec.structs.replace(forms[0], if_new=IfNew(of, parent, forms[1]))


PLAIN_TASK = st.builds(
    lambda kind, bucket, priority, page, account: NewTask(
        f"s.{kind}", bucket, priority, f'{{"page":{page}}}', kind != "plain", kind == "sequential", account
    ),
    st.sampled_from(["plain", "unique", "sequential"]),
    st.sampled_from(BUCKETS),
    st.integers(0, 9),
    st.integers(0, 5),  # few, so that unique ones come twice
    st.sampled_from(["", "", *ACCOUNTS]),
)
BELOW = st.builds(
    below,
    st.sampled_from(["plain", "unique"]),
    st.integers(0, 5),
    st.integers(0, 5),
    st.sampled_from(LISTS),
    st.sampled_from(HASHES),
)
NEW_TASK = PLAIN_TASK | PLAIN_TASK | BELOW
READ = st.lists(st.tuples(st.sampled_from(LISTS), st.sampled_from(HASHES), st.booleans()), max_size=2)
NEW_TASKS = st.lists(NEW_TASK, min_size=1, max_size=4)
GATHERS = st.lists(
    st.builds(NewGather, st.lists(NEW_TASK, max_size=3), NEW_TASK, st.sampled_from(["run", "fail"])), max_size=2
)
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(
        Complete,
        st.lists(
            st.builds(lambda of, count: Batch(of, count, [], []), st.sampled_from(BUCKETS), st.integers(1, 100)),
            max_size=2,
        ),
        st.just([]) | NEW_TASKS,
        st.lists(st.tuples(st.sampled_from(BUCKETS), st.integers(0, 99).map(str)), max_size=2),
        st.lists(
            st.builds(Skipped, st.sampled_from(BUCKETS), st.sampled_from("xyz"), st.just("cannot be serialized")),
            max_size=2,
        ),
        st.none(),
        st.just([]) | GATHERS,
        parents=st.just([]) | READ,
    ),
    st.builds(Complete),
    st.builds(Retry, st.sampled_from([0.0, 1.0, 60.0]), st.just("reset")),
    st.builds(
        lambda delay, charged: Defer("slow", delay=delay, charged=charged),
        st.sampled_from([0.0, 1.0, 60.0]),
        st.integers(0, 1),
    ),
    st.builds(Bury, st.just("gone"), st.booleans(), st.sampled_from(["", "charges"])),
    st.builds(Pause, st.just("no")),
    st.builds(Crash, st.just("died")),
)
PLAIN = NewTask("s.plain", BUCKETS[0], 5, "{}")
GATHERING = [
    Complete(gathers=[NewGather([PLAIN], PLAIN, "run")]),
    Complete(gathers=[NewGather([PLAIN], PLAIN, "fail")]),
]
ENDS: list[Outcome] = [*GATHERING, Bury("gone"), Complete()]
STEP = st.sampled_from([0.0, 0.5, 1.0, 100.0])  # seconds from one transaction to the next


@dataclass
class Known:
    """A task as it must be on disk. where: ready, delayed, dead, or waiting for the end of the group of its number."""

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
class KnownGroup:
    """A group that is not over. Its `then` is the task of the same number."""

    run: int
    parent: int
    if_dead: str


@dataclass
class KnownRun:
    name: str
    state: str = "running"
    ended_at: float | None = None
    dropped: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)
    staged: dict[str, str] = field(default_factory=dict)
    tally: defaultdict[str, list[Any]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, None]))


class FrontierMachine(RuleBasedStateMachine):
    def __init__(self, make: Callable[[], Place]) -> None:
        self.make = make
        super().__init__()

    @initialize()
    def create(self) -> None:
        self.place = self.make()
        self.now = NOW
        self.frontier = self.place.open(now=self.now)
        self.accounts = {name: self.frontier.account(name, "s") for name in ACCOUNTS}
        self.tasks: dict[int, Known] = {}
        self.groups: dict[int, KnownGroup] = {}
        self.opened: dict[int, int] = {}
        self.endless: dict[int, int] = {}  # by run, the group of what was submitted to it
        self.submitted: set[int] = set()  # these groups, and those inside of them
        self.followed: Counter[int] = Counter()
        self.borrowed: set[tuple[int, int]] = set()
        self.runs: dict[int, KnownRun] = {}
        self.cursors: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.parents: set[tuple[str, str, str, str]] = set()  # import, account, list, hash
        self.refused: dict[str, str] = {}
        self.held: set[str] = set()  # imports that a person has paused
        self.blocked: dict[int, float] = {}
        self.next_seq = 1
        self.gone = 0

    def teardown(self) -> None:
        self.place.remove()

    # what may happen

    @rule(
        name=st.sampled_from(sorted(IMPORTS)),
        tasks=st.just([]) | NEW_TASKS,
        gathers=st.just([]) | GATHERS,
        full=st.booleans(),
        step=STEP,
    )
    def start_run(self, name: str, tasks: list[NewTask], gathers: list[NewGather], full: bool, step: float) -> None:
        self.now += step
        account = IMPORTS[name]
        started = self.frontier.start_run(name, self.accounts[account], tasks, gathers=gathers, full=full, now=self.now)
        assert started.run == len(self.runs) + 1
        self.runs[started.run] = KnownRun(name)
        groups = [self.open(started.run, account, gather, 0) for gather in gathers]
        for task in tasks:
            self.add(started.run, account, task, 0)
        for gather, group in zip(gathers, groups, strict=True):
            for task in gather.tasks:
                self.add(started.run, account, task, group)
        self.end_groups()
        assert started.ended == self.end_runs([started.run])

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), tasks=st.lists(PLAIN_TASK, min_size=1, max_size=4), step=STEP)
    def submit(self, data: st.DataObject, tasks: list[NewTask], step: float) -> None:
        self.now += step
        number = data.draw(st.sampled_from(sorted(self.runs)))
        run, account = self.runs[number], IMPORTS[self.runs[number].name]
        found = self.frontier.submit(number, tasks, self.now)
        if run.state != "running":
            assert found is None
            return
        assert found is not None
        if number not in self.endless:
            self.endless[number] = self.next_seq
            self.submitted.add(self.next_seq)
            self.next_seq += 1
            self.gone += 1  # it takes a number
        once = [msgspec.structs.replace(task, unique=True, sequential=False) for task in tasks]
        added = [seq for task in once if (seq := self.add(number, account, task, self.endless[number]))]
        assert (found.added, found.open) == (len(added), run.counts["open"])
        assert set(found.committed.arrived) == {(self.tasks[seq].task.bucket, number) for seq in added}
        assert found.committed.ended == []

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
            st.sampled_from([Complete(), Complete([], [], [("charges", "7")]), Bury("gone"), *GATHERING]),
            min_size=1,
            max_size=2,
        ),
        retry=st.booleans(),
    )
    def end_all(self, data: st.DataObject, last: list[Outcome], retry: bool) -> None:
        """Runs come to their end, and somebody may retry what is dead at once."""
        self.commit_outcomes(dict(zip(self.where("ready"), itertools.cycle(last), strict=False)), data, due=0)
        if retry:
            self.retry(self.where("dead"))

    @precondition(lambda self: self.where("ready"))
    @rule(
        data=st.data(), outer=st.sampled_from(GATHERING), ends=st.lists(st.sampled_from(ENDS), min_size=1, max_size=3)
    )
    def nest(self, data: st.DataObject, outer: Outcome, ends: list[Outcome]) -> None:
        """Groups inside groups, down to what ends the innermost."""
        ready = self.where("ready")
        outcomes: dict[int, Outcome] = {data.draw(st.sampled_from(ready)): outer}
        for outcome in [*ends, Bury("gone")]:
            self.commit_outcomes(outcomes, data, due=0)
            newest = max(self.opened)
            outcomes = {seq: outcome for seq in self.where("ready") if self.tasks[seq].task.group == newest}

    def commit_outcomes(self, outcomes: dict[int, Outcome], data: st.DataObject, due: int) -> None:
        group = [self.settled(seq, outcome) for seq, outcome in outcomes.items()]
        numbers = sorted(self.bucket_ids().values())
        blocked = data.draw(st.dictionaries(st.sampled_from(numbers or [0]), st.floats(0, NOW), max_size=2))
        blocks = {number: Block(until) for number, until in blocked.items()}
        committed = self.frontier.commit(group, now=self.now, blocked=blocks, due=due)
        self.blocked.update((number, until) for number, until in blocked.items() if number in numbers)
        woken = sorted((known.due_at, seq) for seq, known in self.tasks.items() if known.where == "delayed")
        touched = {settled.task.run for settled in group}
        accounts = {seq: self.tasks[seq].account for seq in outcomes}
        borrowed = set(self.borrowed)
        dead_before = self.where("dead")
        arrived = [seq for seq, outcome in outcomes.items() if self.settle(seq, outcome)]
        completed = [
            (settled.task, accounts[settled.task.seq], settled.outcome)
            for settled in group
            if isinstance(settled.outcome, Complete)
        ]
        self.close([(task, account) for task, account, _ in completed], dead_before)
        for task, account, outcome in completed:
            for of, parent, whole in outcome.parents:
                place = self.runs[task.run].name, account, of, parent
                (self.parents.add if whole else self.parents.discard)(place)
        members = [
            (task, account, gather.tasks, self.open(task.run, account, gather, task.group))
            for task, account, outcome in completed
            for gather in outcome.gathers
        ]
        for task, account, tasks, opened in members:
            arrived += [self.add(task.run, account, each, opened) for each in tasks]
        for task, account, outcome in completed:
            arrived += [self.add(task.run, account, child, task.group) for child in outcome.children]
        for due_at, seq in woken[:due]:
            if due_at <= self.now:
                known = self.tasks[seq]
                known.where = "ready"
                self.runs[known.task.run].counts["delayed"] -= 1
                arrived.append(seq)
        arrived += self.end_groups()
        assert sorted(committed.borrowed) == sorted(self.borrowed - borrowed)
        first: dict[tuple[int, int], tuple[int, int]] = {}
        for seq in arrived:
            if seq in self.tasks and (known := self.tasks[seq]).where == "ready":
                key, queue = (known.task.priority, seq), (known.task.bucket, known.task.run)
                first[queue] = min(first.get(queue, key), key)
        assert committed.arrived == first
        for queue in first:
            tasks = [task for task in self.frontier.heads(queue, (-1, -1), 10**6) if task.seq in arrived]
            new = len(tasks) <= FEW and not any(task.seq in outcomes for task in tasks)
            assert committed.fresh.get(queue) == (tasks if new else None)
        assert committed.fresh.keys() <= first.keys()
        assert sorted(committed.ended) == self.end_runs(sorted(touched))

    @rule(name=st.sampled_from(sorted(IMPORTS)), paused=st.booleans())
    def hold(self, name: str, paused: bool) -> None:
        running = [number for number, run in self.runs.items() if run.name == name and run.state == "running"]
        if paused:
            note = PauseNote(kind="import", name=name, reason="holidays", by="ann", since=self.now)
            assert self.frontier.pause(note) == running
            self.held.add(name)
        else:
            found = self.frontier.lift("import", name, "ann", self.now)
            assert found == (running if name in self.held else None)
            self.held.discard(name)
        assert {note.name for note in self.frontier.pauses()} == self.held

    @precondition(lambda self: self.where("dead"))
    @rule(data=st.data())
    def retry_dead(self, data: st.DataObject) -> None:
        numbers = st.sampled_from([*self.where("dead"), 10**9])
        self.retry(data.draw(st.lists(numbers, min_size=1, max_size=2, unique=True)))

    def retry(self, numbers: list[int]) -> None:
        count, names = self.frontier.retry_dead(numbers)
        found = {number for number in numbers if number in self.tasks and number not in self.groups}
        for number in sorted(found):
            group = self.tasks[number].task.group
            while group in self.groups and self.tasks[group].where == "dead":
                found.add(group)
                group = self.groups[group].parent
        assert count == len(found)
        assert names == sorted({self.runs[self.tasks[number].task.run].name for number in found})
        remaining = self.rows("SELECT run, key FROM seen")
        for number in found:
            known = self.tasks[number]
            run = self.runs[known.task.run]
            if run.state != "running":  # what is left of the keys that it dropped when it ended counts again
                left = {key.hex() for of, key in remaining if of == known.task.run}
                assert left <= run.seen
                run.seen = left
            run.state, run.ended_at = "running", None
            run.counts.update(dead=-1, open=1, waiting=number in self.groups)
            where = "waiting" if number in self.groups else "ready"
            self.tasks[number] = Known(known.account, known.bucket, where, self.changed(known.task))

    @precondition(lambda self: self.where("dead"))
    @rule(data=st.data())
    def drop_dead(self, data: st.DataObject) -> None:
        numbers = data.draw(st.lists(st.sampled_from(self.where("dead")), min_size=1, max_size=3, unique=True))
        which = LetterFilter(ids=numbers)
        with closing(self.place.reader()) as reader:
            found = reader.count_letters(which)
        begun = self.frontier.begin_operation(
            OperationReport(
                id=0, act="drop", which=which, through=found.through, by="ann", began_at=self.now, total=found.count
            ),
            Act(self.now, "ann", "drop", "dead letters", which.text, found.count),
        )
        stepped = self.frontier.step_operation(begun.id, numbers, self.now)
        assert stepped == (self.drop(numbers), [])

    def close(self, done: list[tuple[Task, str]], dead: list[int]) -> None:
        """Letters that earlier runs of the same import had of tasks that are done."""
        names = {
            (task.run, seq)
            for task, account in done
            for seq in dead
            if (known := self.tasks[seq]).task.run < task.run
            and self.runs[known.task.run].name == self.runs[task.run].name
            and (known.account, known.task.kind, known.task.payload) == (account, task.kind, task.payload)
        }
        self.drop(sorted({seq for _, seq in names}))

    def drop(self, numbers: list[int]) -> int:
        count = 0
        while numbers:
            gone = [
                seq
                for seq in numbers
                if self.tasks[seq].task.group in (0, *self.endless.values())
                or self.runs[self.tasks[seq].task.run].state != "running"
            ]
            count += len(gone)
            groups = {self.tasks[seq].task.group for seq in gone} - {0}
            for seq in gone:
                run = self.runs[self.tasks.pop(seq).task.run]
                run.counts["dead"] -= 1
                run.dropped += 1
                self.gone += 1
            for seq in gone:
                if seq in self.groups:
                    self.leave_group(seq)
            members = {known.task.group for known in self.tasks.values() if known.where == "dead"}
            empty = {group for group in groups - members if group in self.groups and group in self.tasks}
            numbers = sorted(group for group in empty if self.tasks[group].where == "dead")
        return count

    def leave_group(self, number: int) -> None:
        """What is in a group that is over is in the one around it."""
        parent = self.groups.pop(number).parent
        self.followed[number] = 1  # or never will
        for known in self.tasks.values():
            if known.task.group == number:
                known.task = msgspec.structs.replace(known.task, group=parent)
                if known.task.seq in self.groups:
                    self.groups[known.task.seq].parent = parent

    @rule(data=st.data())
    def settle_what_is_not_ready(self, data: st.DataObject) -> None:
        """A fenced-off outcome that got as far as the frontier, alone or with others: nothing at all is written."""
        ready = self.where("ready")
        others = data.draw(st.lists(st.sampled_from(ready), unique=True, max_size=2)) if ready else []
        stale = data.draw(st.sampled_from([*self.where("delayed"), *self.where("dead"), *others, None]))
        task = Task(self.next_seq, 1, 5, 1, PLAIN.kind, 0, "{}") if stale is None else self.tasks[stale].task
        if PLAIN.kind not in {name for (name,) in self.rows("SELECT name FROM kind")}:
            return
        outcomes: list[Outcome] = [Complete([], [PLAIN]), Retry(1.0, "reset"), Bury("gone"), *GATHERING]
        outcome = data.draw(st.sampled_from(outcomes))
        before = self.place.dump()
        with pytest.raises(FrontierError, match="not in `ready`; nothing was written"):
            self.frontier.commit(
                [*(self.settled(seq, Complete([], [PLAIN])) for seq in others), Settled(task, 1, outcome)], now=self.now
            )
        assert self.place.dump() == before

    @rule(name=st.sampled_from(sorted(set(IMPORTS.values()))), reason=st.sampled_from(["no key", None]))
    def refuse_or_accept(self, name: str, reason: str | None) -> None:
        if reason:
            self.frontier.refuse(self.accounts[name], reason, self.now)
            self.refused[name] = reason
        else:
            self.frontier.accept(self.accounts[name], self.now)
            self.refused.pop(name, None)

    @rule(crash=st.booleans())
    def open_again(self, crash: bool) -> None:
        if crash:
            folder = Path(tempfile.mkdtemp(dir=self.place.state_dir.parent))
            left = self.place.killed(folder)
            self.place.remove()
            self.place = left
        else:
            self.place.shut()
        self.frontier = self.place.open(now=self.now)
        self.refused.clear()
        for name, number in self.accounts.items():
            assert self.frontier.account(name, "s") == number

    # what must always hold

    @invariant()
    def each_task_lies_in_exactly_one_place(self) -> None:
        names = {number: key for key, number in self.bucket_ids().items()}
        ready = self.rows(
            "SELECT bucket, priority, seq, run, kind.name, attempt, crashes, payload, grp, refused FROM ready "
            "JOIN kind ON kind.id = ready.kind ORDER BY seq"
        )
        tasks = [self.tasks[seq].task for seq in self.where("ready")]
        assert ready == [
            (t.bucket, t.priority, t.seq, t.run, t.kind, t.attempt, t.crashes, t.payload, t.group, t.refused)
            for t in tasks
        ]
        assert all(names[known.task.bucket] == (known.account, known.bucket) for known in self.tasks.values())
        delayed = self.rows(
            "SELECT due_at, seq, bucket, priority, run, kind.name, attempt, error, payload, grp, refused FROM delayed "
            "JOIN kind ON kind.id = delayed.kind ORDER BY seq"
        )
        assert delayed == [
            (k.due_at, t.seq, t.bucket, t.priority, t.run, t.kind, t.attempt, k.error, t.payload, t.group, t.refused)
            for seq in self.where("delayed")
            if (k := self.tasks[seq]) and (t := k.task)
        ]
        dead = self.rows(
            "SELECT seq, run, bucket, priority, kind.name, attempt, denied, stream, error, payload, at, grp FROM dead "
            "JOIN kind ON kind.id = dead.kind ORDER BY seq"
        )
        assert dead == [
            (seq, t.run, t.bucket, t.priority, t.kind, t.attempt, k.denied, k.stream, k.error, t.payload, k.at, t.group)
            for seq in self.where("dead")
            if (k := self.tasks[seq]) and (t := k.task)
        ]
        assert self.next_seq - 1 == len(self.tasks) + self.gone
        assert self.rows("SELECT value FROM next_seq") == [(self.next_seq,)]

    @invariant()
    def groups_count_what_is_in_them(self) -> None:
        inside: defaultdict[int, Counter[bool]] = defaultdict(Counter)
        for known in self.tasks.values():
            inside[known.task.group][known.where == "dead"] += 1
        assert self.rows(
            "SELECT gather.id, run, parent, open, dead, if_dead, bucket, priority, kind.name, payload FROM gather "
            "JOIN kind ON kind.id = gather.kind ORDER BY gather.id"
        ) == [
            (
                *(number, group.run, group.parent, inside[number][False], inside[number][True], group.if_dead),
                *(then.bucket, then.priority, then.kind, then.payload),
            )
            for number, group in sorted(self.groups.items())
            if (then := self.tasks[number].task)
        ]

    @invariant()
    def what_was_submitted_is_known_by_its_group(self) -> None:
        for known in self.tasks.values():
            assert (known.task.group in self.frontier.submitted_groups) == (known.task.group in self.submitted)

    @invariant()
    def what_follows_a_group_does_so_once(self) -> None:
        """And not at all while the group goes on, or when it has failed."""
        assert set(self.followed.values()) <= {1}
        assert self.opened.keys() == self.followed.keys() | self.groups.keys()
        assert not self.followed.keys() & self.groups.keys()
        for number, group in self.groups.items():
            run, then = self.runs[group.run], self.tasks[number]
            assert then.where == ("waiting" if run.state == "running" and then.where != "dead" else "dead")
            assert then.where == "waiting" or group.if_dead == "fail"

    @invariant()
    def the_check_finds_nothing(self) -> None:
        assert self.place.check() == []

    @invariant()
    def counters_are_counts(self) -> None:
        counted: defaultdict[int, Counter[str]] = defaultdict(Counter)
        buckets: Counter[int] = Counter()
        for known in self.tasks.values():
            counted[known.task.run][known.where] += 1
            buckets[known.task.bucket] += known.where == "ready" and self.runs[known.task.run].name not in self.held
        rows = self.rows(f"SELECT id, import, state, ended_at, {', '.join(COUNTERS)} FROM run ORDER BY id")
        assert rows == [
            (number, run.name, run.state, run.ended_at, *(run.counts[name] for name in COUNTERS))
            for number, run in self.runs.items()
        ]
        for number, run in self.runs.items():
            lie = counted[number]
            assert run.counts["open"] == lie["ready"] + lie["delayed"] + lie["waiting"]
            assert [run.counts[name] for name in ("delayed", "waiting", "dead")] == [
                lie[name] for name in ("delayed", "waiting", "dead")
            ]
            assert (run.state == "running") == (run.counts["open"] > 0)
        assert self.rows("SELECT id, ready, blocked_until FROM bucket ORDER BY id") == [
            (number, buckets[number], self.blocked.get(number, 0.0)) for number in sorted(self.bucket_ids().values())
        ]
        ready = {bucket.id for account in self.accounts.values() for bucket in ready_buckets(self.frontier, account)}
        assert ready == {of for of, count in buckets.items() if count}

    @invariant()
    def heads_are_the_most_urgent_first(self) -> None:
        for number in self.bucket_ids().values():
            tasks = sorted(
                (
                    known.task
                    for known in self.tasks.values()
                    if known.where == "ready"
                    and known.task.bucket == number
                    and self.runs[known.task.run].name not in self.held
                ),
                key=lambda task: (task.priority, task.seq),
            )
            assert bucket_heads(self.frontier, number, (-1, -1), 1000) == tasks
            for task in tasks[:1]:
                assert bucket_heads(self.frontier, number, (task.priority, task.seq), 2) == tasks[1:3]
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
        for number, key in self.rows("SELECT run, key FROM seen"):
            seen[number].add(key.hex())
        for number, run in self.runs.items():
            if run.state == "running":
                assert seen[number] == run.seen
            else:
                assert seen[number] <= run.seen
        tally = self.rows("SELECT run, stream, records, skipped, skip_reason FROM tally ORDER BY run, stream")
        assert tally == [(n, of, *row) for n, run in self.runs.items() for of, row in sorted(run.tally.items())]
        assert dict(self.rows("SELECT name, refused FROM account WHERE refused IS NOT NULL")) == self.refused

    @invariant()
    def parents_are_remembered_by_the_import_that_has_read_them(self) -> None:
        known = set()
        for name, of, key in self.rows("SELECT import, list, hash FROM parent JOIN scope ON id = scope"):
            known.add((name, of, key.hex()))
        expected = set()
        for name, account, of, key in self.parents:
            other = f"{key}\0{self.accounts[account]}"
            expected.add((name, of, key if account == IMPORTS[name] else parent_hash(other)))
        assert known == expected

    @invariant()
    def the_reader_says_so_too(self) -> None:
        with closing(self.place.reader()) as reader:
            assert reader.totals() == tuple(len(self.where(place)) for place in ("ready", "delayed", "waiting", "dead"))
            letters = reader.dead_letters(limit=10_000)
            assert [letter.id for letter in letters] == self.where("dead")

    # the model

    def where(self, place: str) -> list[int]:
        return sorted(seq for seq, known in self.tasks.items() if known.where == place)

    def settled(self, seq: int, outcome: Outcome) -> Settled:
        known = self.tasks[seq]
        return Settled(known.task, self.accounts[known.account], outcome)

    def changed(
        self, task: Task, *, attempt: int = 0, crashes: int = 0, group: int | None = None, refused: int = 0
    ) -> Task:
        group = task.group if group is None else group
        key = task.seq, task.bucket, task.priority, task.run, task.kind
        return Task(*key, attempt, task.payload, crashes, group, refused)

    def known(self, number: int, account: str, new: NewTask, where: str, group: int) -> Known:
        """A new task, under the next number."""
        account = new.account or account
        if account != IMPORTS[self.runs[number].name]:
            self.borrowed.add((number, self.accounts[account]))
        task = Task(
            *(self.next_seq, self.bucket_ids()[account, new.bucket], new.priority, number, new.kind, 0, new.payload),
            group=group,
        )
        self.next_seq += 1
        self.tasks[task.seq] = known = Known(account, new.bucket, where, task)
        return known

    def open(self, number: int, account: str, new: NewGather, parent: int) -> int:
        group = self.known(number, account, new.then, "waiting", parent).task.seq
        self.groups[group] = KnownGroup(number, parent, new.if_dead)
        if parent in self.submitted:
            self.submitted.add(group)
        self.opened[group] = number
        self.runs[number].counts.update(open=1, waiting=1)
        return group

    def end_groups(self) -> list[int]:
        """The tasks that became ready because groups are over."""
        ready = []
        while over := {
            number
            for number in self.groups
            if self.tasks[number].where == "waiting"
            and not any(k.task.group == number and k.where != "dead" for k in self.tasks.values())
        }:
            for number in over:
                then, group, run = self.tasks[number], self.groups[number], self.runs[self.groups[number].run]
                letters = [k for k in self.tasks.values() if k.task.group == number]
                run.counts["waiting"] -= 1
                if letters and group.if_dead == "fail":
                    run.counts["open"] -= 1
                    count = counted(len(letters), "dead letter")
                    self.bury(then, Bury(f"not run: {count} in its group; it waits for those retried"))
                    continue
                then.where = "ready"
                ready.append(number)
                self.followed[number] += 1
                del self.groups[number]
                for known in letters:
                    known.task = self.changed(known.task, attempt=known.task.attempt, group=group.parent)
                    if known.task.seq in self.groups:
                        self.groups[known.task.seq].parent = group.parent
        return ready

    def add(self, number: int, account: str, new: NewTask, group: int) -> int:
        """The seq that the task got, 0 for none."""
        run, asking, account = self.runs[number], account, new.account or account
        of = 0 if account == IMPORTS[run.name] else self.accounts[account]
        keys = {form.key(of) for form in new.forms() if form.unique}
        repeated = bool(keys & run.seen)
        run.seen |= keys
        if new.if_new and (run.name, asking, new.if_new.list, new.if_new.parent) not in self.parents:
            new = new.if_new.task
        if repeated and not new.sequential:
            return 0
        known = self.known(number, account, new, "ready", group)
        task = known.task
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
                known.task = self.changed(task, attempt=task.attempt + 1, crashes=0, refused=task.refused)
                run.counts.update(delayed=1, retried=1)
            case Defer():
                known.where, known.due_at, known.error = "delayed", self.now + outcome.delay, outcome.error
                refused = task.refused + outcome.charged
                known.task = self.changed(task, attempt=task.attempt + outcome.charged, crashes=0, refused=refused)
                run.counts.update(delayed=1, throttled=1)
            case Crash() if task.crashes + 1 < CRASHES:
                known.task = self.changed(task, attempt=task.attempt, crashes=task.crashes + 1, refused=task.refused)
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
            letters = [k for k in self.tasks.values() if k.task.run == number and k.where == "dead"]
            own = [letter for letter in letters if letter.task.group not in self.submitted]
            lost = {letter.stream for letter in own}  # of a run of which only denied things are dead
            newest = number == max(n for n, other in self.runs.items() if other.name == run.name)
            if newest and not run.dropped and all(letter.denied for letter in own):
                self.cursors[run.name].update({of: at for of, at in run.staged.items() if of not in lost})
            if letters or run.dropped:
                run.state = "completed with dead letters" if run.counts["done"] else "failed"
                continue
            run.state = "completed"
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
        return self.place.query(statement)


def test_the_frontier_does_as_its_model_whatever_happens(implementation: str) -> None:
    make = IMPLEMENTATIONS[implementation].make
    run_state_machine_as_test(
        lambda: FrontierMachine(make),
        settings=settings(
            max_examples=EXAMPLES.get(implementation, 10),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
