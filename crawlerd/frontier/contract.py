"""What every frontier can do, on whichever database: the protocols, and the values that they take and give."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec

from crawlerd.core.outcome import Made, Outcome
from crawlerd.core.task import Task
from crawlerd.frontier.acts_contract import Acts
from crawlerd.frontier.letter_contract import FirstLetter, LetterFrontier
from crawlerd.frontier.schedule_contract import Schedules
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
    from crawlerd.sink import Mark, SinkState, Totals

RunState = Literal["running", "completed", "completed with dead letters", "failed", "cancelled"]
MAX_DELAY = 86_400.0  # seconds; a due time further off than this means that the clock was set back
NOWHERE: Mapping[str, str] = MappingProxyType({})
FARTHEST_GRANT = 900.0  # seconds: more than a hundredth of a day, the farthest a charge is dated ahead


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A leased task, its account, and what its attempt led to.

    made: what the attempt cost, see `Result`.
    """

    task: Task
    account: int
    outcome: Outcome
    made: Made | None = None


class Ahead(Settled, frozen=True, gc=False, kw_only=True):
    """A portion of what an attempt leads to, while its task is still leased: `outcome` has its records.

    token: of the lease.
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

    # queues that got ready tasks, with the first key of them
    arrived: dict[Queue, Key]
    # runs now over
    ended: list[int]
    # (run, account) where a run has got its first tasks for an account that is not its own
    borrowed: Sequence[tuple[int, int]] = ()
    # all that a queue got, in order, where that is few and nothing of it was there before: it need not be read
    fresh: Mapping[Queue, Sequence[Task]] = {}
    # runs that do far more than the last full one; each again when it has done twice as much
    long: Sequence[LongRun] = ()
    enqueued: Mapping[int, int] = MappingProxyType({})  # tasks that are ready for the first time, by run
    first_letters: Sequence[FirstLetter] = ()  # dead letters that are the first of their kind in their run


class StartedRun(NamedTuple):
    """A new run's id, which is in `ended` as well when it had nothing to do."""

    run: int
    ended: list[int]
    enqueued: int = 0  # tasks


class Run(NamedTuple):
    """A run as its row says."""

    id: int
    import_name: str
    account: int
    full: bool
    state: RunState
    started_at: float  # Unix seconds
    ended_at: float | None  # Unix seconds
    again: bool = False  # it was abandoned, and its import is to begin again
    records: int = 0
    done: int = 0  # tasks, as are `dead` and `open`
    dead: int = 0
    ad_hoc: str | None = None  # see `Frontier.start_run`
    added: tuple[str, ...] = ()  # see `Frontier.start_run`
    sample: int | None = None  # see `Frontier.start_run`
    submitted: bool = False  # see `Frontier.start_run`
    open: int = 0


class Attached(NamedTuple):
    """A sink as the frontier knows it from now on."""

    id: int
    abandoned: list[int]  # runs that were under way into it, and begin again
    news: str | None  # why nothing is believed of it; None when all of it is


class Bounds(NamedTuple):
    """How much one commit does of what may wait, so that none stalls, and how much is remembered."""

    purge: int = 2_000  # keys of ended runs, and parents of lists that were dropped, to be removed
    slice: int = 2_000  # rows to be looked at for tasks of abandoned runs
    stages: int = 100  # rows of portions that nobody takes over any more, to be removed
    names: int = 20_000  # accounts, buckets and runs that were looked up lately; bounds memory at many accounts


class OutageNote(NamedTuple):
    """An outage under way. Times are Unix seconds."""

    origin: str
    account: int  # 0 for the whole origin
    since: float
    next_at: float  # of the next probe
    delay: float  # seconds between probes
    error: str


