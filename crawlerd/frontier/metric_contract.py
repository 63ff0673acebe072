"""The reads of metrics and plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ImportFigures(NamedTuple):
    """The figures of one import. Ad hoc runs count only while they are under way. None: there is no such run."""

    succeeded_at: float | None  # end of the last run of all streams that completed without dead letters; Unix seconds
    last_seconds: float | None  # duration of the last run that has ended
    last_state: str | None  # state of that run
    failures: int  # failed runs since the last one that completed
    open: int | None  # unfinished tasks of the runs under way
    dead: int | None  # dead letters of the newest run, under way or not
    seen: int | None  # how many keys the last completed full run has seen


class MetricReader(Protocol):
    """The reads of metrics and plans. Part of `FrontierReader`. The time of each method grows with its result, not with
    the number of tasks."""

    def import_figures(self, imports: Sequence[str]) -> dict[str, ImportFigures]:
        """The figures of each of these imports; one round trip."""
        ...

    def most_ready(self, most: int) -> list[tuple[str, int]]:
        """The accounts with the most ready tasks, each with their number. Tasks of parts count for their account; tasks
        of paused runs do not count."""
        ...

    def quota_keys(self) -> list[str]:
        """The keys of quotas that have charges, see `crawlerd.ratelimit.quota.DurableWindows`."""
        ...

    def quota_keys_of(self, account: str, most: int) -> list[str]:
        """Like `quota_keys`, for one account and its buckets."""
        ...

    def charged(self, since: Mapping[str, float]) -> dict[str, int]:
        """How many starts are charged to each of these quotas. since: by key, from when to count, in Unix seconds."""
        ...

    def charges_of(self, account: str, since: float) -> dict[str, list[tuple[float, int]]]:
        """The charges of an account's quotas and of its buckets' since a time, by key, as (Unix seconds, starts), the
        oldest first."""
        ...

    def running_runs(self, most: int) -> list[int]:
        """The oldest runs under way."""
        ...

    def bucket_names(self, numbers: Sequence[int]) -> dict[int, str]: ...
