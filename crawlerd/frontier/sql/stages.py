"""Tasks and groups that an outcome has sent ahead: stores them, takes them over with the outcome, and makes them ready
in slices."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from crawlerd.core.errors import FrontierError
from crawlerd.core.task import Entry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from crawlerd.frontier.change import Change
    from crawlerd.frontier.contract import Ahead, Settled
    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.sql.enqueue import Enqueuer

_entries = msgspec.json.Decoder(list[Entry]).decode

MOST_SECONDS = 0.008  # of each commit, for making staged tasks ready, since other tasks wait for the commit
MOST_ROWS = 20

_STAGED = "SELECT count(*), coalesce(sum(count), 0), coalesce(max(first + count), 0) FROM stage WHERE id = ?"
# Finds stages without an unfolding. Reads only keys, since rows are large.
_LEFT = "SELECT DISTINCT id FROM stage WHERE id NOT IN (SELECT stage FROM unfolding) ORDER BY id"
_PENDING = """SELECT stage FROM unfolding WHERE run NOT IN (SELECT id FROM run WHERE state = 'cancelled')
ORDER BY stage"""
_ABANDON = """DELETE FROM unfolding WHERE run IN (SELECT id FROM run WHERE state = 'cancelled')
RETURNING stage, run, count"""


class Staging(NamedTuple):
    """The portions that the lease of one task has sent ahead so far."""

    token: int
    run: int
    stage: int


class Stages:
    """Stores portions, and makes them ready. Used in the frontier's transactions. Call `begin` first, and `rolled_back`
    after a rollback.

    Which lease has sent which stage is known only in memory, like the leases themselves. So after a crash, a stage
    without an `unfolding` belongs to no lease, and is deleted at the next opening.
    """

    def __init__(self, db: Database, enqueuer: Enqueuer, most: int) -> None:
        """most: how many rows one commit deletes."""
        self._db, self._enqueuer, self._most = db, enqueuer, most
        self._next: int = (
            1
            + db.execute(
                "SELECT max(coalesce((SELECT max(id) FROM stage), 0), coalesce((SELECT max(stage) FROM unfolding), 0))"
            ).get
        )
        self._staging: dict[int, Staging] = {}  # by task number
        self._pending = deque(stage for (stage,) in db.execute(_PENDING))
        self._void = deque(stage for (stage,) in db.execute(_LEFT))
        self._rows = 1  # how many rows one commit makes ready
        self._before: tuple[dict[int, Staging], deque[int], deque[int]] | None = None

    def __bool__(self) -> bool:
        """Whether each commit has rows to make ready or to delete."""
        return bool(self._pending or self._void)

    @property
    def unfolding(self) -> bool:
        return bool(self._pending)

    def begin(self) -> None:
        self._before = self._staging.copy(), self._pending.copy(), self._void.copy()

    def rolled_back(self) -> None:
        if self._before is not None:
            self._staging, self._pending, self._void = self._before

    def put(self, portions: Iterable[Ahead]) -> None:
        """Stores portions that leases send ahead. Drops those of an earlier lease of the same task."""
        for portion in portions:
            task = portion.task
            staging = self._staging.get(task.seq)
            if staging is not None and staging.token != portion.token:
                self._drop(task.seq)
                staging = None
            if not portion.entries:
                continue
            if staging is None:
                staging = self._staging[task.seq] = Staging(portion.token, task.run, self._next)
                self._next += 1
            first = portion.first
            for count, text in portion.entries:
                self._db.execute(
                    "INSERT INTO stage VALUES (?, ?, ?, ?, ?)", (staging.stage, first, task.seq, count, text)
                )
                first += count

    def take_over(self, change: Change, group: Sequence[Settled], void: Collection[tuple[int, int]]) -> None:
        """Begins to unfold what the `Complete` outcomes of a group have sent ahead. Drops the portions of the group's
        other outcomes, and of the leases in `void`."""
        for task, account, sent in change.sent:
            staging = self._staging.get(task.seq)
            stage = staging.stage if staging and staging.token == sent.token else 0
            _, count, end = next(self._db.execute(_STAGED, (stage,)))
            if (count, end) != (sent.count, sent.count):
                raise FrontierError(
                    f"task {task.seq} has led to {sent.count:,} tasks, but {count:,} are staged; nothing was written"
                )
            if not sent.count:
                continue
            del self._staging[task.seq]
            base = self._enqueuer.reserve(sent.count)
            self._db.execute(
                "INSERT INTO unfolding VALUES (?, ?, ?, ?, ?, ?, ?)",
                (stage, task.run, account, task.group, base, sent.count, sent.priority),
            )
            self._pending.append(stage)
        if self._staging:
            for settled in group:
                self._drop(settled.task.seq)
            for number, token in void:
                if number in self._staging and self._staging[number].token == token:
                    self._drop(number)

    def step(self, change: Change) -> None:
        """Makes some rows of one unfolding ready, of each in turn, and deletes some rows without an owner."""
        if self._pending:
            self._unfold(change, self._pending[0])
        if self._void:
            stage = self._void[0]
            self._db.execute(
                "DELETE FROM stage WHERE id = ?1 AND first IN (SELECT first FROM stage WHERE id = ?1 LIMIT ?2)",
                (stage, self._most),
            )
            if self._db.changes() < self._most:
                self._void.popleft()

    def took(self, seconds: float) -> None:
        """Call with the seconds that the last `step` took, including the writes: adapts the size of the next one."""
        if seconds > MOST_SECONDS:
            self._rows = max(1, self._rows // 2)
        elif seconds < MOST_SECONDS / 2:
            self._rows = min(MOST_ROWS, self._rows + 1)

    def abandon(self) -> None:
        """Call when runs were abandoned: stops their unfoldings."""
        for stage, run, count in list(self._db.execute(_ABANDON)):
            self._db.execute("UPDATE run SET open = open - ? WHERE id = ?", (count, run))
            self._pending.remove(stage)
            self._void.append(stage)
        if self._staging:
            over = {run for (run,) in self._db.execute("SELECT id FROM run WHERE state = 'cancelled'")}
            for task in [task for task, staging in self._staging.items() if staging.run in over]:
                self._drop(task)

    def _unfold(self, change: Change, stage: int) -> None:
        run, account, group, base, left, priority = next(
            self._db.execute("SELECT run, account, grp, base, count, priority FROM unfolding WHERE stage = ?", (stage,))
        )
        rows = list(
            self._db.execute(
                "SELECT first, count, entries FROM stage WHERE id = ? ORDER BY first LIMIT ?", (stage, self._rows)
            )
        )
        first, last = rows[0][0], rows[-1][0]
        count = sum(row[1] for row in rows)
        entries = [entry for row in rows for entry in _entries(row[2])]
        if priority is not None:
            entries = [msgspec.structs.replace(each, task=each.task.prioritised(priority)) for each in entries]
        placed = [
            (number, base + each.group - 1 if each.group else group, each)
            for number, each in enumerate(entries, base + first)
        ]
        self._enqueuer.unfold(change, run, account, placed)
        self._db.execute("DELETE FROM stage WHERE id = ? AND first <= ?", (stage, last))
        if count < left:
            self._db.execute("UPDATE unfolding SET count = count - ? WHERE stage = ?", (count, stage))
            self._pending.rotate(-1)
        else:
            self._db.execute("DELETE FROM unfolding WHERE stage = ?", (stage,))
            self._pending.popleft()

    def _drop(self, task: int) -> None:
        staging = self._staging.pop(task, None)
        if staging is not None:
            self._void.append(staging.stage)
