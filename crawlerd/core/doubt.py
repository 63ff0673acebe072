"""Whether a full run has seen so few records of a stream that the stream is in doubt. Pure."""

from __future__ import annotations

from typing import NamedTuple

FEWEST = 20  # with fewer records of a stream and account in the last run, nothing is doubted


class Expected(NamedTuple):
    """How many records a full run is expected to see of a stream and account.

    before: how many the last full run saw; 0 when no number is expected.
    doubted: how many the last run saw, if that was in doubt; else None.
    alone: all records of the stream that the run writes belong to this account.
    """

    before: int
    doubted: int | None = None
    alone: bool = True

    @property
    def guarded(self) -> bool:
        """Whether any number of records would be doubted."""
        return self.before >= FEWEST

    def doubts(self, seen: int) -> bool:
        """Whether this number is doubted: less than half of the last one, unless an earlier run that saw about as few
        was doubted already."""
        if not self.guarded or 2 * seen >= self.before:
            return False
        return self.doubted is None or 10 * seen > 11 * self.doubted

    def after(self, seen: int, *, held: bool) -> Expected:
        """What to expect of the next full run, after one that saw `seen` records.

        held: a sweep of the run was held back, so that its number is in doubt.
        """
        return Expected(self.before, seen) if held or self.doubts(seen) else Expected(seen)
