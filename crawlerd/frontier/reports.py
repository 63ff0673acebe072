"""What commands show about a frontier: its state, the reports of its runs, and its dead letters."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from crawlerd.core.lowered import LimitNote
from crawlerd.core.pauses import PauseNote
from crawlerd.frontier.letter_filter import LetterFilter

LetterAct = Literal["retry", "drop"]

NOTHING: dict[int, str] = {}


class Told(NamedTuple):
    """What an account waits for, as reported by the crawlerd that has its tasks in memory."""

    account: int
    reason: str
    until: float  # Unix seconds; 0 when unknown


class StreamReport(msgspec.Struct, frozen=True):
    """One stream of one run."""

    # delivered to the sink, with repeats and tombstones
    records: int = 0
    # these five: see `crawlerd.sink.Totals`
    seen: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    tombstoned: int = 0
    skipped: int = 0
    dead: int = 0
    denied: bool = False
    # why records were skipped or denied, or tasks are dead: one reason for all; without one, see `note`
    reason: str | None = None
    # why the next run reads the stream in full, or why the time of change could not be read in some records
    note: str | None = None


class Doubt(msgspec.Struct, frozen=True):
    """A stream in doubt: a full run has seen less than half of the records that the last one saw."""

    account: str
    stream: str
    seen: int
    before: int


class RunReport(msgspec.Struct, frozen=True, rename={"import_name": "import"}):
    """One run."""

    id: int
    import_name: str
    account: str
    # it reads all records of all its streams
    full: bool
    state: str
    # Unix seconds, both
    started_at: float
    ended_at: float | None
    # tasks, including those that are leased at this moment
    ready: int
    delayed: int
    # tasks that follow a group of others
    waiting: int
    done: int
    dead: int
    retried: int
    throttled: int
    records: int
    # it has ended, and nothing is dead, denied, skipped or doubted
    complete: bool
    # why it is a full run, if nobody asked for one; or which streams it reads in full, and why
    full_reason: str | None = None
    # why it was cancelled
    ended_reason: str | None = None
    # how a command has changed the import for this run
    ad_hoc: str | None = None
    doubts: list[Doubt] = []
    # who or what has started it; "" when unknown
    began: str = ""
    # the streams of its import that it reads, separated by commas; None: all
    part: str | None = None


class BlockReport(msgspec.Struct, frozen=True):
    """Why no task of a bucket may be leased. Times are Unix seconds."""

    until: float
    reason: str
    # what it waits for, as a part of a sentence
    text: str
    # None when unknown
    since: float | None


class AccountReport(msgspec.Struct, frozen=True):
    """One account, with its parts."""

    name: str
    source: str
    identity: str | None
    # why its credentials do not work, if so
    refused: str | None
    ready: int
    # the latest Unix second of its blocked buckets
    blocked_until: float
    # why the bucket waits that may start first, among those with ready tasks that are not paused; None without one.
    # Its `until` may have passed
    first: BlockReport | None = None
    # whether runs of the account have tasks that wait for their next try, and tasks that wait for their group
    retries: bool = False
    gathers: bool = False
    # the same as `refused`, under the name that it had before people could pause accounts
    paused: str | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "paused", self.refused)


class BucketReport(msgspec.Struct, frozen=True):
    """One bucket of an account."""

    name: str
    # tasks
    ready: int
    # Unix seconds; 0 when it is not blocked
    blocked_until: float
    # why it is blocked, or was the last time
    reason: str = "throttled"


class LeftImport(msgspec.Struct, frozen=True):
    """An import with a history that is not configured any more."""

    name: str
    # the account of its last run, "" when that run was forgotten
    account: str
    # a digest of its options, see `Frontier.start_run`
    setup: str
    # the streams that it has read
    streams: frozenset[str]


class RetryReport(msgspec.Struct, frozen=True):
    """A task that waits for its next try."""

    # Unix seconds
    due_at: float
    attempts: int
    # the error of the last attempt
    error: str


class TaskReport(msgspec.Struct, frozen=True):
    """The state of a task."""

    run: int
    account: str
    kind: str
    attempts: int
    # None when the task is ready, or leased
    retry: RetryReport | None = None


class OutageReport(msgspec.Struct, frozen=True):
    """An API that does not answer."""

    origin: str
    # the account that gets no answer; None for the whole origin, whose accounts are then not listed
    account: str | None
    # Unix seconds, both; at `next_at` a single request tries the origin
    since: float
    next_at: float
    # the error of the last request
    error: str


class Status(msgspec.Struct, frozen=True):
    """The whole frontier. The counts are of tasks."""

    ready: int
    delayed: int
    waiting: int
    dead: int
    # the newest 50, newest first
    runs: list[RunReport]
    # the first 500 by name; `FrontierReader.account_page` has all
    accounts: list[AccountReport]
    outages: list[OutageReport] = []
    pauses: list[PauseNote] = []
    # limits that people have lowered for a time
    lowered: list[LimitNote] = []


class Overview(msgspec.Struct, frozen=True):
    """A frontier at a glance, however large it is."""

    # tasks
    ready: int
    delayed: int
    waiting: int
    dead: int
    # runs under way, the oldest first, and how many there are
    running: list[RunReport]
    running_count: int
    # the newest ended run of each import, the newest first, and how many imports have one; None: too many to count
    latest: list[RunReport]
    imports: int | None
    # the runs among `latest` that have failed, have dead letters, or are doubted
    unclean: list[RunReport]
    # accounts that need attention, refused ones first; and how many accounts there are in all
    accounts: list[AccountReport]
    account_count: int
    outages: list[OutageReport]
    pauses: list[PauseNote]
    # limits that people have lowered for a time
    lowered: list[LimitNote] = []


class AttemptReport(msgspec.Struct, frozen=True):
    """An attempt that has failed."""

    # when it was stored; Unix seconds
    at: float
    # how long its request took; None without a request
    seconds: float | None
    # the HTTP status; None without a response
    status: int | None
    # the HTTP method, or the operation of an AWS service; "" without a request
    method: str
    # the URL of the request, without credentials
    url: str
    error: str


class DeadLetter(msgspec.Struct, frozen=True, rename={"import_name": "import"}):
    """A task that is not retried by itself."""

    id: int
    import_name: str
    run: int
    account: str
    stream: str
    kind: str
    attempts: int
    denied: bool
    error: str
    payload: str
    # Unix seconds
    at: float
    # its fingerprint, which is that of its group
    group: str = ""
    # how many runs have a letter for this task; their letters are shown as one, the newest
    letters: int = 1
    # its last attempts, the oldest first; only when a single letter is read
    history: list[AttemptReport] = []


class DeadGroup(msgspec.Struct, frozen=True):
    """Dead letters with the same fingerprint: the same failure."""

    # the fingerprint
    group: str
    source: str
    kind: str
    # the class of the exception; "" when none was raised
    error_class: str
    # the HTTP status; None when the error has none
    status: int | None
    # the fixed words of the error text
    message: str
    letters: int
    # how many imports have such letters, as far as seen in the newest 1,000 runs; and how many runs have them
    imports: int
    runs: int
    # when the first and the last letter came; Unix seconds
    first_at: float
    last_at: float
    # the number of the newest letter
    example: int


class LetterPage(msgspec.Struct, frozen=True):
    """Dead letters that match, the newest first."""

    letters: list[DeadLetter]
    # pass it as `after` to get the next page; None when there are no more letters
    next: int | None
    # the page is short because too many letters would have had to be read
    cut: bool = False


class LetterCount(msgspec.Struct, frozen=True):
    """How many dead letters match."""

    count: int
    # the number of the last dead letter that was counted; later ones are not meant
    through: int
    # there are more than `count`: not all were counted
    more: bool = False


class OperationReport(msgspec.Struct, frozen=True, kw_only=True, rename={"which": "filter"}):
    """An operation on all dead letters that match a filter."""

    id: int
    act: LetterAct
    which: LetterFilter
    # the number of the last dead letter when it began; later ones are left alone
    through: int
    by: str
    reason: str = ""
    state: Literal["running", "done", "cancelled", "failed"] = "running"
    # why it has failed, or cannot continue at the moment
    error: str | None = None
    # Unix seconds, both
    began_at: float
    ended_at: float | None = None
    # letters: those that matched when it began, those handled so far, those changed so far
    total: int
    seen: int = 0
    done: int = 0
    # the number of the last letter handled
    last: int = 0

    @property
    def stayed(self) -> int:
        """How many of the letters handled were not changed, or a few less: letters that come back with their group
        count as changed, even if they did not match."""
        return max(0, self.seen - self.done)


class Act(msgspec.Struct, frozen=True):
    """What a person did: a line of the audit."""

    # Unix seconds
    at: float
    by: str
    # such as "pause", and "import acme"
    act: str
    subject: str
    # further details, such as the reason that the person gave
    detail: str
    # how many things it was done to, such as dead letters
    count: int
    # its number in the audit; 0 before it is written
    id: int = 0


class Checked(NamedTuple):
    """The result of a check of a frontier."""

    name: str  # the name of the checked file, for people
    broken: list[str]  # a line for each fault; empty when every invariant holds


class BackedUp(NamedTuple):
    """Describes the frontier in a backup."""

    identity: str
    commits: int  # the number of its last group commit
    sinks: dict[str, int]  # by identity of the sink, the number of the last commit that wrote to it
