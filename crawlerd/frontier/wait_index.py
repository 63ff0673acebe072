"""Which accounts wait for what, as it was at one moment: counted, and paged by name."""

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
    """8 bytes an account: the names stay on disk."""

    def __init__(self, numbers: Mapping[str, Iterable[int]], at: float) -> None:
        """numbers: of the accounts, by reason, in the order of their names. at: Unix seconds."""
        self._numbers = {reason: array("q", found) for reason, found in numbers.items()}
        self.at = at

    @property
    def counts(self) -> dict[str, int]:
        """By reason, "idle" in any case."""
        return {"idle": 0} | {reason: len(found) for reason, found in self._numbers.items()}

    def names(self, reader: FrontierReader, reason: str, *, after: str, prefix: str, most: int) -> list[str]:
        """Of the accounts with this reason, after a name, that begin so. Reads as many names as it returns, and a few
        to find the first."""
        numbers = self._numbers.get(reason) or array("q")

        def name(number: int) -> str:
            return reader.account_names([number])[0]

        first = bisect_right(numbers, after, key=name) if after >= prefix else bisect_left(numbers, prefix, key=name)
        found = reader.account_names(numbers[first : first + most].tolist())
        return [each for each in found if each.startswith(prefix)]


def wait_index(
    reader: FrontierReader, now: float, told: Iterable[Told] = (), stuck: Mapping[int, str] = NOTHING
) -> WaitIndex:
    """As it is now; reads all accounts that wait. The parameters are those of `FrontierReader.wait_counts`."""
    return WaitIndex(reader.waiting_accounts(now, told, stuck), now)
