"""A task, a group of tasks, and a batch of leases."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

PART = "/"  # precedes the name of a part of an account


class Task(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One API request's worth of work, as stored in the frontier.

    payload: the typed arguments as JSON.
    attempt: failed attempts so far.
    crashes: how many worker processes died while they had it.
    group: the innermost group that it belongs to, 0 for none.
    refused: attempts that were refused while others of its bucket passed.
    chain: how many tasks of its kind are before it in its chain, in which each has yielded the next one.
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
    """An alternative of a task: `task` replaces it, unless the run's import has read the list of this parent before.

    list: the name of the list, see `crawlerd.source.ParentRead`.
    parent: the `parent_hash` of the parent.
    """

    list: str
    parent: str
    task: NewTask


def parent_hash(parent: str) -> str:
    """A hash of a parent's name: 32 hex digits."""
    return hashlib.blake2b(parent.encode(), digest_size=16).hexdigest()


class NewTask(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A new task, which a handler or the start of a run has yielded.

    unique: a run has at most one task of this kind and payload. A repeated one is left out. If its kind is
        `sequential`, it is a repeated cursor of the API, and becomes a dead letter that says so.
    account: the name of the account that it is for; "/<part>" for a part of the yielding task's account; "" for that
        account itself.
    mark: if not empty, tasks with the same mark are the same task, whatever their kind and payload.
    if_new: see `IfNew`. Both alternatives count as the same task.
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
        """The task, and the one that may replace it."""
        return (self,) if self.if_new is None else (self, self.if_new.task)

    def prioritised(self, priority: int) -> NewTask:
        """The task, and the one that may replace it, with another priority."""
        return self._changed(priority=priority)

    def unsequential(self) -> NewTask:
        """The task, and the one that may replace it, changed so that a repetition is not a repeated cursor."""
        return self._changed(sequential=False)

    def following(self, task: Task) -> NewTask:
        """The task as one that `task` has yielded: with its length of chain."""
        return self._changed(chain=task.chain + 1) if self.kind == task.kind else self

    def _changed(self, **changes: Any) -> NewTask:
        if self.if_new is not None:
            task = msgspec.structs.replace(self.if_new.task, **changes)
            changes["if_new"] = msgspec.structs.replace(self.if_new, task=task)
        return msgspec.structs.replace(self, **changes)

    def key(self, account: int = 0) -> str:
        """A hash by which the same task of a run is found: 32 hex digits. account: the number of the account that it is
        for, 0 for the run's own."""
        what = self.mark or f"{self.kind}\0{self.payload}"
        if account:
            what += f"\0{account}"
        return hashlib.blake2b(what.encode(), digest_size=16).hexdigest()


class NewGather(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A new group: `tasks` and all their descendants; `then` follows when all of them have ended.

    if_dead: what to do when the group has dead letters: run `then` anyway, make it a dead letter, or leave it out.
    """

    tasks: list[NewTask]
    then: NewTask
    if_dead: Literal["run", "fail", "skip"] = "run"


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A task or a group of an outcome that is sent in portions. Its number follows from its index among all entries of
    the outcome.

    task: the task itself, or the follow-up task of the group.
    group: 1 + the index of the entry of the group that it is in; 0 for the group of the yielding task.
    members: for a group, how many tasks it has; -1 for a task.
    if_dead: for a group, see `NewGather`.
    """

    task: NewTask
    group: int = 0
    members: int = -1
    if_dead: Literal["run", "fail", "skip"] = "run"


class LeaseBatch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Leases of one account's tasks.

    token: the token of the first lease; each further lease has the next number.
    latest: when they must have started; monotonic seconds, 0 when no limit depends on it.
    """

    token: int
    account: str
    tasks: list[Task]
    latest: float = 0.0
