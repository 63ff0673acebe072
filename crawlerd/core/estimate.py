"""Estimates when a run will end: the number of tasks that are left, and the time that the slowest bucket needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import NamedTuple

from crawlerd.core.histogram import level_of

MOST_STEPS = 20_000  # of a chain; beyond this there is no estimate
MOST_TASKS = 1e9  # beyond this there is no estimate either
LEAST_DONE = 0.15  # share of its tasks that a run must have done when there is no earlier run to compare with
FEW = 5  # tasks of a stage that must have ended to predict what the others will yield; or a tenth of the open ones


class Stage(NamedTuple):
    """The tasks of a run of one kind and level of chain.

    longest: tasks of the longest chain up to this level.
    """

    open: int
    done: int
    dead: int
    longest: int


class RunFlow(NamedTuple):
    """Which tasks have yielded the tasks of a run, and how fast tasks are done.

    stages: the counts of tasks, by kind and level (see `level_of`).
    asked: how many tasks of a kind the finished tasks of a kind and level have yielded, by (kind, level, new kind);
        the kind "" stands for the start of the run.
    served: finished tasks by kind and bucket.
    rates: tasks per second, by bucket.
    seconds: the seconds of an attempt, by kind.
    last_at: when a task was last finished; Unix seconds, 0.0 when none was.
    """

    stages: Mapping[tuple[str, int], Stage]
    asked: Mapping[tuple[str, int, str], int]
    served: Mapping[tuple[str, int], int]
    rates: Mapping[int, float]
    seconds: Mapping[str, float]
    last_at: float = 0.0


class Estimate(NamedTuple):
    """An estimate of the rest of a run.

    tasks: how many tasks are probably left, including those that were not yielded yet.
    seconds: the time until the end, at the rate of the last minutes.
    """

    tasks: float
    seconds: float


class _Left(NamedTuple):
    """The tasks that are left, by kind, and the seconds that their longest chain takes."""

    tasks: Mapping[str, float]
    chain: float


def estimate(flow: RunFlow, before: RunFlow | None = None) -> Estimate | None:
    """Estimates the rest of a run. Returns None when too little is done, or it is unknown what the open tasks will
    yield.

    before: the flow of the last completed run of the same import, if any.
    """
    over = sum(each.done + each.dead for each in flow.stages.values())
    own, known = _by_own_figures(flow), _by_run_before(flow, before) if before else None
    share = over / (over + sum(own.tasks.values())) if own and over else 0.0
    if known is None:
        left = own if share >= LEAST_DONE else None
    elif own is None:
        left = known
    else:  # the more of the run is done, the more its own figures count
        kinds = {*own.tasks, *known.tasks}
        mixed = {kind: share * own.tasks.get(kind, 0.0) + (1 - share) * known.tasks.get(kind, 0.0) for kind in kinds}
        left = _Left(mixed, share * own.chain + (1 - share) * known.chain)
    if left is None:
        return None
    seconds = _seconds(flow, left.tasks)
    return None if seconds is None else Estimate(sum(left.tasks.values()), max(seconds, left.chain))


def _by_own_figures(flow: RunFlow) -> _Left | None:
    """The open tasks, and the tasks that they will yield if they are like the finished ones."""
    made: defaultdict[str, int] = defaultdict(int)
    for (kind, _), stage in flow.stages.items():
        made[kind] += stage.open + stage.done + stage.dead
    wanted: defaultdict[str, int] = defaultdict(int)
    for (_, _, child), asked in flow.asked.items():
        wanted[child] += asked
    children: defaultdict[tuple[str, int], list[tuple[str, float]]] = defaultdict(list)
    for (kind, level, child), asked in flow.asked.items():
        ended = flow.stages.get((kind, level))
        if ended and ended.done:  # a task that is yielded twice counts once
            fresh = min(1.0, made[child] / wanted[child])
            children[kind, level].append((child, fresh * asked / (ended.done + ended.dead)))
    # The open tasks by kind and length of chain. One length stands for each level, from which the next levels follow.
    now: dict[tuple[str, int], float] = {}
    for (kind, level), stage in flow.stages.items():
        if stage.open > 0:
            now[kind, _middle(level, stage.longest)] = float(stage.open)
    left: defaultdict[str, float] = defaultdict(float)
    chain = 0.0
    for _ in range(MOST_STEPS):
        if not now:
            return _Left(left, chain)
        then: defaultdict[tuple[str, int], float] = defaultdict(float)
        for (kind, length), count in now.items():
            left[kind] += count
            level = level_of(length)
            stage = flow.stages.get((kind, level), Stage(0, 0, 0, 0))
            if stage.done + stage.dead < min(FEW, max(1.0, stage.open / 10)):
                if not _asks_nothing(flow, kind, level):
                    return None
                continue
            for child, each in children[kind, level]:
                then[child, length + 1 if child == kind else 0] += count * each
        steps = [flow.seconds.get(kind, 0.0) for (kind, _), count in now.items() if count >= 0.5]
        chain += max(steps, default=0.0)
        now = {place: count for place, count in then.items() if count > 0.01}
        if sum(left.values()) > MOST_TASKS:
            return None
    return None


def _asks_nothing(flow: RunFlow, kind: str, level: int) -> bool:
    """Whether tasks of a kind probably yield nothing, although few of this level are finished: those of other levels
    have yielded nothing."""
    ended = sum(stage.done for (of, _), stage in flow.stages.items() if of == kind)
    return ended >= FEW and not any(of == kind and count for (of, _, _), count in flow.asked.items())


def _middle(level: int, longest: int) -> int:
    """A typical length of the chains of a level. longest: the length of the longest chain."""
    if level_of(level) == level:
        return level
    least = 1 << (level - 5)
    return min(longest - 1, 2 * least - 1) if longest > least else least


def _by_run_before(flow: RunFlow, before: RunFlow) -> _Left | None:
    """The tasks of the earlier run, minus those that have ended in this one. None if this run is much larger."""
    left: dict[str, float] = {}
    chain = 0.0
    for kind in {kind for kind, _ in (*flow.stages, *before.stages)}:
        ours = [stage for (of, _), stage in flow.stages.items() if of == kind]
        theirs = [stage for (of, _), stage in before.stages.items() if of == kind]
        over = sum(stage.done + stage.dead for stage in ours)
        opened = sum(stage.open for stage in ours)
        usual = sum(stage.done + stage.dead for stage in theirs)
        if opened and over + opened > 1.25 * usual + FEW:
            return None
        left[kind] = float(max(opened, usual - over))
        length = max((stage.longest for stage in theirs), default=0) - max((stage.longest for stage in ours), default=0)
        if opened or usual > over:
            seconds = flow.seconds.get(kind, before.seconds.get(kind, 0.0))
            chain = max(chain, max(0, length) * seconds)
    return _Left(left, chain)


def _seconds(flow: RunFlow, left: Mapping[str, float]) -> float | None:
    """The seconds until the slowest bucket has done its tasks. The tasks of a kind are assumed to be in the same
    buckets as so far; those of a new kind in the bucket with the most tasks."""
    need: defaultdict[int, float] = defaultdict(float)
    homeless = 0.0
    for kind, count in left.items():
        homes = {bucket: done for (of, bucket), done in flow.served.items() if of == kind}
        whole = sum(homes.values())
        for bucket, done in homes.items():
            need[bucket] += count * done / whole
        homeless += 0.0 if homes else count
    if homeless:
        if not flow.rates:
            return None
        need[max(flow.rates, key=lambda bucket: (need[bucket], bucket))] += homeless
    if any(count > 0 and bucket not in flow.rates for bucket, count in need.items()):
        return None
    return max((count / flow.rates[bucket] for bucket, count in need.items() if count > 0), default=0.0)
