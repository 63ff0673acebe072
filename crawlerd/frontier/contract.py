"""The operations that every frontier offers, whatever its database, and the values that they take and return."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec

from crawlerd.core.outcome import Made, Outcome
from crawlerd.core.task import Task
from crawlerd.frontier.acts_contract import Acts
from crawlerd.frontier.letter_contract import FirstLetter, LetterFrontier
from crawlerd.frontier.schedule_contract import Schedules
from crawlerd.frontier.sink_contract import KnownSinks
from crawlerd.frontier.submission_contract import NO_CHUNK, Chunk, Submissions
from crawlerd.frontier.sync_point_contract import SyncPointStore
from crawlerd.frontier.waiting_contract import Block, Key, Queue, WaitingTasks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from crawlerd.core.doubt import Expected
    from crawlerd.core.schedule_rules import ScheduleNote
    from crawlerd.core.task import NewGather, NewTask
    from crawlerd.frontier.quota_contract import QuotaRows
    from crawlerd.frontier.reports import Act
    from crawlerd.sink import Totals

RunState = Literal["running", "completed", "completed with dead letters", "failed", "cancelled"]
MAX_DELAY = 86_400.0  # seconds; a due time further ahead than this means that the clock was set back
FARTHEST_GRANT = 900.0  # seconds; a charge is dated ahead by a hundredth of its quota's window (a day) at most


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A leased task, its account, and the outcome of its attempt.

    made: the requests that the attempt made, see `Result`.
    """

    task: Task
    account: int
    outcome: Outcome
    made: Made | None = None


class Ahead(Settled, frozen=True, gc=False, kw_only=True):
    """A portion of a large outcome, sent while its task is still leased. `outcome` has the records of the portion.

    token: the token of the lease.
    entries, first: see `Portion`.
    """

    token: int
    entries: list[tuple[int, str]]
    first: int


class LongRun(NamedTuple):
    """A run that has done ten times as many tasks as the last full run of its import: a list may have no end."""

    run: int
    done: int
    usual: int  # tasks of the last full run


class Committed(NamedTuple):
    """What a commit has changed."""

    # queues that got ready tasks, each with the key of the first
    arrived: dict[Queue, Key]
    # runs that have ended
    ended: list[int]
    # (run, account) of runs that have got their first tasks for an account other than their own
    borrowed: Sequence[tuple[int, int]] = ()
    # all tasks of a queue that was empty before, in order, when they are few: the caller need not read them
    fresh: Mapping[Queue, Sequence[Task]] = {}
    # runs that do far more tasks than the last full run; each is named again whenever its number of tasks has doubled
    long: Sequence[LongRun] = ()
    enqueued: Mapping[int, int] = MappingProxyType({})  # tasks that are ready for the first time, by run
    first_letters: Sequence[FirstLetter] = ()  # dead letters that are the first of their kind in their run


class StartedRun(NamedTuple):
    """The id of a new run. It is in `ended` as well when the run had nothing to do."""

    run: int
    ended: list[int]
    enqueued: int = 0  # tasks


class Run(NamedTuple):
    """A run, as stored."""

    id: int
    import_name: str
    account: int
    full: bool
    state: RunState
    started_at: float  # Unix seconds
    ended_at: float | None  # Unix seconds
    again: bool = False  # it was abandoned, and its import must begin again
    records: int = 0
    done: int = 0  # `done`, `dead` and `open` count tasks
    dead: int = 0
    ad_hoc: str | None = None  # see `Frontier.start_run`
    added: tuple[str, ...] = ()  # see `Frontier.start_run`
    sample: int | None = None  # see `Frontier.start_run`
    submitted: bool = False  # see `Frontier.start_run`
    open: int = 0


class Bounds(NamedTuple):
    """How much background work one commit does at most, so that it does not take long, and what is kept in memory."""

    purge: int = 2_000  # keys of ended runs, and parents of dropped lists, that are deleted
    slice: int = 2_000  # rows that are searched for tasks of abandoned runs
    stages: int = 100  # rows of portions without an owner that are deleted
    names: int = 20_000  # accounts, buckets and runs in the cache; bounds memory when there are many accounts
    pace_seconds: float = 1.0  # how long figures by bucket are collected; a crash loses those that were not written


