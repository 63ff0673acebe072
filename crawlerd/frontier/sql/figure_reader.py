"""Reads the figures of runs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from crawlerd.core.estimate import RunFlow, Stage
from crawlerd.core.histogram import quantile
from crawlerd.frontier.figure_reports import AnswerFigures, KindFigures, RunEvent, RunFigures, SlowTask

if TYPE_CHECKING:
    from collections.abc import Callable

    Rows = Callable[..., list[Any]]

_NAME = "(SELECT name FROM kind WHERE kind.id = {})"
_KINDS = f"""
SELECT {_NAME.format("kind")}, sum(open), sum(done), sum(dead), max(longest) FROM run_stage WHERE run = ?
GROUP BY kind ORDER BY sum(open + done + dead) DESC, 1
"""  # noqa: S608 - our own text
_STAGES = f"SELECT {_NAME.format('kind')}, level, open, done, dead, longest FROM run_stage WHERE run = ?"  # noqa: S608 - our own text
_ASKED = f"""
SELECT coalesce({_NAME.format("kind")}, ''), level, {_NAME.format("child")}, count FROM run_asked WHERE run = ?
"""  # noqa: S608 - our own text
_SERVED = f"SELECT {_NAME.format('kind')}, bucket, done FROM run_served WHERE run = ?"  # noqa: S608 - our own text
_DURATIONS = f"SELECT {_NAME.format('kind')}, bin, count FROM run_duration WHERE run = ?"  # noqa: S608 - our own text
_SLOW = f"""
SELECT seq, {_NAME.format("kind")}, about, seconds FROM run_slow WHERE run = ? ORDER BY seconds DESC, seq
"""  # noqa: S608 - our own text
_BEFORE = """
SELECT max(before.id) FROM run JOIN run AS before ON before.import = run.import AND before.id < run.id
WHERE run.id = ? AND run.ad_hoc IS NULL AND before.ad_hoc IS NULL AND before."full" = run."full"
AND before.state LIKE 'completed%'
"""


def figures(rows: Rows, run: int) -> RunFigures:
    """See `FrontierReader.figures`."""
    bins = _bins(rows, run)
    kinds = []
    for kind, opened, done, dead, longest in rows(_KINDS, run):
        its = bins[kind]
        its[0] += max(0, done - sum(its.values())) if its else 0  # tasks without measurement took almost no time
        kinds.append(KindFigures(kind, opened, done, dead, longest, quantile(its, 0.5), quantile(its, 0.95)))
    answers = rows("SELECT status, requests, received FROM run_answer WHERE run = ? ORDER BY status", run)
    events = rows("SELECT at, text FROM run_event WHERE run = ? ORDER BY number", run)
    return RunFigures(
        kinds,
        [AnswerFigures(*row) for row in answers],
        [SlowTask(*row) for row in rows(_SLOW, run)],
        [RunEvent(*row) for row in events],
    )


def flow(rows: Rows, run: int) -> RunFlow:
    """See `FrontierReader.flow`."""
    served: dict[tuple[str, int], int] = {(kind, bucket): done for kind, bucket, done in rows(_SERVED, run)}
    paces = rows("SELECT bucket, done, seconds, last_at FROM run_pace WHERE run = ?", run)
    return RunFlow(
        {(kind, level): Stage(*counts) for kind, level, *counts in rows(_STAGES, run)},
        {(kind, level, child): count for kind, level, child, count in rows(_ASKED, run)},
        served,
        {bucket: done / seconds for bucket, done, seconds, _ in paces if done > 0 and seconds > 0},
        {kind: quantile(bins, 0.5) or 0.0 for kind, bins in _bins(rows, run).items()},
        max((last_at for *_, last_at in paces), default=0.0),
    )


def full_before(rows: Rows, run: int) -> int | None:
    """See `FrontierReader.full_before`."""
    found: int | None = rows(_BEFORE, run)[0][0]
    return found


def _bins(rows: Rows, run: int) -> defaultdict[str, defaultdict[int, int]]:
    found: defaultdict[str, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    for kind, number, count in rows(_DURATIONS, run):
        found[kind][number] = count
    return found
