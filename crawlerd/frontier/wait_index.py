"""An index of which accounts wait for what, at one moment: with counts, and pages of names."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from crawlerd.frontier.reports import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import Told


class WaitIndex:
    """Takes 8 bytes for each account; the names stay on disk."""

    def __init__(self, numbers: Mapping[str, Iterable[int]], at: float) -> None:
        """
        numbers: the numbers of accounts, by reason, in the order of their names.
        at: when this was so; Unix seconds.
        """
        self._numbers = {reason: array("q", found) for reason, found in numbers.items()}
        self.at = at

    @property
    def counts(self) -> dict[str, int]:
        """How many accounts wait, by reason; always has the reason "idle"."""
        return {"idle": 0} | {reason: len(found) for reason, found in self._numbers.items()}

    def names(self, reader: FrontierReader, reason: str, *, after: str, prefix: str, most: int) -> list[str]:
        """The names of up to `most` accounts with this reason that come after the name `after` and begin with `prefix`.
        Reads few more names than it returns."""
        numbers = self._numbers.get(reason) or array("q")

        def name(number: int) -> str:
            return reader.account_names([number])[0]

        first = bisect_right(numbers, after, key=name) if after >= prefix else bisect_left(numbers, prefix, key=name)
        found = reader.account_names(numbers[first : first + most].tolist())
        return [each for each in found if each.startswith(prefix)]


def wait_index(
    reader: FrontierReader, now: float, told: Iterable[Told] = (), stuck: Mapping[int, str] = NOTHING
) -> WaitIndex:
    """Makes an index of the present state; reads all accounts that wait. For the parameters see
    `FrontierReader.wait_counts`."""
    return WaitIndex(reader.waiting_accounts(now, told, stuck), now)
