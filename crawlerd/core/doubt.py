"""When a full run has seen so little of a stream that it is doubted. Pure."""

from __future__ import annotations

from typing import NamedTuple

FEWEST = 20  # records of a stream and account, from which on that fewer were seen is doubted


class Expected(NamedTuple):
    """What a full run is expected to see of a stream and account.

    before: records that the last full run saw; 0 when nothing is expected.
    doubted: what the last run saw that was doubted, None when the last one was not.
    alone: all records of the stream that the run writes are this account's.
    """

    before: int
    doubted: int | None = None
    alone: bool = True

    @property
    def guarded(self) -> bool:
        """There is a number of records that would be doubted."""
        return self.before >= FEWEST

    def doubts(self, seen: int) -> bool:
        """Less than half of what was seen last, unless a run that saw about as little has been doubted already."""
        if not self.guarded or 2 * seen >= self.before:
            return False
        return self.doubted is None or 10 * seen > 11 * self.doubted

    def after(self, seen: int, *, held: bool) -> Expected:
        """What is expected of the next full run, after one that saw `seen`; `doubted` when that is doubted.

        held: a sweep of the run was held back, which doubts all that the run saw.
        """
        return Expected(self.before, seen) if held or self.doubts(seen) else Expected(seen)
