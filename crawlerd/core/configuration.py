"""The checked configuration, as the daemon uses it: defaults filled in, secrets resolved, paths absolute."""

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

    listen: host and port, with port 0 for any free port; or the path of a Unix socket and -1.
    allow_remote: whether other machines may connect to it.
    allowed_hosts: host names that requests may use, besides its own.
    admin_token, read_token, metrics_token: secrets for all rights, for reading, and for metrics; "" for none.
    page: whether there is a page for browsers.
    read_only: whether `listen` refuses all changes.
    root_path: the path under which a proxy serves it, such as "/crawlerd"; "" for none.
    trusted_proxies: addresses of proxies whose headers about the client are trusted.
    socket: the socket for commands; None for one in the state directory, or the one of the systemd unit.
    worker_processes: at least 1.
    visibility_seconds: how long a lease lasts.
    catch_up_seconds: the time over which overdue imports are started.
    limiter_storage: address of a Redis with the windows of limits shared with other programs; "" for none.
    max_worker_memory_bytes: a worker process with more resident memory is replaced.
    hash_key: the secret key of the hashes that replace fields; "" when no import hashes fields.
    frontier: a secret: the URL of the frontier's PostgreSQL database; "" for a file in the state directory.
    metrics_imports: most imports that have figures of their own in /metrics.
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
    frontier: str = ""
    metrics_imports: int = 100


class AccountSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a worker needs to send requests for an account. It is sent to workers only over their socket.

    secret: the credential itself; it never reaches the frontier, a log, a metric or an error text.
    request_seconds: the deadline of one whole request.
    max_body_bytes: most bytes of a decoded response body.
    options: the source's own settings, validated by it.
    part: the part of the account that a request is for; "" for the account itself.
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
    """How to renew a key that a command prints.

    command: the program and its arguments, started in `folder`.
    seconds: how long a key is valid.
    base_url: the configured base URL of the account, which its key may complete.
    """

    command: tuple[str, ...]
    seconds: float
    folder: Path
    base_url: str


class LimitSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An account's limits, in the notation of `core.notation.limit`: for the account, for each bucket, for named
    buckets.

    concurrency: most requests of the account at once; "auto" to learn it, beginning with a few; None for no limit.
    bucket_concurrency: most requests at once of named buckets.
    smooth: whether starts are spaced evenly.
    weight: the account's share of the workers when there are too few.
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
    """Which ended runs of an import are kept: the newest ones that are not too old.

    seconds: how long a run is kept after its end.
    """

    count: int = 100
    seconds: float = 90 * 86_400.0


class ImportSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A configured job.

    sink: None when its options say where data goes.
    schedule: None for on demand.
    full_every: seconds after which the next run is a full one, None for never.
    deadline: seconds after its start when a run is cancelled, None for never.
    priority: 0 … 9, None for auto.
    options: the source's `import_options`, None when it has none.
    ad_hoc: how a command has changed it for one run, for people; else empty. Such a run publishes no sync points and
        tombstones no records.
    since: an ad hoc run reads what has changed since then; Unix seconds.
    sample: an ad hoc run takes this number of records of each stream, the first ones.
    part: which of its streams a run reads, for people; empty for all. Its sync points count.
    fields: the fields of records that are dropped and hashed, by stream, "*" for all.
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
    """The queue that gets a copy of each dead letter.

    path: its directory.
    mode: the permissions of its files.
    """

    path: Path
    mode: int = 0o600


class InboxSpec(msgspec.Struct, frozen=True):
    """The queue that other programs put tasks into.

    path, mode: see `SpoolSpec`.
    import_name: the import that the tasks belong to.
    """

    path: Path
    import_name: str
    mode: int = 0o600


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """The receiver of a sink of the type `http`, and how records are delivered.

    account: the name of its account, of the source `http`.
    base_url: the account's base URL.
    path: the path below it; if it contains fields of a record, each record is delivered by itself.
    batch: most records in a request.
    records: the field of the body with the list of records; "" makes the list itself the body.
    fields: the template of a delivered record, see `crawlerd.core.template`; {} delivers records unchanged.
    accepted: dotted path of the answer's field with the number of accepted records; "" does not compare it.
    attempts, retry_seconds: tries of a batch, and the seconds between two of them.
    expires_seconds: how long after its run began a batch may wait for the receiver in that run.
    gone_method, gone_path: the request that reports a tombstone; "" reports none.
    streams: the streams whose records are delivered; () for all.
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

    path: for `sqlite` and `http`, the database file; for `stdout`, the directory of its notes; for `postgresql`, a name
        that no other sink has; for the others, their directory.
    mode: the permissions of the files.
    rotate_bytes, rotate_seconds, compress: for `jsonl`: when waiting lines become a file, and whether it is compressed.
    retain_tombstones: seconds after which the row of a record that is gone at the API is deleted; None for never.
    retain_files: for `jsonl`: seconds after which a file is deleted; None for never.
    receiver: for `http`.
    beside: a sink of the type `http` that gets the same records.
    url, schema, columns: for `postgresql`: the database, with a password; the schema of its tables; the types of fields
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
        """Its SQLite database, which has the records, or notes of the records that it has passed on."""
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
