"""What can be read of every frontier by other threads and processes, on whichever database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from crawlerd.frontier.letter_filter import ALL
from crawlerd.frontier.metric_contract import MetricReader
from crawlerd.frontier.reports import NOTHING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from crawlerd.core.erasure import ErasedNotes, ErasureScope
    from crawlerd.core.estimate import RunFlow
    from crawlerd.core.lowered import LimitNote
    from crawlerd.core.pauses import Pausable, PauseNote
    from crawlerd.core.schedule_rules import ScheduleNote
    from crawlerd.frontier.acts_contract import KeptAnswer
    from crawlerd.frontier.figure_reports import RunFigures
    from crawlerd.frontier.letter_filter import LetterFilter
    from crawlerd.frontier.reports import (
        AccountReport,
        Act,
        BucketReport,
        DeadGroup,
        DeadLetter,
        LeftImport,
        LetterCount,
        LetterPage,
        OperationReport,
        OutageReport,
        Overview,
        RetryReport,
        RunReport,
        Status,
        StreamReport,
        TaskReport,
        Told,
    )
    from crawlerd.frontier.submission_contract import Rejection


IMPORTS_LOOKED = 1_000  # newest runs of a group of dead letters whose imports are counted
KILLERS_LOOKED = 1_000  # see `FrontierReader.killers`


class FrontierReader(MetricReader, Protocol):
    """Reads alongside the writer, in this or another process. Use it for a moment, then close it. No method counts
    tasks. Errors as of `Frontier`."""

    def close(self) -> None: ...

    def status(self) -> Status: ...

    def overview(self, most: int, now: float) -> Overview:
        """At most so many runs, imports and accounts; in a time that does not grow with the runs that have ended. now:
        Unix seconds."""
        ...

    def rejections(self, most: int, before: int | None = None) -> list[Rejection]:
        """What was put into the inbox and is no task, the newest first. before: only those with lower numbers."""
        ...

    def known_imports(self, most: int) -> list[str]:
        """Names of imports that have had a run, by name."""
        ...

    def running_imports(self, most: int) -> list[str]:
        """Names of imports with a run under way, as far as it is one of the oldest `most`."""
        ...

    def fresh(self, imports: Sequence[str]) -> dict[str, float]:
        """When the newest completed run of each of them began, in Unix seconds: the age of its data."""
        ...

    def first_started(self, imports: Sequence[str]) -> dict[str, float]:
        """When the oldest run of each of them began that is not forgotten, in Unix seconds."""
        ...

    def refused_accounts(self, most: int) -> list[tuple[str, str]]:
        """Names of accounts whose credentials are refused, each with the reason, those known longest first."""
        ...

    def failing(self, imports: Sequence[str], least: int) -> dict[str, tuple[int, int]]:
        """Of these imports, those whose newest `least` runs or more have failed or left dead letters, with how many
        and the number of the last. Ad hoc runs, cancelled ones and those under way count neither way."""
        ...

    def run_states(self, numbers: Sequence[int], after: int, through: int) -> dict[int, str]:
        """States by number: of these runs as far as they are not forgotten, of all under way, and of those with
        the numbers after `after` up to `through`."""
        ...

    def newest_run(self) -> int:
        """Its number; 0 when there is none."""
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

    def schedule_notes(self, names: Sequence[str]) -> dict[str, ScheduleNote]:
        """What is noted of the schedules of these imports, by import."""
        ...

    def sync_points(self, import_name: str, sink_name: str) -> dict[str, str] | None:
        """The import's published sync points for a sink, by name; None for a sink that was never opened. sink_name: as
        of `attach` or `attach_receiver`."""
        ...

    def count_notes(self, scope: ErasureScope) -> ErasedNotes:
        """How much there is of what is to be forgotten."""
        ...

    def lowered(self) -> list[LimitNote]:
        """The limits that people have lowered, the oldest first."""
        ...

    def kept_answer(self, key: str, now: float) -> KeptAnswer | None:
        """That of a request of the last 24 hours; now: Unix seconds."""
        ...

    def knows(self, kind: Pausable, name: str) -> bool:
        """Whether there has been such an import, account, source or bucket (ACCOUNT/BUCKET)."""
        ...

    def account_page(
        self, *, after: str, most: int, needs_a_look: bool, now: float, prefix: str = ""
    ) -> list[AccountReport]:
        """Accounts by name, after a name. now: Unix seconds.

        needs_a_look: those alone that are refused, throttled, without quota, paused or without an answer.
        prefix: how their names begin.
        """
        ...

    def account_names(self, numbers: Sequence[int]) -> list[str]:
        """Names of accounts, in this order; "" for one that there is not."""
        ...

    def busy_parts(self, account: str, most: int) -> list[str]:
        """Names of parts of an account that have ready tasks."""
        ...

    def running_of(self, account: str, most: int) -> list[int]:
        """The runs under way whose own account it is, the oldest first."""
        ...

    def wait_counts(self, now: float, told: Iterable[Told] = (), stuck: Mapping[int, str] = NOTHING) -> dict[str, int]:
        """How many accounts wait for what, by reason; parts count with their account.

        told: what is known of accounts in memory, which counts more than the disk.
        stuck: runs that a sink or the disk holds up, each with the reason.
        now: Unix seconds.
        """
        ...

    def waiting_accounts(
        self, now: float, told: Iterable[Told] = (), stuck: Mapping[int, str] = NOTHING
    ) -> dict[str, list[int]]:
        """The same as `wait_counts`, with the accounts themselves: their numbers, in the order of their names."""
        ...

    def buckets_of(self, account: str, most: int) -> list[BucketReport]:
        """The account's buckets, those with the most tasks first."""
        ...

    def learned_of(self, account: str) -> dict[str, str]:
        """What the limiters of the account ("") and of its buckets have found out, as JSON."""
        ...

    def backlog(self, most: int) -> list[tuple[str, int]]:
        """Accounts with the most ready tasks, those of their parts included, and how many; the most first."""
        ...

    def last_errors(self, account: str, most: int) -> list[DeadLetter]:
        """The account's newest dead letters, as far as they are recent."""
        ...

    def killers(self, run: int) -> list[str]:
        """The kinds of tasks of a run that were set aside since they kill their worker processes, by name, among its
        first KILLERS_LOOKED dead letters."""
        ...

    def audit(
        self, *, since: float = 0.0, limit: int = 100, before: int | None = None, by: str = "", act: str = ""
    ) -> list[Act]:
        """The newest of what people did since then (Unix seconds), the oldest of these first.

        before: only what is older than the act with this number.
        by, act: only what this person did, only acts of this kind; "" for all.
        """
        ...

    def totals(self) -> tuple[int, int, int, int]:
        """Tasks that are ready (or leased), delayed, waiting for a group, and dead."""
        ...

    def runs(self, numbers: Iterable[int]) -> list[RunReport]:
        """By number, each once."""
        ...

    def run(self, number: int) -> RunReport: ...

    def figures(self, run: int) -> RunFigures:
        """What the run cost, and what happened to it."""
        ...

    def flow(self, run: int) -> RunFlow:
        """What its end can be estimated by."""
        ...

    def full_before(self, run: int) -> int | None:
        """The newest run of the import before this one that has completed, and was full as this one is; no ad hoc
        one. None also for an ad hoc run."""
        ...

    def left_imports(self, configured: Collection[str]) -> list[LeftImport]:
        """Those that have run and are not among `configured`, by name."""
        ...

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

    def dead_letters(
        self, which: LetterFilter = ALL, *, after: int = 0, limit: int = 100, one_each: bool = False
    ) -> list[DeadLetter]:
        """Dead letters by id, after the id `after`. one_each: of those that an import has of the same task, the newest
        one alone, with how many there are."""
        ...

    def newest_letters(self, which: LetterFilter, *, before: int | None, limit: int, most_read: int) -> LetterPage:
        """The same, the newest id first: of letters before an id, those of the same task as one. However few match, no
        more than `most_read` letters are looked at."""
        ...

    def count_letters(self, which: LetterFilter, through: int | None = None) -> LetterCount:
        """Reads all that match, of what had died by the burial `through`, by default by the last one."""
        ...

    def quick_count(self, which: LetterFilter, most_read: int) -> LetterCount:
        """The same of all that there are now, by counters where these can tell, else by looking at no more than
        `most_read` letters."""
        ...

    def next_letters(self, which: LetterFilter, *, through: int, after: int, most: int) -> list[int]:
        """Ids of those that match, in their order, after an id; of what had died by the burial `through`."""
        ...

    def dead_groups(self, *, import_name: str | None = None, limit: int = 100, newest: bool = False) -> list[DeadGroup]:
        """Groups of dead letters, the largest first; those of one import if named. newest: those first that
        got a letter last."""
        ...

    def dead_letter(self, number: int) -> DeadLetter | None: ...

    def known_dead(self, numbers: Iterable[int]) -> list[int]:
        """Those of the numbers that are dead letters, each once, in their order; one round trip."""
        ...

    def operations(self, *, before: int | None = None, limit: int = 100) -> list[OperationReport]:
        """The newest first, those with lower numbers."""
        ...

    def operation(self, number: int) -> OperationReport | None: ...
