"""What people are told of a frontier: its state, the reports of its runs, and its dead letters."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from crawlerd.core.lowered import LimitNote
from crawlerd.core.pauses import PauseNote
from crawlerd.frontier.letter_filter import LetterFilter

LetterAct = Literal["retry", "drop"]

NOTHING: dict[int, str] = {}


class Told(NamedTuple):
    """What an account waits for, as the crawlerd says that has its tasks in memory."""

    account: int
    reason: str
    until: float  # Unix seconds; 0 when that is not known


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
    # why something was skipped or denied or is dead, one reason for all; else `note`
    reason: str | None = None
    # why the next run reads all of it, or in which records the time of change could not be read
    note: str | None = None


class Doubt(msgspec.Struct, frozen=True):
    """A stream that a full run has seen less than half of what the last one saw of."""

    account: str
    stream: str
    seen: int
    before: int


class RunReport(msgspec.Struct, frozen=True, rename={"import_name": "import"}):
    """One run."""

    id: int
    import_name: str
    account: str
    # it reads all there is
    full: bool
    state: str
    # Unix seconds, both
    started_at: float
    ended_at: float | None
    # tasks, those that are leased at this moment included
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
    # why it is full, where nobody asked for that; or, when only some streams are read in full, which and why
    full_reason: str | None = None
    # why it was cancelled
    ended_reason: str | None = None
    # how a command has changed the import for this run
    ad_hoc: str | None = None
    doubts: list[Doubt] = []
    # who or what has started it; "" where that is not known
    began: str = ""
    # the streams of its import that it reads, with commas; None: all
    part: str | None = None


class BlockReport(msgspec.Struct, frozen=True):
    """Why nothing of a bucket may be leased. Unix seconds."""

    until: float
    reason: str
    # what it waits for, as a part of a sentence
    text: str
    # None where that is not known
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
    # of the bucket that may start first, among those with ready tasks that nobody has paused; None without such a one.
    # `until` may be over
    first: BlockReport | None = None
    # a run of the account itself has tasks that wait for their next try; that wait for others of their group
    retries: bool = False
    gathers: bool = False
    # `refused`, by the name that it had before people could pause an account
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
    # why it is, or was when that was last so
    reason: str = "throttled"


class LeftImport(msgspec.Struct, frozen=True):
    """An import with a history that is not configured any more."""

    name: str
    # of its last run, "" when that is forgotten
    account: str
    # of what it was told to read, see `Frontier.start_run`
    setup: str
    # those it has read
    streams: frozenset[str]


class RetryReport(msgspec.Struct, frozen=True):
    """A task that waits for its next try."""

    # Unix seconds
    due_at: float
    attempts: int
    # of the last one
    error: str


class TaskReport(msgspec.Struct, frozen=True):
    """Where a task is."""

    run: int
    account: str
    kind: str
    attempts: int
    # it is ready, or a worker has it, when this is None
    retry: RetryReport | None = None


class OutageReport(msgspec.Struct, frozen=True):
    """An API that does not answer."""

    origin: str
    # the account that gets no answer; None for all of them, which are not listed one by one then
    account: str | None
    # Unix seconds, both; the next try is a single request
    since: float
    next_at: float
    # the last one
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
    # by people, for a time
    lowered: list[LimitNote] = []


class Overview(msgspec.Struct, frozen=True):
    """A frontier at a glance, however large it is."""

    # tasks
    ready: int
    delayed: int
    waiting: int
    dead: int
    # under way, the oldest first, and how many there are
    running: list[RunReport]
    running_count: int
    # the newest ended run of each import, the newest first, and how many imports have one; None: very many
    latest: list[RunReport]
    imports: int | None
    # of these, those that failed, have dead letters, or are doubted
    unclean: list[RunReport]
    # that need a look, refused ones first; and how many there are of all
    accounts: list[AccountReport]
    account_count: int
    outages: list[OutageReport]
    pauses: list[PauseNote]
    # limits, by people, for a time
    lowered: list[LimitNote] = []


class AttemptReport(msgspec.Struct, frozen=True):
    """An attempt that has failed."""

    # when it was noted; Unix seconds
    at: float
    # that its request took; None where there was none
    seconds: float | None
    # of HTTP; None where there was no answer
    status: int | None
    # of HTTP, or the operation of a service; "" where there was no request
    method: str
    # where it went, without credentials
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
    # the fingerprint that it has in common with the others of its group
    group: str = ""
    # letters of this task, of as many runs: this one, and older ones that are shown as one with it
    letters: int = 1
    # its last attempts, the oldest first, where one letter was asked for
    history: list[AttemptReport] = []


class DeadGroup(msgspec.Struct, frozen=True):
    """Dead letters with the same fingerprint: the same failure."""

    # the fingerprint
    group: str
    source: str
    kind: str
    # the exception's; "" where none was raised
    error_class: str
    # of HTTP; None where the error has none
    status: int | None
    # the error's fixed words
    message: str
    letters: int
    # how many imports its newest 1,000 runs are of, and how many runs there are
    imports: int
    runs: int
    # when the first and the last one came; Unix seconds
    first_at: float
    last_at: float
    # the number of the newest one
    example: int


class LetterPage(msgspec.Struct, frozen=True):
    """Dead letters that match, the newest first."""

    letters: list[DeadLetter]
    # the id before which to go on; None when there are no more
    next: int | None
    # the page is short because very many letters were looked at
    cut: bool = False


class LetterCount(msgspec.Struct, frozen=True):
    """How many dead letters match."""

    count: int
    # the number of the last burial: of what dies later, nothing is meant
    through: int
    # there are more than that: they were not all counted
    more: bool = False


class OperationReport(msgspec.Struct, frozen=True, kw_only=True, rename={"which": "filter"}):
    """What is done, or was, to all dead letters that match a filter."""

    id: int
    act: LetterAct
    which: LetterFilter
    # the number of the last burial: of what died later, nothing is meant
    through: int
    by: str
    reason: str = ""
    state: Literal["running", "done", "cancelled", "failed"] = "running"
    # why it has failed, or cannot go on at the moment
    error: str | None = None
    # Unix seconds, both
    began_at: float
    ended_at: float | None = None
    # letters: that matched when it began, that it has come to, that it has changed
    total: int
    seen: int = 0
    done: int = 0
    # the last letter that it has come to
    last: int = 0


class Act(msgspec.Struct, frozen=True):
    """What a person did, as the audit has it."""

    # Unix seconds
    at: float
    by: str
    # such as "pause", and "import acme"
    act: str
    subject: str
    # the reason that was given, and the like
    detail: str
    # what it was done to
    count: int
    # in the audit; 0 for one that is not in it yet
    id: int = 0


class Checked(NamedTuple):
    """What a check of a frontier has found."""

    name: str  # of what was checked, as people know it
    broken: list[str]  # a line for each thing that is wrong; nothing when every invariant holds


class BackedUp(NamedTuple):
    """Which frontier a backup is of."""

    identity: str
    commits: int  # the number of its last group commit
    sinks: dict[str, int]  # by identity, the number of the last one that wrote to the sink