class Frontier(LetterFrontier, WaitingTasks, Acts, Schedules, SyncPointStore, Submissions, Protocol):
    """The one writer of a frontier, used by one thread. It is open from `open_frontier` to `close`.

    Every method that changes something is one durable transaction: it is written whole, or it raises and nothing is.
    All raise StorageFailed when the storage is full or fails, after which the frontier stays usable; SyncFailed when a
    sync fails, after which it must not be used; FrontierRefused when the data is not the frontier's any more; and
    FrontierError for the rest. Times are Unix seconds. Accounts, buckets, runs and sinks are numbers that the frontier
    gives out, from 1 and never twice.

    Opening it also: forgets whose credentials were refused; lets what is blocked, delayed or charged further ahead than
    a wrong clock alone can explain (MAX_DELAY, FARTHEST_GRANT) be due now.
    """

    def close(self) -> None:
        """Ends the use of it in good order; a crash instead loses nothing."""
        ...

    @property
    def quota_rows(self) -> QuotaRows: ...

    # accounts

    def account(self, name: str, source: str) -> int:
        """The account's number, given out at the first call. One transaction."""
        ...

    def account_numbers(self, sources: Mapping[str, str]) -> dict[str, int]:
        """The numbers of accounts by name, given out at the first call. One transaction, one round trip or two.

        sources: the source of each account, by the account's name. Another one than before takes its place.
        """
        ...

    def account_name(self, number: int) -> str: ...

    def bucket_number(self, account: int, name: str) -> int:
        """The number of an account's bucket, given out at the first call. One transaction."""
        ...

    def identities(self, accounts: Sequence[int]) -> list[str | None]:
        """Who the credentials of each of these accounts belong to, as `confirm` noted; None where it has not."""
        ...

    def confirm(self, account: int, identity: str) -> str | None:
        """Notes who the account's credentials belong to, once. The identity noted before if it is another one. One
        transaction."""
        ...

    def refuse(self, account: int, reason: str, now: float) -> None:
        """Notes why the account's credentials do not work, until the frontier is opened again. One transaction."""
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
        """A new run with its first tasks and groups; without any it has ended at once. One transaction.

        sink: the number of where its records go, see `attach`; 0 for none.
        why: why it is full, where nobody asked for that.
        streams: all that it reads.
        whole: those of them that it reads in full.
        setup: what its import is told to read, as a digest; with another one than before, nothing is expected.
        shrink: as little as it sees is accepted, and so is what was doubted before.
        ad_hoc: how a command has changed the import for this run, for people. Such a run leaves nothing to the next
            one: no sync points, and nothing of `streams`, `whole`, `setup` and `shrink`.
        added: the streams of extensions that it asks for. It does so to its end, whatever its import says then.
        began: who or what has started it, for people.
        schedule: what is noted of the import's schedule from now on, if that changes.
        sample: records of each stream that it takes; None for all.
        part: which of the import's streams it reads, for people; None for all. What it leaves counts, but it is not the
            import's latest run.
        submitted: it has nothing but tasks of others, each once. Without a sink, it takes that of its import later.
        chunk: where its tasks come from.
        """
        ...

    def run(self, number: int) -> Run:
        """KeyError when there is no such run."""
        ...

    def accounts(self, run: int) -> list[int]:
        """The accounts that a run has had tasks for, its own first."""
        ...

    def latest_run(self, import_name: str) -> Run | None:
        """The import's newest run, running or ended, ad hoc ones and those of some streams alone aside."""
        ...

    def tallied(self, run: int) -> dict[str, Totals]:
        """The totals of a run as of the last commit, by stream."""

    def resumed(self, runs: Sequence[int], now: float) -> None:
        """Notes with the next commit, of those that the end of a process has interrupted, that they go on."""
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
        """What limiters have found out, as JSON, by their keys."""
        ...

    def outages(self) -> list[OutageNote]:
        """Those that were under way at the last commit that noted them."""
        ...

    # doubts

    def doubted(self, import_name: str, sink: int) -> set[str]:
        """The streams of an import of which the last full run into the sink has seen too little."""
        ...

    def expected(self, run: int, account: int, stream: str) -> Expected | None:
        """How many records a run should see of a stream that it reads in full; None for other streams."""
        ...

    def cancel_run(self, run: int, act: Act, *, forget: bool = False) -> bool:
        """Ends a run that is under way, as a person wants it: nothing of it is published, its tasks leave in slices.
        False, and nothing is written, when it was not under way. One transaction, with its line in the audit. To forget
        it, under way or not, is to let the run itself go as well; False when that was asked for before."""
        ...

    def prune_runs(self, import_name: str, count: int, before: float, most: int) -> int:
        """Forgets up to `most` runs of an import that have ended: all but the newest `count`, and those that ended
        before a time. What has dead letters is kept, and so are the newest run and the last full one. How many it has
        dealt with; 0 when none is left. One transaction, in which it ends early when that takes long."""
        ...

    def let_shrink(self, runs: Sequence[int]) -> None:
        """However little these runs see from now on is accepted. One transaction."""
        ...

    # sinks

    @property
    def mark(self) -> Mark:
        """What is to be left in the sinks that are written before the next commit. Costs no read."""
        ...

    def attach(self, name: str, state: SinkState, now: float) -> Attached:
        """Compares a sink that was opened with what is believed of it; what does not hold is dropped, and so are the
        runs under way into it. FrontierRefused when the frontier is the one that is older. One transaction.

        name: as people know it, such as "sinks.warehouse".
        """
        ...

    def attach_receiver(self, import_name: str, identity: str | None, now: float) -> Attached:
        """The same for who receives an import's deliveries. One transaction.

        identity: None while it is not known.
        """
        ...

    def bind(
        self, import_name: str, sink: int, now: float, origins: Mapping[str, str] = NOWHERE, *, ad_hoc: bool = False
    ) -> Attached:
        """Call when an import starts, with the sink that it has now. Its runs under way into another one are abandoned.

        origins: of its streams, a digest of where their records come from, and, behind a ".", of what is made of them.
        Of streams whose records have come from elsewhere, nothing is believed any more, and all runs of the import that
        are under way are abandoned; `news` says so. One transaction.
        ad_hoc: what is made of them is so for one run: it is not compared, and no streams are noted that are new.
        """
        ...

    def elsewhere(self, import_name: str, origins: Mapping[str, str]) -> set[str]:
        """The streams whose origin is noted as another one: their sync points are of no use for an ad hoc run."""

    def news(self, import_name: str, sink: int) -> str | None:
        """Why nothing was believed of a sink, or of the receiver of an import's deliveries, when that was last so."""
        ...

    # changing tasks

    def idle(self) -> bool:
        """Nothing was committed for some seconds: space that is taken for speed's sake is given back. False when a
        reader is in the way."""
        ...

    @property
    def chores(self) -> bool:
        """There are rows that commits make ready or remove, some with each. Costs no read."""
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
        """One transaction: the outcomes of a group of leased tasks, each with its children and counters, and up to
        `due` delayed tasks whose time has come. The group's records must be durable in their sinks already.
        FrontierError, and nothing is written, when one of the tasks is not ready, or what it has sent ahead is not
        here.

        What an outcome has sent ahead (`Complete.sent`) is counted with it at once, under numbers that follow each
        other, and becomes ready in slices, one with each of the commits that follow: see `chores`. A task that turns
        out to be a repeat leaves the counters again.

        blocked: buckets that may not be leased from before a time, with the reason, which people are told.
        learned: by limiters, see `learned`.
        charge: writes to `quota_rows`; part of the transaction.
        totals: of (run, stream), as their sinks have returned them.
        written: the sinks, by number, that have got the mark.
        ahead: portions of tasks that are still leased; they are kept aside, in their order, until the outcome of that
            lease takes them over. Any other outcome of the task drops them, and so does an opening of the frontier.
        void: (task, token) of leases that ended without an outcome; what they have sent ahead is dropped.
        outages: by origin and account; None where one is over.
        """
        ...
