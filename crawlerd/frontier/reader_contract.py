"""What other threads and processes can read of a frontier, independent of the database."""

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


IMPORTS_LOOKED = 1_000  # imports of a group of dead letters are counted among this number of its newest runs
KILLERS_LOOKED = 1_000  # see `FrontierReader.killers`


class FrontierReader(MetricReader, Protocol):
    """Reads while the writer writes, in this or another process. Use it for a moment, then close it. No method counts
    tasks one by one. Raises the errors of `Frontier`."""

    def close(self) -> None: ...

    def status(self) -> Status: ...

    def overview(self, most: int, now: float) -> Overview:
        """An overview with at most `most` runs, imports and accounts. Its time does not grow with the number of ended
        runs. now: Unix seconds."""
        ...

    def rejections(self, most: int, before: int | None = None) -> list[Rejection]:
        """Rejected items of the inbox, the newest first. before: only those with a lower `id`."""
        ...

    def known_imports(self, most: int) -> list[str]:
        """The names of imports that have had a run, in alphabetical order."""
        ...

    def running_imports(self, most: int) -> list[str]:
        """The names of imports that have one of the oldest `most` runs under way."""
        ...

    def fresh(self, imports: Sequence[str]) -> dict[str, float]:
        """When the newest completed run of each import began, in Unix seconds: how old its data is at most."""
        ...

    def first_started(self, imports: Sequence[str]) -> dict[str, float]:
        """When the oldest known run of each import began, in Unix seconds."""
        ...

    def refused_accounts(self, most: int) -> list[tuple[str, str]]:
        """The names of accounts whose credentials are refused, each with the reason, in the order of their numbers."""
        ...

    def failing(self, imports: Sequence[str], least: int) -> dict[str, tuple[int, int]]:
        """The imports among these whose newest runs, `least` or more, have all failed or left dead letters; each with
        (how many runs, number of the last run). Ad hoc and cancelled runs and runs under way are ignored."""
        ...

    def run_states(self, numbers: Sequence[int], after: int, through: int) -> dict[int, str]:
        """The states of runs, by number: of `numbers` (forgotten runs are left out), of all runs under way, and of runs
        with numbers after `after` up to `through`."""
        ...

    def newest_run(self) -> int:
        """The number of the newest run; 0 when there is none."""
        ...

    def run_page(
        self, *, import_name: str | None, state: str | None, since: float, after: int | None, most: int
    ) -> list[RunReport]:
        """A page of runs, the newest first.

        import_name, state: only runs of this import, and in this state; None for all.
        since: only runs that began since then; Unix seconds.
        after: only runs with lower numbers; None for all.
        """
        ...

    def seen_before(self, run: int) -> dict[str, int]:
        """How many records the last completed run before this one has seen, by stream."""
        ...

    def pauses(self) -> list[PauseNote]:
        """The pauses in force, the oldest first."""
        ...

    def schedule_notes(self, names: Sequence[str]) -> dict[str, ScheduleNote]:
        """The notes of the schedules of these imports, by import."""
        ...

    def sync_points(self, import_name: str, sink_name: str) -> dict[str, str] | None:
        """The import's published sync points for a sink, by name; None for a sink that was never opened. sink_name: see
        `Frontier.attach` and `attach_receiver`."""
        ...

    def count_notes(self, scope: ErasureScope) -> ErasedNotes:
        """Counts what would be deleted to forget this scope."""
        ...

    def lowered(self) -> list[LimitNote]:
        """The limits that people have lowered, the oldest first."""
        ...

    def kept_answer(self, key: str, now: float) -> KeptAnswer | None:
        """The stored answer to a request of the last 24 hours, by its key; None without one. now: Unix seconds."""
        ...

    def knows(self, kind: Pausable, name: str) -> bool:
        """Whether an import, account, source or bucket (ACCOUNT/BUCKET) of this name was ever used."""
        ...

    def account_page(
        self, *, after: str, most: int, needs_a_look: bool, now: float, prefix: str = ""
    ) -> list[AccountReport]:
        """A page of accounts, in the order of their names.

        after: only names after this one.
        needs_a_look: only accounts that are refused, throttled, without quota, paused or without an answer.
        now: Unix seconds.
        prefix: only names that begin with this.
        """
        ...

    def account_names(self, numbers: Sequence[int]) -> list[str]:
        """The names of the accounts with these numbers, in the same order; "" for an unknown number."""
        ...

    def busy_parts(self, account: str, most: int) -> list[str]:
        """The names of the account's parts that have ready tasks."""
        ...

    def running_of(self, account: str, most: int) -> list[int]:
        """The runs under way of imports of this account, the oldest first."""
        ...

    def wait_counts(self, now: float, told: Iterable[Told] = (), stuck: Mapping[int, str] = NOTHING) -> dict[str, int]:
        """How many accounts wait, by reason; a part counts as its account.

        now: Unix seconds.
        told: why accounts in memory wait; replaces what the disk says about them.
        stuck: runs that a sink or the disk holds up, each with the reason.
        """
        ...

    def waiting_accounts(
        self, now: float, told: Iterable[Told] = (), stuck: Mapping[int, str] = NOTHING
    ) -> dict[str, list[int]]:
        """Like `wait_counts`, with the numbers of the accounts, in the order of their names."""
        ...

    def buckets_of(self, account: str, most: int) -> list[BucketReport]:
        """The account's buckets, those with the most ready tasks first."""
        ...

    def learned_of(self, account: str) -> dict[str, str]:
        """What the limiters of the account and its buckets have learned, as JSON, by bucket; "" for the account."""
        ...

    def backlog(self, most: int) -> list[tuple[str, int]]:
        """The accounts with the most ready tasks, each with their number, the most first. Tasks of parts count for
        their account."""
        ...

    def last_errors(self, account: str, most: int) -> list[DeadLetter]:
        """The account's newest dead letters; searches only recent ones."""
        ...

    def killers(self, run: int) -> list[str]:
        """The names of the kinds of tasks of a run that became dead letters because they crash their worker. Searches
        the run's first KILLERS_LOOKED dead letters."""
        ...

    def audit(
        self, *, since: float = 0.0, limit: int = 100, before: int | None = None, by: str = "", act: str = ""
    ) -> list[Act]:
        """The newest lines of the audit; of these, the oldest comes first.

        since: only acts since then; Unix seconds.
        limit: how many lines at most.
        before: only acts older than the act with this number.
        by, act: only acts of this person, and of this kind; "" for all.
        """
        ...

    def totals(self) -> tuple[int, int, int, int]:
        """How many tasks are ready or leased, delayed, waiting for a group, and dead."""
        ...

    def runs(self, numbers: Iterable[int]) -> list[RunReport]:
        """The reports of these runs, in the order of their numbers, each once."""
        ...

    def run(self, number: int) -> RunReport: ...

    def figures(self, run: int) -> RunFigures:
        """The figures of a run: what it cost, and what happened to it."""
        ...

    def flow(self, run: int) -> RunFlow:
        """The numbers from which the end of the run can be estimated."""
        ...

    def full_before(self, run: int) -> int | None:
        """The newest completed run of the import before this one that was a full run if this one is, and an incremental
        run otherwise. Ad hoc runs do not count; for an ad hoc run, the result is None."""
        ...

    def left_imports(self, configured: Collection[str]) -> list[LeftImport]:
        """The imports that have run and are not in `configured`, in alphabetical order."""
        ...

    def latest(self, import_name: str) -> RunReport | None:
        """The import's oldest run under way, or else its newest run."""
        ...

    def account(self, name: str) -> AccountReport | None:
        """The report of an account or part; None for an unknown name."""
        ...

    def outages(self) -> list[OutageReport]:
        """The outages. When a whole origin is out, the outages of its accounts are not listed."""
        ...

    def outage_of(self, account: str) -> OutageReport | None:
        """The outage of an account that gets no answer itself; `next_at` is that of the origin if the whole origin is
        out. None for an account that waits only because other accounts of its origin get no answer."""
        ...

    def next_retry(self, run: int) -> RetryReport | None:
        """The delayed task of a run that is due first; None when it is not among the next tasks of all runs."""
        ...

    def task(self, number: int) -> TaskReport | None:
        """The state of a task that is ready or delayed. Reads all such tasks."""
        ...

    def accounts(self, run: int) -> list[str]:
        """The names of the accounts for which the run has had tasks, including its own."""
        ...

    def goes_on(self, run: int, accounts: Collection[str]) -> bool:
        """Whether the run has a ready or delayed task for one of these accounts."""
        ...

    def streams(self, run: int, wanted: Iterable[str] = ()) -> dict[str, StreamReport]:
        """The reports of a run's streams, by stream: of the streams in `wanted`, and of all that have had records."""
        ...

    def streams_many(self, runs: Iterable[int]) -> dict[int, dict[str, StreamReport]]:
        """Like `streams` for several runs, by run; one round trip."""
        ...

    def dead_letters(
        self, which: LetterFilter = ALL, *, after: int = 0, limit: int = 100, one_each: bool = False
    ) -> list[DeadLetter]:
        """Dead letters with ids after `after`, in the order of their ids. one_each: of an import's letters for the same
        task, only the newest one, with their number."""
        ...

    def newest_letters(self, which: LetterFilter, *, before: int | None, limit: int, most_read: int) -> LetterPage:
        """A page of dead letters, the newest first, with an import's letters for the same task as one.

        before: only letters with lower ids; None for all.
        most_read: how many letters are read at most, even when few match.
        """
        ...

    def count_letters(self, which: LetterFilter, through: int | None = None) -> LetterCount:
        """Counts the letters that match by reading them. through: only letters up to this number, see `LetterCount`;
        None for all."""
        ...

    def quick_count(self, which: LetterFilter, most_read: int) -> LetterCount:
        """Counts the letters that match, from counters where possible, or else by reading up to `most_read` letters."""
        ...

    def next_letters(self, which: LetterFilter, *, through: int, after: int, most: int) -> list[int]:
        """The ids of letters that match, in order, after the id `after`. through: see `count_letters`."""
        ...

    def dead_groups(
        self,
        *,
        import_name: str | None = None,
        run: int | None = None,
        limit: int = 100,
        newest: bool = False,
        after: tuple[int, str] | None = None,
    ) -> list[DeadGroup]:
        """Groups of dead letters, the largest first; of equally large ones, by their names.

        import_name, run: only letters of this import, or of this run.
        newest: those that got a letter last come first.
        after: only groups after one that has so many letters, and this name; not with `newest`.
        """
        ...

    def dead_letter(self, number: int) -> DeadLetter | None: ...

    def known_dead(self, numbers: Iterable[int]) -> list[int]:
        """The numbers among these that are dead letters, each once, in the same order; one round trip."""
        ...

    def operations(self, *, before: int | None = None, limit: int = 100) -> list[OperationReport]:
        """Operations on dead letters, the newest first. before: only those with lower numbers; None for all."""
        ...

    def operation(self, number: int) -> OperationReport | None: ...
