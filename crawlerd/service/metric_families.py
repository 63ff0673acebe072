"""All families of metrics, with their labels; and one scrape of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from crawlerd.core.bounded_counts import BoundedCounts


class Family(NamedTuple):
    """A family of metrics.

    name: without `_total`.
    labels: see `crawlerd.core.metric_labels` for their possible values.
    of_import: it has one series for each import.
    """

    name: str
    type: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str
    of_import: bool = False


def _gauge(name: str, labels: str, text: str) -> Family:
    return Family(f"crawlerd_{name}", "gauge", tuple(labels.split()), text, "import" in labels.split())


def _counter(name: str, labels: str, text: str) -> Family:
    return Family(f"crawlerd_{name}", "counter", tuple(labels.split()), text)


def _histogram(name: str, labels: str, text: str) -> Family:
    return Family(f"crawlerd_{name}", "histogram", tuple(labels.split()), text)


FAMILIES = (
    _gauge("build_info", "version python sqlite", "The running versions, as labels; always 1."),
    _gauge(
        "config_last_reload_successful",
        "",
        "0 if the configuration file, as last read, is wrong or needs a restart; otherwise 1.",
    ),
    _gauge(
        "config_last_reload_success_timestamp_seconds",
        "",
        "Time when the configuration in force was read, in Unix seconds.",
    ),
    _gauge("loop_last_progress_timestamp_seconds", "loop", "Last progress of each core loop, in Unix seconds."),
    _counter("log_messages", "level", "Warnings and errors in the log, by level."),
    _gauge("tasks", "state", "Tasks in the frontier."),
    _counter("tasks_enqueued", "source", "Tasks that became ready for the first time."),
    _counter("attempts", "source outcome", "Attempts at tasks."),
    _counter("attempt_errors", "source error", "Failed attempts, by class of error."),
    _counter("task_stage_seconds", "stage", "Seconds spent in attempts, by stage."),
    _gauge("leases", "", "Tasks currently leased to workers."),
    _gauge("lease_slots", "", "The most leases that workers can hold at once: processes x threads."),
    _counter("leases_expired", "", "Leases that were taken back at their deadline."),
    _counter("requests", "source status", "HTTP requests, by status of the response."),
    _histogram(
        "request_duration_seconds",
        "source",
        "Seconds of each HTTP request, from the first byte sent to the last byte received.",
    ),
    _counter("received_bytes", "source", "Bytes of response bodies, after decompression."),
    _counter(
        "permitted_requests",
        "source",
        "Requests that accounts with ready tasks could have sent within their limits; "
        "rate(crawlerd_requests_total) / rate(this) is the used share of the limits.",
    ),
    _counter("throttles", "source reason", "Responses that asked for a slower rate."),
    _gauge("accounts", "state", "Accounts, by what they wait for."),
    _gauge("account_backlog_tasks", "account", "Ready tasks of the 20 accounts that have the most."),
    _gauge("quota_used_ratio", "account window", "Used share of the 20 fullest windows of an hour or longer."),
    _gauge("breakers_open", "", "Hosts that do not answer, and get only single probing requests."),
    _counter("records", "source change", "Records, by their effect on the sink."),
    _counter("runs", "source result", "Runs that have ended, by result."),
    _gauge("imports", "state", "Configured imports, by state; each is in one state."),
    _gauge(
        "import_last_success_timestamp_seconds",
        "import",
        "End of the last run that completed without dead letters, in Unix seconds.",
    ),
    _gauge("import_interval_seconds", "import", "The longest time between two scheduled starts, in seconds."),
    _gauge("import_last_run_duration_seconds", "import", "Duration of the last ended run, in seconds."),
    _gauge("import_consecutive_failures", "import", "Failed runs since the last one that completed."),
    _gauge("import_open_tasks", "import", "Unfinished tasks of the run under way."),
    _gauge("import_eta_seconds", "import", "Estimated seconds until the run under way ends."),
    _gauge("import_waits", "import reason", "1 for the reason why the run under way waits."),
    _gauge("import_dead_letters", "import", "Dead letters of the newest run."),
    _gauge("import_last_full_run_seen_records", "import", "Keys seen by the last completed full run."),
    _gauge("import_paused", "import", "1 while a person has paused the import, its account or its source."),
    _gauge("paused", "what", "Imports, accounts, buckets and sources that a person has paused."),
    _gauge("trouble", "", "1 while a full disk, a sink, the shared limiter or a lack of workers holds up imports."),
    _gauge("sink_held_up", "sink", "1 while the sink refuses records or cannot be opened."),
    _histogram("sink_write_duration_seconds", "sink", "Seconds of each write of a group of records."),
    _counter("commits", "", "Group commits of the frontier."),
    _counter("committed_outcomes", "", "Outcomes of tasks in group commits."),
    _histogram("commit_duration_seconds", "", "Seconds of each group commit of the frontier."),
    _gauge("file_size_bytes", "file", "Size of each database file and of its write-ahead log."),
    _gauge("disk_free_bytes", "disk", "Free bytes for crawlerd in the file system of each directory."),
    _gauge("disk_size_bytes", "disk", "Size of these file systems."),
    _gauge("workers", "", "Worker processes."),
    _counter("worker_restarts", "reason", "Worker processes that were replaced."),
    _gauge("worker_resident_memory_bytes", "worker", "Resident memory of each worker process."),
    _counter("worker_cpu_seconds", "worker", "CPU seconds of each worker process, user and system."),
    _gauge(
        "backup_last_success_timestamp_seconds", "", "Time when the last successful backup was made, in Unix seconds."
    ),
)
DEPRECATED = (
    _gauge(
        "accounts_paused",
        "",
        'DEPRECATED, gone in the next release: use crawlerd_accounts{state="refused"}. '
        "Accounts whose credentials do not work.",
    ),
)

CLASSES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily, "histogram": HistogramMetricFamily}


class Scrape:
    """The values at one moment. A family without a known value has no series."""

    def __init__(self, families: tuple[Family, ...] = FAMILIES + DEPRECATED) -> None:
        self._families = {
            family.name: CLASSES[family.type](family.name, family.help, labels=family.labels) for family in families
        }

    def set(self, name: str, value: float | None, *labels: str) -> None:
        """Sets a value.

        name: without `crawlerd_` and `_total`.
        value: None if it is unknown.
        labels: their values, in order.
        """
        if value is not None:
            self._families[f"crawlerd_{name}"].add_metric(labels, value)

    def set_histogram(self, name: str, counts: BoundedCounts, *labels: str) -> None:
        buckets = zip((*map(floatToGoString, counts.bounds), "+Inf"), counts.cumulative(), strict=True)
        self._families[f"crawlerd_{name}"].add_metric(labels, list(buckets), counts.sum)

    def collect(self) -> Iterator[Metric]:
        return iter(self._families.values())
