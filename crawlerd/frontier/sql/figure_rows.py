"""Writes what a commit adds to the figures of runs."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from crawlerd.core.pace import LONGEST_GAP, MEMORY
from crawlerd.frontier.figures import SLOWEST, START

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from crawlerd.frontier.change import Change
    from crawlerd.frontier.sql.groups import Execute

Served = Counter[tuple[str, int]]  # finished tasks, by kind and bucket
TABLES = ("figure", "run_slow", "run_event")

# The first value of a row is the run, the second the view, see `figure_tables`.
_STAGES = """
INSERT INTO figure SELECT value->>0, 1, value->>1, value->>2, 0, value->>3, value->>4, value->>5, value->>6
FROM json_each(?) WHERE true ON CONFLICT (run, what, a, b, c) DO UPDATE SET v = figure.v + excluded.v,
w = figure.w + excluded.w, x = figure.x + excluded.x, y = max(figure.y, excluded.y)
"""
_ASKED = """
INSERT INTO figure(run, what, a, b, c, v) SELECT value->>0, 2, value->>1, value->>2, value->>3, value->>4
FROM json_each(?) WHERE true ON CONFLICT (run, what, a, b, c) DO UPDATE SET v = figure.v + excluded.v
"""
_SERVED = """
INSERT INTO figure(run, what, a, b, v) SELECT value->>0, 3, value->>1, value->>2, value->>3
FROM json_each(?) WHERE true ON CONFLICT (run, what, a, b, c) DO UPDATE SET v = figure.v + excluded.v
"""
_GAP = f"min(max(excluded.x - figure.x, 0.0), {LONGEST_GAP})"
# See crawlerd.core.pace, which says the same. Nothing is known of the time before the first commit.
_PACE = f"""
INSERT INTO figure(run, what, a, v, w, x) SELECT value->>0, 4, value->>1, value->>2, 0, value->>3
FROM json_each(?) WHERE true ON CONFLICT (run, what, a, b, c) DO UPDATE SET
v = figure.v * exp(-{_GAP} / {MEMORY}) + excluded.v, w = figure.w * exp(-{_GAP} / {MEMORY}) + {_GAP}, x = excluded.x
"""  # noqa: S608 - our own numbers
_FIRST_PACE = """
UPDATE figure SET v = 0 FROM json_each(?) AS j
WHERE run = j.value->>0 AND what = 4 AND a = j.value->>1 AND b = 0 AND c = 0 AND w = 0
"""
_DURATIONS = """
INSERT INTO figure(run, what, a, b, v) SELECT value->>0, 5, value->>1, value->>2, value->>3
FROM json_each(?) WHERE true ON CONFLICT (run, what, a, b, c) DO UPDATE SET v = figure.v + excluded.v
"""
_ANSWERS = """
INSERT INTO figure(run, what, a, v, w) SELECT value->>0, 6, value->>1, value->>2, value->>3
FROM json_each(?) WHERE true ON CONFLICT (run, what, a, b, c) DO UPDATE SET v = figure.v + excluded.v,
w = figure.w + excluded.w
"""
_SLOW = """
INSERT INTO run_slow SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?) WHERE true
ON CONFLICT (run, seq) DO UPDATE SET seconds = max(run_slow.seconds, excluded.seconds)
"""
_THESE = "SELECT value->>0 FROM json_each(?)"
_FASTER = f"""
DELETE FROM run_slow WHERE run IN ({_THESE}) AND seq NOT IN
(SELECT seq FROM run_slow AS its WHERE its.run = run_slow.run ORDER BY seconds DESC, seq LIMIT {SLOWEST})
"""  # noqa: S608 - our own number
_LEAST = f"""
SELECT run, min(seconds) FROM run_slow WHERE run IN ({_THESE}) GROUP BY run HAVING count(*) >= {SLOWEST}
"""  # noqa: S608 - our own number


class FigureRows:
    """Writes the figures of runs. Used in the frontier's transactions. Call `done` after a commit, `forget` after a
    rollback.

    Figures by bucket are collected for a second. They are the many rows that each commit would change again. While
    somebody keeps a transaction open, PostgreSQL keeps every version of a row, and passes over all of them.
    """

    def __init__(self, execute: Execute, number: Callable[[str], int], seconds: float) -> None:
        """number: returns the number of a kind, by its name. seconds: how long figures by bucket are collected."""
        self._execute, self._number, self._seconds = execute, number, seconds
        self._least: dict[int, float] = {}  # by run, the seconds that an attempt must exceed to be among the slowest
        self._collected: dict[int, Served] = {}  # by run
        self._new: dict[int, Served] = {}  # the same, of this transaction
        self._written: set[int] = set()  # runs whose collected figures this transaction has written
        self._dropped: set[int] = set()  # runs that this transaction has abandoned
        self._now = self._written_at = -math.inf

    def done(self) -> None:
        for run in self._written | self._dropped:
            self._collected.pop(run, None)
        for run, served in self._new.items():
            self._collected.setdefault(run, Counter()).update(served)
        self._new.clear()
        self._written.clear()
        self._dropped.clear()

    def forget(self) -> None:
        self._least.clear()
        self._new.clear()
        self._written.clear()
        self._dropped.clear()
        self._written_at = -math.inf

    def end(self, runs: Iterable[int]) -> None:
        """These runs have ended: writes what was collected of them, and forgets what is cached."""
        self._write_collected(runs)
        for run in runs:
            self._least.pop(run, None)

    def drop(self, runs: Iterable[int]) -> None:
        """These runs were abandoned, and may be forgotten: nothing more is written of them."""
        self._dropped.update(runs)

    @property
    def collected(self) -> bool:
        """Whether there are figures that were not written."""
        return bool(self._collected)

    def flush(self) -> None:
        """Writes them."""
        self._write_collected([*self._collected, *self._new])
        self._written_at = self._now

    def write(self, change: Change) -> None:
        figures, execute, kind = change.figures, self._execute, self._kind

        execute(
            _STAGES,
            [
                (run, kind(name), level, each.open, each.done, each.dead, each.longest)
                for (run, name, level), each in figures.stages.items()
            ],
        )
        execute(
            _ASKED,
            [(run, kind(name), level, kind(to), count) for (run, name, level, to), count in figures.asked.items()],
        )
        for (run, name, bucket), count in figures.served.items():
            self._new.setdefault(run, Counter())[name, bucket] += count
        self._now = change.now
        if (self._collected or self._new) and abs(self._now - self._written_at) >= self._seconds:
            self.flush()
        execute(_DURATIONS, [(run, kind(name), bin, count) for (run, name, bin), count in figures.durations.items()])
        execute(_ANSWERS, [(*key, each.requests, each.received) for key, each in figures.answers.items()])
        self._write_slow(figures.slow)

    def _kind(self, name: str) -> int:
        return 0 if name == START else self._number(name)

    def _write_collected(self, runs: Iterable[int]) -> None:
        served: list[tuple[int, int, int, int]] = []
        paces: Counter[tuple[int, int]] = Counter()
        for run in dict.fromkeys(runs):
            found = self._new.pop(run, Counter())
            if run not in self._written:
                found.update(self._collected.get(run, ()))
            self._written.add(run)
            for (name, bucket), count in found.items():
                served.append((run, self._kind(name), bucket, count))
                paces[run, bucket] += count
        self._execute(_SERVED, served)
        self._execute(_PACE, [(*key, count, self._now) for key, count in paces.items()])
        self._execute(_FIRST_PACE, list(paces))

    def _write_slow(self, slow: Mapping[int, Sequence[tuple[float, int, str, str]]]) -> None:
        rows = [
            (run, seq, seconds, self._number(name), about)
            for run, its in slow.items()
            for seconds, seq, name, about in its
            if seconds > self._least.get(run, -1.0)
        ]
        self._execute(_SLOW, rows)
        runs = [(run,) for run in dict.fromkeys(row[0] for row in rows)]
        self._execute(_FASTER, runs)
        self._least.update(self._execute(_LEAST, runs))