class OutageNote(NamedTuple):
    """An outage under way. Times are Unix seconds."""

    origin: str
    account: int  # 0 for the whole origin
    since: float
    next_at: float  # time of the next probe
    delay: float  # seconds between probes
    error: str


class Frontier(KnownSinks, LetterFrontier, WaitingTasks, Acts, Schedules, SyncPointStore, Submissions, Protocol):
    """The only writer of a frontier, used by one thread. It is open from `open_frontier` to `close`.

    Every method that changes something is one durable transaction: it writes everything, or it raises and writes
    nothing. All raise StorageFailed when the disk is full or fails, after which it stays usable; SyncFailed when a
    sync fails, after which it must not be used; FrontierRefused when its data was moved, deleted or replaced; and
    FrontierError for the rest. Times are Unix seconds. Accounts, buckets, runs and sinks are numbers that the frontier
    assigns, from 1 and never twice.

    Opening it also forgets which credentials were refused, and makes everything due now that is blocked, delayed or
    charged so far ahead that only a wrong clock can explain it (MAX_DELAY, FARTHEST_GRANT).
    """

    def close(self) -> None:
        """Closes it in good order. A crash instead of this loses nothing."""
        ...

    @property
    def quota_rows(self) -> QuotaRows: ...

    # accounts

    def account(self, name: str, source: str) -> int:
        """The account's number, assigned at the first call. One transaction."""
        ...

    def account_numbers(self, sources: Mapping[str, str]) -> dict[str, int]:
        """The numbers of accounts by name, assigned at the first call. One transaction, one round trip or two.

        sources: the source of each account, by the account's name. It replaces the source stored before.
        """
        ...

    def account_name(self, number: int) -> str: ...

    def bucket_number(self, account: int, name: str) -> int:
        """The number of an account's bucket, assigned at the first call. One transaction."""
        ...

    def identities(self, accounts: Sequence[int]) -> list[str | None]:
        """The owner of each account's credentials, as `confirm` has stored it; None if it has not."""
        ...

    def confirm(self, account: int, identity: str) -> str | None:
        """Stores the owner of the account's credentials, if none is stored yet. Returns the stored one when it differs.
        One transaction."""
        ...

    def refuse(self, account: int, reason: str, now: float) -> None:
        """Stores why the account's credentials do not work, until the frontier is opened again. One transaction."""
        ...

    def accept(self, account: int, now: float) -> None:
        """Undoes `refuse`. One transaction."""
        ...

    # runs

    def start_run(
        self,
        import_name: str,
        account: int,
        tasks: Sequence[NewTask],
        *,
        gathers: Sequence[NewGather] = (),
        full: bool,
        now: float,
        sink: int = 0,
        why: str | None = None,
        streams: Sequence[str] = (),
        whole: Sequence[str] = (),
        setup: str = "",
        shrink: bool = False,
        ad_hoc: str | None = None,
        added: Sequence[str] = (),
        began: str = "",
        schedule: ScheduleNote | None = None,
        sample: int | None = None,
        part: str | None = None,
        submitted: bool = False,
        chunk: Chunk = NO_CHUNK,
    ) -> StartedRun:
        """Starts a run with its first tasks and groups; without any, it has ended at once. One transaction.

        sink: the number of its sink, see `attach`; 0 for none.
        why: why it is a full run, when nobody asked for one.
        streams: the streams that it reads.
        whole: the streams among them that it reads in full.
        setup: a digest of the import's options. After a change, no number of records is expected.
        shrink: accept it without a doubt when it sees few records, and forget earlier doubts.
        ad_hoc: how a command has changed the import for this run, for people. Such a run leaves nothing to the next
            one: no sync points, and nothing of `streams`, `whole`, `setup` and `shrink`.
        added: the streams of extensions that it reads, to its end, even when the configuration changes meanwhile.
        began: who or what has started it, for people.
        schedule: the new note of the import's schedule, if it changes.
        sample: how many records of each stream it takes; None for all.
        part: which of the import's streams it reads, for people; None for all. Its sync points count, but it is not the
            import's latest run.
        submitted: it has only submitted tasks, each once. Without a sink, it gets the import's sink later.
        chunk: where its tasks come from.
        """
        ...

    def run(self, number: int) -> Run:
        """The run of this number. Raises KeyError when there is none."""
        ...

    def accounts(self, run: int) -> list[int]:
        """The accounts for which a run has had tasks, its own first."""
        ...

    def latest_run(self, import_name: str) -> Run | None:
        """The import's newest run, running or ended. Ad hoc runs and runs of only some streams do not count."""
        ...

    def tallied(self, run: int) -> dict[str, Totals]:
        """The totals of a run as of the last commit, by stream."""

    def resumed(self, runs: Sequence[int], now: float) -> None:
        """Notes with the next commit that these runs, which the end of a process has interrupted, go on."""
        ...

    def happened(self, run: int, text: str, now: float) -> None:
        """Notes with the next commit what has happened to a run, for people."""
        ...

    def running_runs(self, import_name: str) -> list[int]:
        """The import's runs that have not ended, oldest first."""
        ...

    def running_imports(self) -> set[str]:
        """The imports that have a run which has not ended."""
        ...

    def cursors(self, import_name: str, sink: int = 0) -> dict[str, str]:
        """The import's published cursors for a sink, by stream."""
        ...

    def learned(self) -> dict[str, str]:
        """What limiters have learned, as JSON, by their keys."""
        ...

    def outages(self) -> list[OutageNote]:
        """The outages that were under way at the last commit that noted them."""
        ...

    # doubts

    def doubted(self, import_name: str, sink: int) -> set[str]:
        """The streams in doubt: the import's last full run into the sink has seen too few of their records."""
        ...

    def expected(self, run: int, account: int, stream: str) -> Expected | None:
        """How many records a run should see of a stream that it reads in full; None for other streams."""
        ...

    def cancel_run(self, run: int, act: Act, *, forget: bool = False) -> bool:
        """Cancels a run that is under way: it publishes no cursors, and its tasks are removed in slices. Writes `act`
        to the audit. Returns False, and writes nothing, when the run is not under way. One transaction.
        forget: delete the run as well, under way or not; False is returned when this was asked for before."""
        ...

    def prune_runs(self, import_name: str, count: int, before: float, most: int) -> int:
        """Forgets up to `most` ended runs of an import: all but the newest `count`, and all that ended before a time.
        Keeps runs with dead letters, the newest run and the last full run. Returns how many runs it has handled; 0 when
        there are no more. One transaction, which stops early when it takes long."""
        ...

    def let_shrink(self, runs: Sequence[int]) -> None:
        """Accepts it without a doubt when these runs see few records. One transaction."""
        ...

    # changing tasks

    def idle(self) -> bool:
        """Call after some seconds without a commit: writes figures that were collected, and truncates files that were
        kept large for speed. Returns False when a reader or the disk prevents it."""
        ...

    @property
    def chores(self) -> bool:
        """Whether rows are left that each commit makes ready or deletes in slices. Costs no read."""
        ...

    def commit(
        self,
        group: Sequence[Settled],
        *,
        now: float,
        blocked: Mapping[int, Block] | None = None,
        learned: Mapping[str, object] | None = None,
        charge: Callable[[], None] | None = None,
        totals: Mapping[tuple[int, str], Totals] | None = None,
        written: Collection[int] = (),
        ahead: Sequence[Ahead] = (),
        void: Sequence[tuple[int, int]] = (),
        outages: Mapping[tuple[str, int], OutageNote | None] | None = None,
        due: int = 500,
    ) -> Committed:
        """Commits the outcomes of a group of leased tasks, each with its children and counters, and makes up to `due`
        delayed tasks ready whose time has come. One transaction. The group's records must be durable in their sinks
        before. Raises FrontierError, and writes nothing, when one of the tasks is not ready, or a portion that its
        outcome has sent ahead is not stored.

        Tasks that an outcome has sent ahead (`Complete.sent`) are counted at once, get consecutive numbers, and become
        ready in slices, one with each of the following commits: see `chores`. A task that the run has already had is
        subtracted from the counters again.

        blocked: until when, and why, buckets may not be leased from, by number.
        learned: what limiters have learned, by their keys; see the method `learned`.
        charge: writes to `quota_rows`; part of the transaction.
        totals: the totals of (run, stream) that their sinks have returned.
        written: the numbers of the sinks that have got the mark.
        ahead: portions of tasks that are still leased; they are stored, in their order, until the outcome of that lease
            takes them over. Any other outcome of the task drops them, and so does opening the frontier.
        void: (task, token) of leases that ended without an outcome; their portions are dropped.
        outages: by origin and account; None when the outage is over.
        """
        ...
