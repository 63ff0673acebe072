"""The storage of quota charges, independent of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class QuotaRows(Protocol):
    """Charges of quotas, about a hundred for each key at most. Times are Unix seconds. Reads see what the same
    transaction has written. Use it only in `charge` of `Frontier.commit`."""

    def charged(self, key: str, since: float) -> list[tuple[float, int]]:
        """The charges after `since`, as (time, count), the oldest first."""
        ...

    def charge(self, key: str, at: float, count: int) -> None:
        """Adds `count`, which may be negative, to the charge at exactly this time. A charge never falls below 0."""
        ...

    def forget(self, key: str, before: float) -> None:
        """Deletes the charges up to `before`."""
        ...

    def keys(self, beginning: str) -> list[str]:
        """The keys with charges that begin with `beginning`, which ends with "/"."""
        ...

    def ask_again_of(self, accounts: Sequence[int]) -> None:
        """Lets the buckets of these accounts ask for their quotas again, since the limits have changed. Call it outside
        of `charge`."""
        ...
