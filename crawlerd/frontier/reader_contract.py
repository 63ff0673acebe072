"""What can be read of every frontier by other threads and processes, on whichever database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from crawlerd.core.pauses import Pausable, PauseNote
    from crawlerd.frontier.reports import (
        AccountReport,
        Act,
        BucketReport,
        DeadLetter,
        OutageReport,
        Overview,
        RetryReport,
        RunReport,
        Status,
        StreamReport,
        TaskReport,
    )


class FrontierReader(Protocol):
    """Reads alongside the writer, in this or another process. Use it for a moment, then close it. No method counts
    tasks. Errors as of `Frontier`."""

    def close(self) -> None: ...

    def status(self) -> Status: ...

    def overview(self, most: int, now: float) -> Overview:
        """At most so many runs, imports and accounts; in a time that does not grow with the runs that have ended. now:
        Unix seconds."""
        ...

    def run_page(
        self, *, import_name: str | None, state: str | None, since: float, after: int | None, most: int
    ) -> list[RunReport]:
        """Runs, the newest first: of an import, in a state, started since then (Unix seconds), older than `after`."""
        ...

    def seen_before(self, run: int) -> dict[str, int]:
        """By stream, how many records the completed run before had seen."""
        ...

    def pauses(self) -> list[PauseNote]:
        """What people have paused, the oldest first."""
        ...

    def knows(self, kind: Pausable, name: str) -> bool:
        """Whether there has been such an import, account, source or bucket (ACCOUNT/BUCKET)."""
        ...

    def account_page(self, *, after: str, most: int, needs_a_look: bool, now: float) -> list[AccountReport]:
        """Accounts by name, after a name; those alone that are refused, throttled, paused or without an answer. now:
        Unix seconds."""
        ...

    def buckets_of(self, account: str, most: int) -> list[BucketReport]:
        """The account's buckets, those with the most tasks first."""
        ...

    def learned_of(self, account: str) -> dict[str, str]:
        """What the limiters of the account ("") and of its buckets have found out, as JSON."""
        ...

    def last_errors(self, account: str, most: int) -> list[DeadLetter]:
        """The account's newest dead letters, as far as they are recent."""
        ...

    def audit(self, *, since: float = 0.0, limit: int = 100) -> list[Act]:
        """The newest of what people did since then (Unix seconds), the oldest of these first."""
        ...

    def totals(self) -> tuple[int, int, int, int]:
        """Tasks that are ready (or leased), delayed, waiting for a group, and dead."""
        ...

    def runs(self, numbers: Iterable[int]) -> list[RunReport]:
        """By number, each once."""
        ...

    def run(self, number: int) -> RunReport: ...

    def latest(self, import_name: str) -> RunReport | None:
        """Its oldest run that is under way, or the newest one."""
        ...

    def account(self, name: str) -> AccountReport | None:
        """An account's or a part's."""
        ...

    def outages(self) -> list[OutageReport]:
        """One of an origin stands for those of its accounts."""
        ...

    def outage_of(self, account: str) -> OutageReport | None:
        """Of an account that gets no answer, alone or with others; `next_at` is then the origin's. None also for one
        that waits only because the others of its origin get none."""
        ...

    def next_retry(self, run: int) -> RetryReport | None:
        """The delayed task of a run that is tried first; None when it is not among the next ones of all runs."""
        ...

    def task(self, number: int) -> TaskReport | None:
        """A task that is ready or delayed. Reads all of them."""
        ...

    def accounts(self, run: int) -> list[str]:
        """The accounts that the run has had tasks for, its own among them, by name."""
        ...

    def goes_on(self, run: int, accounts: Collection[str]) -> bool:
        """Whether any task of the run is ready or delayed for one of these accounts. Reads their ready tasks until it
        finds one."""
        ...

    def streams(self, run: int, wanted: Iterable[str] = ()) -> dict[str, StreamReport]:
        """The report of a run, by stream: those that are wanted, and all of which something came."""
        ...

    def streams_many(self, runs: Iterable[int]) -> dict[int, dict[str, StreamReport]]:
        """The same for several runs, by run; one round trip."""
        ...

    def dead_letters(self, *, import_name: str | None = None, after: int = 0, limit: int = 100) -> list[DeadLetter]:
        """Dead letters by id, those of one import if named, after the id `after`."""
        ...

    def dead_letter(self, number: int) -> DeadLetter | None: ...

    def known_dead(self, numbers: Iterable[int]) -> list[int]:
        """Those of the numbers that are dead letters, each once, in their order; one round trip."""
        ...
