"""What people are told of a frontier: its state, the reports of its runs, and its dead letters."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from crawlerd.core.pauses import PauseNote


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


class AccountReport(msgspec.Struct, frozen=True):
    """One account, with its parts."""

    name: str
    source: str
    identity: str | None
    # why its credentials do not work, if so
    refused: str | None
    ready: int
    # the latest Unix second of its throttled buckets
    blocked_until: float
    # `refused`, by the name that it had before people could pause an account
    paused: str | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "paused", self.refused)


class BucketReport(msgspec.Struct, frozen=True):
    """One bucket of an account."""

    name: str
    # tasks
    ready: int
    # Unix seconds; 0 when it is not throttled
    blocked_until: float


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
    # newest first
    runs: list[RunReport]
    accounts: list[AccountReport]
    outages: list[OutageReport] = []
    pauses: list[PauseNote] = []


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
    # those that are refused or throttled first, and how many there are of all, refused and throttled ones
    accounts: list[AccountReport]
    account_count: int
    refused_count: int
    throttled_count: int
    outages: list[OutageReport]
    pauses: list[PauseNote]


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


class Checked(NamedTuple):
    """What a check of a frontier has found."""

    name: str  # of what was checked, as people know it
    broken: list[str]  # a line for each thing that is wrong; nothing when every invariant holds
