"""What metrics and plans read of a frontier."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ImportFigures(NamedTuple):
    """One import; of ad hoc runs, those under way alone count. None: there is no such run."""

    succeeded_at: float | None  # end of the last run of all its streams that completed without dead letters; Unix s
    last_seconds: float | None  # that the last run took that has ended
    last_state: str | None  # of that run
    failures: int  # failed runs since the last one that completed
    open: int | None  # tasks left of the runs under way
    dead: int | None  # dead letters of the newest run, under way or not
    seen: int | None  # keys that the last completed full run saw


class MetricReader(Protocol):
    """Part of `FrontierReader`. What one method reads grows with what it returns, not with the tasks."""

    def import_figures(self, imports: Sequence[str]) -> dict[str, ImportFigures]:
        """Of each of these imports; one round trip."""
        ...

    def most_ready(self, most: int) -> list[tuple[str, int]]:
        """The accounts with the most ready tasks, those of paused runs aside, and how many; parts count with their
        account."""
        ...

    def quota_keys(self) -> list[str]:
        """The windows of a minute or longer that have charges, see `crawlerd.ratelimit.quota.DurableWindows`."""
        ...

    def quota_keys_of(self, account: str, most: int) -> list[str]:
        """The same of one account and its buckets."""
        ...

    def charged(self, since: Mapping[str, float]) -> dict[str, int]:
        """How much is charged to each of these windows since a time; Unix seconds, by key."""
        ...

    def charges_of(self, account: str, since: float) -> dict[str, list[tuple[float, int]]]:
        """When how much was charged to the windows of an account and of its buckets, by key, the oldest first; Unix
        seconds."""
        ...

    def running_runs(self, most: int) -> list[int]:
        """The oldest runs under way."""
        ...

    def bucket_names(self, numbers: Sequence[int]) -> dict[int, str]: ...
