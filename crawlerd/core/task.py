"""A task, a group of tasks, and the right to work on one."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

PART = "/"  # before the name of an account's part


class Task(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One API request's worth of work, as it lies in the frontier.

    payload: the typed arguments as JSON.
    attempt: failed attempts so far.
    crashes: worker processes that died while they held it.
    group: the innermost one that it belongs to, 0 for none.
    refused: attempts that were refused while others of its bucket passed.
    chain: tasks of its kind that led to it: each asked for the next one, the last one for this.
    """

    seq: int
    bucket: int
    priority: int
    run: int
    kind: str
    attempt: int
    payload: str
    crashes: int = 0
    group: int = 0
    refused: int = 0
    chain: int = 0


class IfNew(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`task` takes the place of another, of which this is part, unless the run's import has read the list of this
    parent before.

    parent: its `parent_hash`.
    """

    list: str
    parent: str
    task: NewTask


def parent_hash(parent: str) -> str:
    """32 hex digits."""
    return hashlib.blake2b(parent.encode(), digest_size=16).hexdigest()


class NewTask(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A task that a handler or the start of a run asks for.

    unique: in its run, at most one task of this kind and payload is ever made. A repeat is skipped, or, for a
        `sequential` kind, is a cursor that came twice: it becomes a dead letter that says so.
    account: the name of the account that it is for, "/<part>" for a part of that of the task that asks for it, "" for
        that itself.
    mark: if not empty, what makes it the same task as another, in the place of kind and payload.
    if_new: see `IfNew`; whichever it becomes, it counts as both.
    chain: see `Task`.
    """

    kind: str
    bucket: str
    priority: int
    payload: str
    unique: bool = False
    sequential: bool = False
    account: str = ""
    mark: str = ""
    if_new: IfNew | None = None
    chain: int = 0

    def forms(self) -> tuple[NewTask, ...]:
        """Itself, and what may take its place."""
        return (self,) if self.if_new is None else (self, self.if_new.task)

    def prioritised(self, priority: int) -> NewTask:
        """With another priority, whichever it becomes."""
        return self._changed(priority=priority)

    def unsequential(self) -> NewTask:
        """No cursor that repeats where it is asked for twice, whichever it becomes."""
        return self._changed(sequential=False)

    def following(self, task: Task) -> NewTask:
        """As one that `task` asks for."""
        return self._changed(chain=task.chain + 1) if self.kind == task.kind else self

    def _changed(self, **changes: Any) -> NewTask:
        if self.if_new is not None:
            task = msgspec.structs.replace(self.if_new.task, **changes)
            changes["if_new"] = msgspec.structs.replace(self.if_new, task=task)
        return msgspec.structs.replace(self, **changes)

    def key(self, account: int = 0) -> str:
        """32 hex digits: what makes it the same task as another of its run. account: the number of the one that it is
        for, 0 for the run's own."""
        what = self.mark or f"{self.kind}\0{self.payload}"
        if account:
            what += f"\0{account}"
        return hashlib.blake2b(what.encode(), digest_size=16).hexdigest()


class NewGather(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A group that is to be opened: `tasks` and all their descendants; `then` follows when none is left.

    if_dead: with dead letters in the group, run `then` all the same, make it a dead letter as well, or leave it out.
    """

    tasks: list[NewTask]
    then: NewTask
    if_dead: Literal["run", "fail", "skip"] = "run"


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A task, or a group, of an outcome that goes to the frontier in portions. Its place among all entries of the
    outcome decides its number.

    task: the task itself, or the one that follows the group.
    group: 1 + the place of the entry that opens the group it is in; 0 for the one that the asking task is in.
    members: of a group, how many tasks are in it; -1 for a task.
    if_dead: of a group, see `NewGather`.
    """

    task: NewTask
    group: int = 0
    members: int = -1
    if_dead: Literal["run", "fail", "skip"] = "run"


class LeaseBatch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Leases of one account's tasks.

    token: the fence of the first one; that of each next one is one more.
    latest: when they must have started; monotonic seconds, 0 where no limit counts on it.
    """

    token: int
    account: str
    tasks: list[Task]
    latest: float = 0.0
