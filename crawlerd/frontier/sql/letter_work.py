"""Retries and drops dead letters, one by one or by an operation, which continues after a crash."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.histogram import level_of
from crawlerd.frontier.change import Change
from crawlerd.frontier.letter_contract import Stepped
from crawlerd.frontier.reports import OperationReport
from crawlerd.frontier.sql import groups
from crawlerd.frontier.sql.acts import PeoplesActs
from crawlerd.frontier.sql.erasing_notes import check_scope, erase_notes, letters_of
from crawlerd.frontier.sql.pause_rows import note_act

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crawlerd.core.erasure import ErasedNotes, ErasureScope
    from crawlerd.frontier.contract import Committed
    from crawlerd.frontier.reports import Act
    from crawlerd.frontier.sql.dead_rows import Execute
    from crawlerd.frontier.sql.event_rows import EventRows
    from crawlerd.frontier.sql.parents import Parents

KEPT = 366 * 86_400.0  # seconds for which operations that have ended are kept
COLUMNS = ", ".join(OperationReport.__struct_fields__)
# Not dropped: letters of runs that are being removed, and letters of a group whose run is under way, since the group's
# follow-up task must know them.
_DROP = """DELETE FROM dead WHERE seq IN (SELECT value->>0 FROM json_each(?))
AND run NOT IN (SELECT id FROM run WHERE state = 'cancelled')
AND (grp = 0 OR grp IN (SELECT id FROM gather WHERE submitted = 2)
    OR run NOT IN (SELECT id FROM run WHERE state = 'running'))
