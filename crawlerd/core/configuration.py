"""The configuration as the running daemon knows it: defaults filled in, secrets resolved, paths absolute."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple, assert_never

import msgspec

from crawlerd.core.outcome import RetryPolicy
from crawlerd.core.private_fields import FieldRules
from crawlerd.core.schedule_rules import Schedule, period

FRONTIER_FILE = "frontier.db"  # in the state directory
SinkType = Literal["sqlite", "jsonl", "persist-queue", "stdout", "http", "postgresql"]
ColumnType = Literal["bigint", "numeric", "double precision", "boolean", "text", "jsonb", "timestamptz", "date"]


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's own settings.

    listen: host and port, 0 for any free port; or the path of a Unix socket and -1.
    allow_remote: other machines may reach it.
    allowed_hosts: names that requests may ask for, besides its own.
    admin_token, read_token, metrics_token: secrets of those who may do everything, look, and read metrics; "" for none.
    page: people may look at it with a browser.
    read_only: nothing can be changed over `listen`.
    root_path: under which a proxy has it, such as "/crawlerd"; "" for none.
    trusted_proxies: addresses of proxies whose word counts for who asks.
    socket: of commands; None for one in the state directory, or where the unit says.
    worker_processes: at least 1.
    visibility_seconds: how long a lease lasts.
    catch_up_seconds: over which imports that are overdue together start.
    limiter_storage: address of a Redis that keeps the limits' windows for several programs, "" for our own.
    max_worker_memory_bytes: resident memory at which a worker process is replaced.
    hash_key: a secret: of the hashes that imports have in the place of fields; "" where none has any.
    metrics_imports: most imports whose own figures are in /metrics.
    """

    state_dir: Path
    listen: tuple[str, int]
    allow_remote: bool = False
    allowed_hosts: tuple[str, ...] = ()
    admin_token: str = ""
    read_token: str = ""
    metrics_token: str = ""
    page: bool = True
    read_only: bool = False
    root_path: str = ""
    trusted_proxies: tuple[str, ...] = ()
    socket: Path | None = None
    worker_processes: int
    threads_per_process: int
    drain_seconds: float
    visibility_seconds: float
    max_worker_memory_bytes: int
    log_level: Literal["debug", "info", "warning", "error"]
    log_format: Literal["text", "json"] = "text"
    limiter_storage: str = ""
    catch_up_seconds: float = 600.0
    hash_key: str = ""
    metrics_imports: int = 100


class AccountSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a worker needs to send requests for an account. Travels to workers over their pipe only.

    secret: the credential itself; it never reaches the frontier, a log, a metric or an error text.
    request_seconds: the deadline of one whole request.
    max_body_bytes: cap on a decoded response body.
    options: the source's own settings, validated by it.
    part: of the account, which a request is for; "" for itself.
    """

    name: str
    source: str
    base_url: str = ""
    secret: str = ""
    request_seconds: float = 60.0
    max_body_bytes: int = 64 * 1024 * 1024
    retry: RetryPolicy = RetryPolicy()
    options: dict[str, Any] = {}
    part: str = ""

    def __repr__(self) -> str:
        return f"AccountSpec({self.name!r}, source={self.source!r}, secret=***)"


class Renewal(NamedTuple):
    """How a key that a command prints is asked for again.

    command: the program and its arguments, started in `folder`.
    seconds: how long a key is good.
    base_url: of the account, before its key says more about it.
    """

    command: tuple[str, ...]
    seconds: float
    folder: Path
    base_url: str


class LimitSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An account's limits, each as `core.notation.limit` takes it: for the account, for each bucket, for named buckets.

    concurrency: most requests of the account at once, "auto" to find it out from a few on, None for no cap.
    bucket_concurrency: most of named buckets.
    smooth: evenly spaced starts.
    weight: share of the workers when they are scarce.
    """

    limits: tuple[str, ...] = ()
    bucket_limits: tuple[str, ...] = ()
    by_bucket: dict[str, tuple[str, ...]] = {}
    concurrency: int | Literal["auto"] | None = None
    bucket_concurrency: dict[str, int] = {}
    smooth: bool = True
    weight: float = 1.0

    def of_bucket(self, name: str) -> tuple[str, ...]:
        return self.by_bucket.get(name, self.bucket_limits)


class KeepRuns(msgspec.Struct, frozen=True):
    """Of the runs of an import that have ended, what is not forgotten: the newest ones, as far as they are not old.

    seconds: since their end.
    """

    count: int = 100
    seconds: float = 90 * 86_400.0


class ImportSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A configured job.

    sink: None when its options say where data go.
    schedule: None for on demand.
    full_every: seconds after which a run is a full one, None for never.
    deadline: seconds after its start at which a run is cancelled, None for never.
    priority: 0 … 9, None for auto.
    options: the source's `import_options`, None when it has none.
    ad_hoc: not empty where a command has changed it for one run: how, for people. Such a run publishes no sync points
        and tombstones nothing.
    since: that run reads what has changed since then, in Unix seconds.
    sample: that run takes this number of records of each stream, the first ones.
    part: not empty where a run reads some of its streams alone: which, for people. What it leaves counts.
    fields: what is dropped and hashed of its records, by stream, "*" for all.
    """

    name: str
    account: str
    sink: str | None
    streams: tuple[str, ...]
    schedule: Schedule | None = None
    full_every: float | None = None
    deadline: float | None = None
    priority: int | None = None
    options: Any = None
    ad_hoc: str = ""
    since: float | None = None
    sample: int | None = None
    part: str = ""
    keep_runs: KeepRuns = KeepRuns()
    fields: dict[str, FieldRules] = {}

    @property
    def every(self) -> float | None:
        """The longest time between two starts, in seconds; None on demand."""
        return period(self.schedule)


class SpoolSpec(msgspec.Struct, frozen=True):
    """The queue that each letter that dies is put into.

    path: of its directory.
    mode: rights of its files.
    """

    path: Path
    mode: int = 0o600


class InboxSpec(msgspec.Struct, frozen=True):
    """The queue that other programs put tasks into.

    path, mode: as of a spool.
    import_name: of the import that the tasks belong to.
    """

    path: Path
    import_name: str
    mode: int = 0o600


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets the deliveries of a sink of the type `http`, and how.

    account: of the source `http`.
    base_url: the account's.
    path: below it; with fields of a record in it, each record goes by itself.
    batch: most records in a request.
    records: the field of the body that holds the records; "" makes the list itself the body.
    fields: template of a delivered record, see `crawlerd.core.template`; {} delivers records as they are.
    accepted: dotted path of the answer's field that says how many records were accepted; "" compares nothing.
    attempts, retry_seconds: tries of a batch, and the time between two of them.
    expires_seconds: how long after its run began a batch may wait for its receiver in that run.
    gone_method, gone_path: of the call that tells of a tombstone; "" tells of none.
    streams: whose records are delivered; () for all.
    """

    account: str
    base_url: str
    path: str
    method: str = "POST"
    batch: int = 500
    records: str = ""
    fields: dict[str, Any] = {}
    accepted: str = ""
    attempts: int = 3
    retry_seconds: float = 5.0
    expires_seconds: float = 86_400.0
    gone_method: str = "DELETE"
    gone_path: str = ""
    streams: tuple[str, ...] = ()


class SinkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Where records go.

    path: of the database file of `sqlite` and `http`, of the directory of the others; of `stdout`, for what it notes
        meanwhile; of `postgresql`, a name that no other sink has.
    mode: rights of the files.
    rotate_bytes, rotate_seconds, compress: of `jsonl`: when waiting lines become a file, and whether it is compressed.
    retain_tombstones: seconds after which the row of a record that is gone at the API is deleted; None for never.
    retain_files: of `jsonl`: seconds after which a file is deleted; None for never.
    receiver: of `http`.
    beside: of the type `http`: it gets the same.
    url, schema, columns: of `postgresql`: the database, with a password; the schema of its tables; the types of fields
        in its views.
    """

    name: str
    type: SinkType
    path: Path
    mode: int = 0o640
    rotate_bytes: int = 64 << 20
    rotate_seconds: float = 600.0
    compress: bool = False
    retain_tombstones: float | None = None
    retain_files: float | None = None
    receiver: Receiver | None = None
    beside: SinkSpec | None = None
    url: str = ""
    schema: str = ""
    columns: dict[str, ColumnType] = {}

    def __repr__(self) -> str:
        return f"SinkSpec({self.name!r}, {self.type!r})"

    @property
    def database(self) -> Path:
        """Its SQLite database: all of it, or its memory of what it has handed on."""
        match self.type:
            case "sqlite" | "http" | "postgresql":
                return self.path
            case "jsonl":
                return self.path / ".crawlerd.db"
            case "persist-queue":
                return self.path / "data.db"
            case "stdout":
                return self.path / "seen.db"
            case _:
                assert_never(self.type)
