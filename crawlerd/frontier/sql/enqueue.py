"""Inserts tasks and groups: gives them numbers, and leaves out tasks that the same run has already had."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from crawlerd.core.outcome import Bury
from crawlerd.core.task import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.core.task import Entry, NewGather, NewTask
    from crawlerd.frontier.change import Change
    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.sql.groups import Execute
    from crawlerd.frontier.sql.names import Names
    from crawlerd.frontier.sql.parents import Parents

MOST_SUBMITTED = 10_000  # when more groups are in memory, those that have ended are removed
OPEN = (
    "INSERT INTO gather(id, run, parent, if_dead, bucket, priority, kind, payload, submitted) SELECT value->>0, "
    "value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8 FROM json_each(?)"
)


class Enqueuer:
    """Inserts tasks and groups. Used in the frontier's transactions.

    submitted: groups of submitted tasks; some of them may have ended.
    """

    def __init__(self, db: Database, names: Names, parents: Parents, execute: Execute) -> None:
        self._db, self._names, self._parents, self._execute = db, names, parents, execute
        self._next_seq = 0
        self.submitted: set[int] = set()
        self._most_submitted = 0
        self.rolled_back()

    def rolled_back(self) -> None:
        """The last transaction was rolled back: reads again which numbers were given out."""
        self._next_seq = self._db.execute("SELECT value FROM next_seq").get
        self._find_submitted()

    def open(
        self, change: Change, gathers: Sequence[tuple[int, int, NewGather, int]]
    ) -> list[tuple[int, int, NewTask, int]]:
        """Inserts new groups. Returns their tasks, which the caller must add.

        gathers: (run, account, group, outer group).
        """
        rows, members = [], []
        for run, account, gather, parent in gathers:
            then = gather.then
            bucket = self._names.bucket(self._account_for(change, run, account, then), then.bucket)
            kind = self._names.kind(then.kind)
            row = (self._next_seq, run, parent, gather.if_dead, bucket, then.priority, kind, then.payload)
            rows.append((*row, self._inherits(self._next_seq, parent)))
            members += [(run, account, task, self._next_seq) for task in gather.tasks]
            change.runs[run].open += 1
            change.figures.opened(run, then.kind, 0, 1)
            change.runs[run].waiting += 1
            change.groups[self._next_seq].open += 0  # makes it known to `settle`: an empty group ends at once
            if parent:
                change.groups[parent].open += 1
            self._next_seq += 1
        self._execute(OPEN, rows)
        self._db.execute("UPDATE next_seq SET value = ?", (self._next_seq,))
        return members

    def _inherits(self, group: int, parent: int) -> int:
        """1 if a new group is inside a group of submitted tasks, else 0."""
        if parent not in self.submitted:
            return 0
        if len(self.submitted) >= self._most_submitted:
            self._find_submitted()
        self.submitted.update((parent, group))
        return 1

    def _find_submitted(self) -> None:
        rows = list(self._db.execute("SELECT id FROM gather INDEXED BY gather_submitted WHERE submitted > 0"))
        self.submitted.clear()
        self.submitted.update(group for (group,) in rows)
        self._most_submitted = 2 * len(self.submitted) + MOST_SUBMITTED

    def reserve(self, count: int) -> int:
        """Reserves `count` consecutive numbers. Returns the first."""
        first = self._next_seq
        self._next_seq += count
        self._db.execute("UPDATE next_seq SET value = ?", (self._next_seq,))
        return first

    def unfold(self, change: Change, run: int, account: int, entries: Sequence[tuple[int, int, Entry]]) -> None:
        """Makes tasks and groups of a large outcome ready, which were counted with the outcome.

        entries: (number, group, entry); a group comes before its tasks.
        """
        rows, tasks, numbers = [], [], []
        # These were counted with the outcome; `add` counts those that it inserts once more.
        undone = Counter((each.task.kind, each.task.chain) for _, _, each in entries if each.members < 0)
        for (name, chain), count in undone.items():
            change.runs[run].open -= count
            change.figures.stage(run, name, chain).open -= count
        for number, group, entry in entries:
            task = entry.task
            if entry.members < 0:
                tasks.append((run, account, task, group))
                numbers.append(number)
                if group:
                    change.groups[group].open -= 1
                continue
            bucket = self._names.bucket(self._account_for(change, run, account, task), task.bucket)
            kind = self._names.kind(task.kind)
            row = (number, run, group, entry.if_dead, bucket, task.priority, kind, task.payload)
            rows.append((*row, self._inherits(number, group)))
            change.runs[run].waiting += 1
            change.groups[number].open += entry.members  # an empty group ends at once
        self._execute(OPEN, rows)
        self.add(change, tasks, numbers)

    def add(
        self, change: Change, tasks: Sequence[tuple[int, int, NewTask, int]], numbers: Sequence[int] | None = None
    ) -> None:
        """Inserts new tasks; leaves out a task that must be unique in its run and was there before.

        tasks: (run, account, task, group).
        numbers: the numbers of the tasks; without them, each inserted task gets the next number.
        """
        if not tasks:
            return
        keys = [self._keys(run, account, task) for run, account, task, _ in tasks]
        before = {
            (run, key)
            for run, key in self._execute(
                "SELECT j.value->>0, j.value->>1 FROM json_each(?) AS j "
                "JOIN seen ON seen.run = j.value->>0 AND seen.key = unhex(j.value->>1)",
                (key for its in keys for key in its),
            )
        }
        fresh: list[tuple[int, str]] = []
        of, name, chain, kind, count = 0, "", 0, 0, 0  # the last tasks of one run, kind and chain, and how many
        for place, ((run, account, task, group), its) in enumerate(zip(self._chosen(tasks), keys, strict=True)):
            if task.account:
                account = self._account_for(change, run, account, task)
            bucket = self._names.bucket(account, task.bucket)
            if task.kind != name or run != of or task.chain != chain:
                change.opened(of, name, chain, count)
                of, name, chain, count = run, task.kind, task.chain, 0
                kind = self._names.kind(name)
            repeated = not before.isdisjoint(its)
            if its:
                new = [key for key in its if key not in before]
                before.update(new)
                fresh += new
            if repeated and not task.sequential:
                continue
            if numbers is None:
                seq = self._next_seq
                self._next_seq += 1
            else:
                seq = numbers[place]
            if repeated:
                change.bury(
                    Task(seq, bucket, task.priority, run, task.kind, 0, task.payload, group=group, chain=task.chain),
                    kind,
                    Bury(
                        "the API's cursor repeated: this very page was already asked for in this run",
                        stream=task.bucket,
                    ),
                )
            else:
                change.make_ready(bucket, task.priority, seq, run, kind, 0, task.payload, group, 0, chain)
                count += 1
                if group:
                    change.groups[group].open += 1
        change.opened(of, name, chain, count)
        self._execute("INSERT INTO seen SELECT value->>0, unhex(value->>1) FROM json_each(?)", fresh)
        self._db.execute("UPDATE next_seq SET value = ?", (self._next_seq,))

    def _account_for(self, change: Change, run: int, account: int, task: NewTask) -> int:
        """The account that a new task of a run is for. Notes the account when it is not the run's own."""
        account = self._names.account(account, task)
        if task.account and self._names.borrows(run, account):
            change.borrowed.append((run, account))
        return account

    def _chosen(self, tasks: Sequence[tuple[int, int, NewTask, int]]) -> Sequence[tuple[int, int, NewTask, int]]:
        """The tasks. A task for a parent that is new to the import is replaced by its `if_new` task."""
        if all(task.if_new is None for _, _, task, _ in tasks):
            return tasks
        places = [
            (run, account, task.if_new.list, task.if_new.parent) if task.if_new else None
            for run, account, task, _ in tasks
        ]
        known = self._parents.known(place for place in places if place)
        return [
            (run, account, task.if_new.task if task.if_new and place not in known else task, group)
            for (run, account, task, group), place in zip(tasks, places, strict=True)
        ]

    def _keys(self, run: int, account: int, task: NewTask) -> tuple[tuple[int, str], ...]:
        """The keys by which the same task of its run is found; none when the run may have the task twice."""
        if task.if_new is None and not task.unique:
            return ()
        number = self._names.account(account, task)
        of = 0 if number == self._names.owner(run) else number
        if task.if_new is None:
            return ((run, task.key(of)),)
        return tuple({(run, form.key(of)): None for form in task.forms() if form.unique})
