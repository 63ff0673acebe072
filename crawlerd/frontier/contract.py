"""What the frontier takes and gives: the values of its contract, which no database shows through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from crawlerd.core.outcome import Outcome
from crawlerd.core.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RunState = Literal["running", "completed", "completed with dead letters", "failed", "cancelled"]


class Bucket(NamedTuple):
    """A bucket with ready tasks. blocked_until: Unix seconds."""

    id: int
    account: int
    name: str
    blocked_until: float


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A leased task, its account, and what its attempt led to."""

    task: Task
    account: int
    outcome: Outcome


class Committed(NamedTuple):
    """arrived: buckets that got ready tasks, with the first key (priority, seq) of them. ended: runs now over.
    borrowed: (run, account) where a run has got its first tasks for an account that is not its own. fresh: all that a
    bucket got, in order, where that is few and nothing of it was there before: it need not be read."""

    arrived: dict[int, tuple[int, int]]
    ended: list[int]
    borrowed: Sequence[tuple[int, int]] = ()
    fresh: Mapping[int, Sequence[Task]] = {}


class StartedRun(NamedTuple):
    """A new run's id, which is in `ended` as well when it had nothing to do."""

    run: int
    ended: list[int]


class Run(NamedTuple):
    """A run as its row says. started_at, ended_at: Unix seconds. again: it was abandoned, and its import is to begin
    again."""

    id: int
    import_name: str
    account: int
    full: bool
    state: RunState
    started_at: float
    ended_at: float | None
    again: bool = False
