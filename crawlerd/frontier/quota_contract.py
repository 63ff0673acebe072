"""Where quotas are charged, on whichever database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class QuotaRows(Protocol):
    """Charges of quotas, at most a hundred or so a key. Times in Unix seconds. Reads see what the same transaction
    has written; use it in `charge` of `Frontier.commit` alone."""

    def charged(self, key: str, since: float) -> list[tuple[float, int]]:
        """(time, count) of the charges after `since`, oldest first."""
        ...

    def charge(self, key: str, at: float, count: int) -> None:
        """Adds `count`, which may be negative, to what is charged at this very time. It never falls below 0."""
        ...

    def forget(self, key: str, before: float) -> None:
        """Drops the charges up to `before`."""
        ...

    def keys(self, beginning: str) -> list[str]:
        """Those that have charges and begin so. beginning: ends with "/"."""
        ...

    def ask_again_of(self, accounts: Sequence[int]) -> None:
        """The limits of these accounts have changed: that their buckets wait for a quota no longer counts. Call
        it outside of `charge`."""
        ...
