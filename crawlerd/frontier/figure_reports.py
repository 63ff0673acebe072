"""What people are told of a run's figures: what it cost, and what happened to it."""

from __future__ import annotations

import msgspec


class KindFigures(msgspec.Struct, frozen=True):
    """The tasks of one kind."""

    kind: str
    # tasks that are not over: ready, delayed, waiting for a group, or leased
    open: int
    done: int
    dead: int
    # tasks of the longest chain, in which each has asked for the next one of the same kind
    longest_chain: int
    # seconds that an attempt at a done task took, or less; None before one was measured
    p50: float | None
    p95: float | None


class AnswerFigures(msgspec.Struct, frozen=True):
    """The requests that had one status."""

    # of HTTP; 0 where no complete answer came
    status: int
    requests: int
    # bytes of the answers' bodies
    received: int


class SlowTask(msgspec.Struct, frozen=True):
    """A task with one of the slowest attempts."""

    task: int
    kind: str
    # its arguments, cut
    about: str
    seconds: float


class RunEvent(msgspec.Struct, frozen=True):
    """Something that happened to a run."""

    # Unix seconds
    at: float
    text: str


class RunFigures(msgspec.Struct, frozen=True):
    """What a run cost."""

    # those with the most tasks first
    kinds: list[KindFigures] = []
    # by status
    answers: list[AnswerFigures] = []
    # the slowest first, 20 at most
    slowest: list[SlowTask] = []
    # the oldest first; of more than 100, the newest
    events: list[RunEvent] = []

    @property
    def requests(self) -> int:
        return sum(each.requests for each in self.answers)

    @property
    def received(self) -> int:
        return sum(each.received for each in self.answers)
