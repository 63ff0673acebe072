"""Recent rates, and where the time goes: from the engine's counters, read once a second."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.metric_labels import RecordChange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.engine.engine import Engine
    from crawlerd.operations.history import History

STAGES = ("requested", "waited", "handled", "written", "stored")
COUNTED = ("requests", "permitted", "throttled", "records", "new", *STAGES)
SERIES = (*COUNTED, "memory", "free")
NOW_SECONDS = 10  # a current rate is the mean over this time
LATE_SECONDS = 300  # the time over which throttling and stages are reported
FULL_MINUTES = 60  # measurements of the disk from which its end is predicted
LEAST_MINUTES = 10


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """Recent rates. None: not measured yet.

    requests, permitted: per second: requests sent, and requests that the limits would have let accounts with work send.
    throttled, answers: in the last five minutes.
    records, new: per second.
    stages: shares of the time of tasks in the last five minutes, the API's first.
    memory: resident bytes of the daemon and its workers.
    free: free bytes of the fullest disk.
    full_in: seconds until it is full, at the pace of the last hour; None if it does not fill up.
    """

    requests: float | None
    permitted: float | None
    throttled: int
    answers: int
    records: float | None
    new: float | None
    stages: dict[str, float]
    memory: int | None
    free: int | None
    full_in: float | None


def counters(engine: Engine) -> dict[str, float]:
    """Counters of the engine since its start. Any thread may ask."""
    sources = list(engine.attempt_counts.by_source().values())
    attempts, commits = engine.attempt_counts, engine.store.counts
    records = commits.records.copy()
    return {
        "requests": sum(each.statuses.total() for each in sources),
        "permitted": sum(each.permitted for each in sources),
        "throttled": sum(each.throttles.total() for each in sources),
        "records": sum(records.values()),
        "new": sum(count for (_, change), count in records.items() if change is RecordChange.NEW),
        "requested": attempts.requested,
        "waited": attempts.waited,
        "handled": attempts.handled,
        "written": commits.written,
        "stored": commits.stored,
    }


class Rates:
    """Turns counters into rates. For one thread only."""

    def __init__(self) -> None:
        self._before: tuple[float, Mapping[str, float]] | None = None

    def of(self, now: float, counted: Mapping[str, float]) -> dict[str, float | None]:
        """Rates per second since the last call; None in the first one.

        now: seconds of a clock that never goes back.
        """
        before, self._before = self._before, (now, counted)
        if before is None or now <= before[0]:
            return {}
        seconds = now - before[0]
        return {name: max(0.0, value - before[1].get(name, 0.0)) / seconds for name, value in counted.items()}


def pulse(history: History) -> Pulse:
    late = {name: _known(history.seconds(name, LATE_SECONDS)) for name in COUNTED}
    spent = {stage: sum(late[stage]) for stage in STAGES}
    whole = sum(spent.values())
    memory, free = _known(history.seconds("memory", NOW_SECONDS)), _known(history.seconds("free", NOW_SECONDS))
    return Pulse(
        requests=_mean(late["requests"]),
        permitted=_mean(late["permitted"]),
        throttled=round(sum(late["throttled"])),
        answers=round(sum(late["requests"])),
        records=_mean(late["records"]),
        new=_mean(late["new"]),
        stages={stage: seconds / whole for stage, seconds in spent.items()} if whole else {},
        memory=round(memory[-1]) if memory else None,
        free=round(free[-1]) if free else None,
        full_in=_full_in(_known(history.minutes("free", FULL_MINUTES)), free[-1]) if free else None,
    )


def _known(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: list[float]) -> float | None:
    last = list(islice(values, max(0, len(values) - NOW_SECONDS), None))
    return sum(last) / len(last) if last else None


def _full_in(before: list[float], free: float) -> float | None:
    """Seconds until the disk is full.

    before: the means of minutes.
    """
    if len(before) < LEAST_MINUTES or before[-1] >= before[0]:
        return None
    return free / ((before[0] - before[-1]) / (len(before) - 1)) * 60
