"""Questions to the crawlerd that works on a frontier, if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from crawlerd.frontier.wait_index import WaitIndex, wait_index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crawlerd.core.in_force import InForce
    from crawlerd.core.reasons import Reason, Waiting
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import Told


class Live(Protocol):
    """What only a running crawlerd can tell.

    listening: the address of the page and the API; None while there is none.
    """

    listening: str | None

    def explain(self, accounts: Sequence[str]) -> Mapping[str, Waiting]:
        """Why no tasks of the accounts start, for those that have tasks in memory."""
        ...

    def census(self) -> list[Told]:
        """What each account waits for that has tasks in memory."""
        ...

    def wait_index(self, reader: FrontierReader, now: float) -> WaitIndex:
        """Which accounts waited for what a moment ago.

        now: Unix seconds.
        """
        ...

    def rates(self) -> Mapping[int, float]:
        """Requests per second of runs, by run."""
        ...

    def account_rates(self) -> Mapping[str, float] | None:
        """Requests per second of accounts, by account; None if unknown."""
        ...

    def permitted(self, account: str) -> float | None:
        """Requests per second that the account's own limits permit; None if it has none."""
        ...

    def refusals(self) -> Mapping[str, str]:
        """Why the last start of imports failed, by import."""
        ...

    def stuck_runs(self) -> Mapping[int, tuple[Reason, str]]:
        """The runs that a sink or the disk holds up."""
        ...

    def queue_troubles(self) -> Mapping[str, str]:
        """Why the queues shared with other programs cannot be used, by their keys in the configuration."""
        ...

    def in_force(self) -> InForce | None:
        """Which configuration is in force, and how the file differs from it."""
        ...

    @property
    def busy(self) -> str | None:
        """A text that says that all workers are busy; None while one is free."""
        ...

    @property
    def otherwise(self) -> str:
        """What an account waits for if neither its memory nor the disk gives a reason."""
        ...

    def limits_of(self, account: str) -> dict[str, list[str]] | None:
        """The configured limits by bucket, "" for the whole account; None if it is not configured."""
        ...

    def holds(self, run: int, import_name: str) -> tuple[Reason, str] | None:
        """What holds up a run, or keeps a new run of the import from starting, apart from its accounts."""
        ...


class Unheard:
    """A crawlerd that works on the frontier and cannot be asked: an import in the foreground."""

    otherwise = (
        "an import in the foreground works on it, and only the daemon can say more; "
        "it may wait for a limit, a used-up quota or its turn"
    )

    busy = None
    listening: str | None = None

    def holds(self, run: int, import_name: str) -> None:
        return None

    def limits_of(self, account: str) -> None:
        return None

    def permitted(self, account: str) -> None:
        return None

    def explain(self, accounts: Sequence[str]) -> dict[str, Waiting]:
        return {}

    def census(self) -> list[Told]:
        return []

    def wait_index(self, reader: FrontierReader, now: float) -> WaitIndex:
        return wait_index(reader, now)

    def in_force(self) -> None:
        return None

    def rates(self) -> dict[int, float]:
        return {}

    def queue_troubles(self) -> dict[str, str]:
        return {}

    def account_rates(self) -> None:
        return None

    def refusals(self) -> dict[str, str]:
        return {}

    def stuck_runs(self) -> dict[int, tuple[Reason, str]]:
        return {}