RETURNING seq, run, grp, kind, chain"""
_LESS = "UPDATE gather SET dead = dead - j.value->>1 FROM json_each(?) AS j WHERE gather.id = j.value->>0"
_EMPTY = "SELECT id FROM gather WHERE id IN (SELECT value->>0 FROM json_each(?)) AND open = 0 AND dead = 0"
_FOLLOW = "SELECT id, parent, dead FROM gather WHERE id IN (SELECT value->>0 FROM json_each(?))"
_MORE = "UPDATE gather SET dead = dead + j.value->>1 FROM json_each(?) AS j WHERE gather.id = j.value->>0"
_DROPPED = """UPDATE run SET dead = dead - j.value->>1, dropped = dropped + j.value->>1 FROM json_each(?) AS j
WHERE run.id = j.value->>0"""

_STAGE = """UPDATE figure SET x = x - j.value->>3 FROM json_each(?) AS j
WHERE run = j.value->>0 AND what = 1 AND a = j.value->>1 AND b = j.value->>2 AND c = 0"""


class LetterWork(PeoplesActs):
    """Retries and drops dead letters. Part of a frontier. The subclass sets these attributes."""

    _events: EventRows
    _purging: list[int]
    _parents: Parents

    @abstractmethod
    def _apply(self, change: Change) -> Committed: ...

    @abstractmethod
    def _execute(self, statement: str, rows: Iterable[Sequence[object]]) -> list[Any]: ...

    def retry_dead(self, numbers: Sequence[int], act: Act | None = None) -> tuple[int, list[str]]:
        with self._transaction():
            count, imports, runs = self._retry(numbers)
            if act and count:
                self._events.of_runs(runs, f"dead letters are retried by {act.by}", act.at)
                note_act(self._db, msgspec.structs.replace(act, count=count))
            self._answers.done((count, imports))
        self._purging = [run for run in self._purging if run not in runs]  # these runs need their keys again
        return count, imports

    def begin_operation(self, operation: OperationReport, act: Act) -> OperationReport:
        with self._transaction():
            self._db.execute("DELETE FROM operation WHERE ended_at < ?", (operation.began_at - KEPT,))
            number: int = self._db.execute(
                "INSERT INTO operation(act, which, through, by, reason, state, began_at, total) "
                "VALUES (?, ?, ?, ?, ?, 'running', ?, ?) RETURNING id",
                (
                    *(operation.act, msgspec.json.encode(operation.which).decode(), operation.through),
                    *(operation.by, operation.reason, operation.began_at, operation.total),
                ),
            ).get
            if act.count:
                note_act(self._db, act)
            return self._answers.done(msgspec.structs.replace(operation, id=number))

    def running_operations(self) -> list[OperationReport]:
        rows = self._read(f"SELECT {COLUMNS} FROM operation WHERE state = 'running' ORDER BY id")  # noqa: S608 - our own text
        return [operation_of(row) for row in rows]

    def step_operation(self, operation: int, numbers: Sequence[int], now: float) -> Stepped | None:
        runs: set[int] = set()
        with self._transaction():
            state, act, through = next(
                self._db.execute("SELECT state, act, through FROM operation WHERE id = ?", (operation,)), ("", "", 0)
            )
            if state != "running":
                return None
            meant = [number for (number,) in self._execute(_MEANT.format(through), ((each,) for each in numbers))]
            count, imports = len(meant), list[str]()
            if act == "retry":
                count, imports, runs = self._retry(meant)
            elif act == "drop":
                count = drop(meant, self._execute)
            self._db.execute(
                "UPDATE operation SET error = NULL, seen = seen + ?2, done = done + ?3, last = max(last, ?4), "
                "state = iif(?5 = 1, 'done', state), ended_at = iif(?5 = 1, ?6, NULL) WHERE id = ?1",
                (operation, len(meant), count, max(numbers, default=0), not numbers, now),
            )
        self._purging = [run for run in self._purging if run not in runs]
        return Stepped(count, imports)

    def end_operation(self, operation: int, error: str | None, act: Act | None, now: float) -> bool:
        with self._transaction():
            self._db.execute(
                "UPDATE operation SET state = ?2, error = ?3, ended_at = ?4 WHERE id = ?1 AND state = 'running'",
                (operation, "cancelled" if error is None else "failed", error, now),
            )
            found = bool(self._db.changes())
            if found and act:
                note_act(self._db, act)
        return found

    def forget_letters(self, scope: ErasureScope, after: int) -> tuple[int, int | None]:
        with self._transaction():
            check_scope(self._db, scope)
            numbers, last = letters_of(self._db, scope, after)
            return drop(numbers, self._execute), last

    def forget_notes(self, scope: ErasureScope, act: Act) -> ErasedNotes:
        with self._transaction():
            check_scope(self._db, scope)
            erased = erase_notes(self._db, scope, act)
        self._parents.find()
        return erased

    def check_scope(self, scope: ErasureScope) -> None:
        with self._errors():
            check_scope(self._db, scope)

    def _retry(self, numbers: Sequence[int]) -> tuple[int, list[str], set[int]]:
        """Makes dead letters ready again. Returns how many there were, their imports and their runs."""
        change = Change(0.0)
        count = groups.retry(numbers, change, self._execute)
        runs = list(change.runs)
        imports = self._runs.go_on(runs)
        self._pauses.again(runs)
        self._apply(change)
        return count, imports, set(runs)


_MEANT = "SELECT seq FROM dead WHERE seq IN (SELECT value->>0 FROM json_each(?)) AND number <= {} ORDER BY seq"


def operation_of(row: Sequence[Any]) -> OperationReport:
    facts = dict(zip(OperationReport.__struct_encode_fields__, row, strict=True))
    return msgspec.convert({**facts, "filter": msgspec.json.decode(facts["filter"])}, OperationReport)


def drop(numbers: Sequence[int], execute: Execute) -> int:
    """Deletes dead letters, and counts them in their runs. Returns how many there were. A follow-up task is deleted
    with the last dead letter of its group, since it could never be retried."""
    count = 0
    todo: list[int] = list(numbers)
    while todo:
        gone = execute(_DROP, ((number,) for number in todo))
        count += len(gone)
        execute(_DROPPED, Counter(run for _, run, *_ in gone).items())
        stages = Counter((run, kind, level_of(chain)) for _, run, _, kind, chain in gone)
        execute(_STAGE, ((*stage, number) for stage, number in stages.items()))
        groups_of = Counter(group for _, _, group, *_ in gone if group)
        execute(_LESS, groups_of.items())
        _forget_groups([number for number, *_ in gone], execute)
        todo = [group for (group,) in execute(_EMPTY, ((group,) for group in groups_of))]
    return count


def _forget_groups(followers: Sequence[int], execute: Execute) -> None:
    """Closes groups whose follow-up tasks were dropped: their dead letters count in the outer group."""
    over = execute(_FOLLOW, ((number,) for number in followers))
    execute(_MORE, ((parent, dead) for _, parent, dead in over if parent))
    for statement in groups.CLOSE if over else ():
        execute(statement, ((group, parent) for group, parent, _ in over))
