"""The figures of a run, for people: what it cost, and what happened to it."""

from __future__ import annotations

import msgspec


class KindFigures(msgspec.Struct, frozen=True):
    """The tasks of one kind."""

    kind: str
    # unfinished tasks: ready, delayed, waiting for a group, or leased
    open: int
    done: int
    dead: int
    # tasks of the longest chain, in which each task has yielded the next one of the same kind
    longest_chain: int
    # half of the attempts at finished tasks took this many seconds or less; None before one was measured
    p50: float | None
    p95: float | None


class AnswerFigures(msgspec.Struct, frozen=True):
    """The requests of a run that had the same status."""

    # the HTTP status; 0 when no complete response came
    status: int
    requests: int
    # bytes of the response bodies
    received: int


class SlowTask(msgspec.Struct, frozen=True):
    """A task with one of the slowest attempts."""

    task: int
    kind: str
    # its arguments, shortened
    about: str
    seconds: float


class RunEvent(msgspec.Struct, frozen=True):
    """Something that happened to a run."""

    # Unix seconds
    at: float
    text: str


class RunFigures(msgspec.Struct, frozen=True):
    """The figures of a run: what it cost, and what happened to it."""

    # kinds with the most tasks first
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
