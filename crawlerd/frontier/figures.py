"""Adds up what a group of outcomes adds to the figures of runs, so that few rows are written. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crawlerd.core.histogram import bin_of, level_of
from crawlerd.core.outcome import NO_REQUEST
from crawlerd.core.redaction import cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.core.outcome import Complete, Made
    from crawlerd.core.task import NewGather, NewTask, Task

START = ""  # used as a kind: the tasks that a run began with
SLOWEST = 20  # how many of the slowest attempts of a run are kept
ABOUT = 120  # most characters of a slow task's arguments
MOST_ARGUMENTS = 10_000  # most characters of arguments that are read for that

Stage = tuple[int, str, int]  # run, kind, level of chain


@dataclass(slots=True)
class StageCounts:
    """What to add to the counters of the tasks of one run, kind and level.

    longest: the length of the longest chain of this kind that has a task at this level.
    """

    open: int = 0
    done: int = 0
    dead: int = 0
    longest: int = 0


@dataclass(slots=True)
class Answers:
    """Counts of requests of a run that had the same status, and of the bytes of their responses."""

    requests: int = 0
    received: int = 0


@dataclass(slots=True)
class Figures:
    """What to add to the figures of runs.

    stages: counts of tasks, by run, kind and level of chain.
    served: finished tasks, by run, kind and bucket.
    asked: tasks that finished tasks have yielded, by the stage of the finished task and the kind of the new one.
    durations: attempts at finished tasks, by run, kind and bin.
    answers: requests, by run and status; 0 for no response.
    slow: the slowest attempts of each run, as (seconds, task number, kind, shortened arguments).
    """

    stages: defaultdict[Stage, StageCounts] = field(default_factory=lambda: defaultdict(StageCounts))
    served: Counter[tuple[int, str, int]] = field(default_factory=Counter)
    asked: Counter[tuple[int, str, int, str]] = field(default_factory=Counter)
    durations: Counter[tuple[int, str, int]] = field(default_factory=Counter)
    answers: defaultdict[tuple[int, int], Answers] = field(default_factory=lambda: defaultdict(Answers))
    slow: defaultdict[int, list[tuple[float, int, str, str]]] = field(default_factory=lambda: defaultdict(list))

    def stage(self, run: int, kind: str, chain: int) -> StageCounts:
        """The counters of tasks, for the caller to change. chain: see `Task`."""
        return self.stages[run, kind, level_of(chain)]

    def did(self, run: int, kind: str, chain: int, bucket: int, count: int) -> None:
        """Counts finished tasks."""
        stage = self.stage(run, kind, chain)
        stage.open -= count
        stage.done += count
        self.served[run, kind, bucket] += count

    def opened(self, run: int, kind: str, chain: int, count: int) -> None:
        """Counts new tasks."""
        if count:
            stage = self.stage(run, kind, chain)
            stage.open += count
            stage.longest = max(stage.longest, chain + 1)

    def asks(self, task: Task, outcome: Complete) -> None:
        """Counts the tasks that a finished task has yielded."""
        level = level_of(task.chain)
        kinds = [child.kind for child in outcome.children]
        if outcome.gathers or outcome.errands:
            kinds += _kinds(outcome.errands, outcome.gathers)
        same = kinds.count(kinds[0]) if kinds else 0  # takes a third of the time of a Counter
        for kind, count in {kinds[0]: same}.items() if same and same == len(kinds) else Counter(kinds).items():
            self.asked[task.run, task.kind, level, kind] += count
        if outcome.sent is not None:
            for kind, _, count in outcome.sent.kinds:
                self.asked[task.run, task.kind, level, kind] += count

    def begins(self, run: int, tasks: Sequence[NewTask], gathers: Sequence[NewGather]) -> None:
        """Counts the first tasks of a run."""
        for kind in _kinds(tasks, gathers):
            self.asked[run, START, 0, kind] += 1

    def attempt(self, task: Task, made: Made, *, done: bool) -> None:
        """Counts the cost of an attempt. done: it was the task's last one."""
        if made.status != NO_REQUEST:
            answers = self.answers[task.run, made.status]
            answers.requests += 1
            answers.received += made.received
        if done:
            self.durations[task.run, task.kind, bin_of(made.seconds)] += 1
        slow = self.slow[task.run]
        if len(slow) < SLOWEST or made.seconds > slow[0][0]:
            slow.append((made.seconds, task.seq, task.kind, in_short(cut(task.payload, MOST_ARGUMENTS), ABOUT)))
            slow.sort()
            del slow[:-SLOWEST]


def in_short(text: str, most: int) -> str:
    """Shortens a text to `most` characters: keeps the beginning, and more of the end, where tasks of a kind differ."""
    return text if len(text) <= most else f"{text[: most // 4]}…{text[len(text) - (most - most // 4 - 1) :]}"


def _kinds(tasks: Sequence[NewTask], gathers: Sequence[NewGather]) -> list[str]:
    members = [task.kind for gather in gathers for task in (gather.then, *gather.tasks)]
    return [*(task.kind for task in tasks), *members]
