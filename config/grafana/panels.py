"""The panels of the dashboard: what each shows, its queries, and what is normal."""

from __future__ import annotations

from typing import Literal, NamedTuple

CHOSEN = 'job=~"$job",instance=~"$instance"'
STEP = "$__rate_interval"


class Query(NamedTuple):
    """
    legend: with labels as {{name}}.
    dashed: its lines are.
    """

    expr: str
    legend: str
    dashed: bool = False


class Panel(NamedTuple):
    """
    unit: as Grafana names it.
    description: what it shows, and what is normal.
    most: the end of a gauge; None for the largest value.
    warn: from this value on, it is orange.
    columns: of a table, by the name that Grafana gives them; others are not shown.
    """

    title: str
    kind: Literal["stat", "timeseries", "bargauge", "table"]
    unit: str
    description: str
    queries: tuple[Query, ...]
    stacked: bool = False
    most: float | None = None
    warn: float | None = None
    columns: tuple[tuple[str, str], ...] = ()


def of(name: str, more: str = "") -> str:
    """A family of the chosen daemons."""
    return f"crawlerd_{name}{{{f'{more},' if more else ''}{CHOSEN}}}"


def rate(name: str, by: str = "", more: str = "") -> str:
    """Of a counter, a second."""
    grouped = f" by ({by}) " if by else ""
    return f"sum{grouped}(rate({of(name, more)}[{STEP}]))"


def quantile(share: float, name: str, by: str = "") -> str:
    """Of a histogram."""
    return f"histogram_quantile({share:g}, {rate(f'{name}_bucket', f'{by}, le' if by else 'le')})"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Is it importing?": (
        Panel(
            "Imports by state",
            "stat",
            "short",
            "Every configured import is in exactly one state. Normal: running, and idle until the next start.",
            (Query(f"sum by (state) ({of('imports')})", "{{state}}"),),
        ),
        Panel(
            "Requests a second",
            "stat",
            "reqps",
            "Of all sources. Normal: what the limits permit while imports run, else 0.",
            (Query(rate("requests_total"), "requests"),),
        ),
        Panel(
            "Use of the limits",
            "stat",
            "percentunit",
            "Requests that were sent, of those that the limits of accounts with work would have permitted. "
            "97% and more is full speed. No value: there is no work.",
            (Query(f"{rate('requests_total')} / ({rate('permitted_requests_total')} > 0)", "use"),),
            most=1,
        ),
        Panel(
            "Records a second",
            "timeseries",
            "ops",
            "What the sinks did with what came. Normal: mostly unchanged, if an import reads all there is.",
            (Query(rate("records_total", "change"), "{{change}}"),),
        ),
        Panel(
            "Freshness: age of the last clean run",
            "bargauge",
            "s",
            "The 20 stalest imports. Normal: up to the time between two starts of its schedule, and the time of a run.",
            (Query(f"topk(20, time() - {of('import_last_success_timestamp_seconds')})", "{{import}}"),),
        ),
        Panel(
            "Done in",
            "table",
            "s",
            "Runs under way: tasks left, and the estimated time left. No time while it is unknown: the run has begun a "
            "moment ago, or something holds it up.",
            (
                Query(f"max by (instance, import) ({of('import_open_tasks')})", "tasks left"),
                Query(f"max by (instance, import) ({of('import_eta_seconds')})", "time left"),
            ),
            columns=(("import", "import"), ("Value #A", "tasks left"), ("Value #B", "time left")),
        ),
    ),
    "At the limit?": (
        Panel(
            "Requests against permitted",
            "timeseries",
            "reqps",
            "Solid: sent. Dashed: what the limits of accounts with work permit. Normal: both are the same. "
            "A gap: see why it is slow.",
            (
                Query(rate("requests_total", "source"), "{{source}}"),
                Query(rate("permitted_requests_total", "source"), "{{source}} permitted", dashed=True),
            ),
        ),
        Panel(
            "Throttled",
            "timeseries",
            "percentunit",
            'Answers that said "slower", of all. Above 1%, the configured limit is higher than the limit of the API, '
            "or others use the same limit.",
            (
                Query(
                    f"{rate('throttles_total', 'source, reason')} / on (source) group_left () "
                    f"({rate('requests_total', 'source')} > 0)",
                    "{{source}} {{reason}}",
                ),
            ),
            warn=0.01,
        ),
        Panel(
            "What accounts wait for",
            "timeseries",
            "short",
            'Normal: "limit", "importing" and "idle". "workers" wants more threads or processes. The others want a '
            "look: `crawlerd why account NAME`.",
            (Query(f"sum by (state) ({of('accounts')})", "{{state}}"),),
            stacked=True,
        ),
        Panel(
            "Quotas nearly used",
            "bargauge",
            "percentunit",
            "The fullest windows of an hour or longer. Normal: below 90%. At 100%, the account waits for the end of "
            "the window.",
            (Query(f"topk(10, {of('quota_used_ratio')})", "{{account}} {{window}}"),),
            most=1,
            warn=0.9,
        ),
        Panel(
            "Backlog",
            "bargauge",
            "short",
            "Ready tasks of the accounts with most. Normal: it falls until the end of a run.",
            (Query(f"topk(20, {of('account_backlog_tasks')})", "{{account}}"),),
        ),
        Panel(
            "Paused by a person",
            "stat",
            "short",
            "`crawlerd audit` says who, when and why. Normal: 0.",
            (Query(f"sum by (what) ({of('paused')})", "{{what}}"),),
            warn=1,
        ),
    ),
    "What is wrong?": (
        Panel(
            "Attempts by outcome",
            "timeseries",
            "ops",
            "All but complete. Normal: a few retries. bury: dead letters. pause: credentials are refused.",
            (Query(rate("attempts_total", "outcome", 'outcome!="complete"'), "{{outcome}}"),),
        ),
        Panel(
            "Errors by class",
            "timeseries",
            "ops",
            "Failed attempts. Normal: none, or short peaks of server and connection.",
            (Query(f"{rate('attempt_errors_total', 'source, error')} > 0", "{{source}} {{error}}"),),
        ),
        Panel(
            "Answers by status",
            "timeseries",
            "reqps",
            "Without 2xx. Normal: none; 404 where objects are deleted during a run. none: no complete answer came.",
            (Query(rate("requests_total", "source, status", 'status!="2xx"') + " > 0", "{{source}} {{status}}"),),
        ),
        Panel(
            "Runs ended, and dead letters",
            "timeseries",
            "short",
            "Runs of the last hour by result, and the dead letters that wait for a person. Normal: completed alone.",
            (
                Query(f"sum by (result) (increase({of('runs_total')}[1h]))", "{{result}}"),
                Query("sum(" + of("tasks", 'state="dead"') + ")", "dead letters"),
            ),
        ),
        Panel(
            "Failed runs in a row",
            "bargauge",
            "short",
            "The 20 worst imports. Normal: 0. `crawlerd runs NAME` says why.",
            (Query(f"topk(20, {of('import_consecutive_failures')})", "{{import}}"),),
            warn=1,
        ),
        Panel(
            "What runs wait for",
            "bargauge",
            "short",
            "Each import with a run under way, and the first reason that `crawlerd why NAME` gives. Normal: importing "
            "and limit. `refused` and `outage` are accounts that fail.",
            (Query(f"sum by (import, reason) ({of('import_waits')})", "{{import}}: {{reason}}"),),
        ),
        Panel(
            "Dead letters by import",
            "bargauge",
            "short",
            "Of the newest run of the 20 worst imports: tasks that are not tried again. Normal: 0. "
            "`crawlerd dead groups --import NAME` has their errors.",
            (Query(f"topk(20, {of('import_dead_letters')})", "{{import}}"),),
            warn=1,
        ),
        Panel(
            "Held up",
            "timeseries",
            "short",
            "1 while a full disk, a sink, the shared limiter or the want of workers holds up imports; the sink that "
            "refuses records; hosts that do not answer; a configuration that was refused. Normal: 0.",
            (
                Query(f"max by (instance) ({of('trouble')})", "held up {{instance}}"),
                Query(f"max by (sink) ({of('sink_held_up')})", "sink {{sink}}"),
                Query(f"sum({of('breakers_open')})", "hosts that are down"),
                Query(f"sum(1 - {of('config_last_reload_successful')})", "config refused"),
            ),
            warn=1,
        ),
        Panel(
            "Log lines to read",
            "timeseries",
            "short",
            "Warnings and errors a second. Normal: 0.",
            (Query(rate("log_messages_total", "level"), "{{level}}"),),
        ),
        Panel(
            "Records that the last full run saw",
            "timeseries",
            "short",
            "Of the 20 largest imports. Normal: as many as the run before, or a few more. A fall: the API returned "
            "less, or the credentials see less.",
            (Query(f"topk(20, {of('import_last_full_run_seen_records')})", "{{import}}"),),
        ),
    ),
    "Why is it slow?": (
        Panel(
            "Where attempts spend their time",
            "timeseries",
            "percentunit",
            "Shares of all seconds. worker: waits for a thread. request: the API. handler: the source's code. store: "
            "waits for the commit. sink: writing. Normal: mostly request.",
            (
                Query(
                    f"{rate('task_stage_seconds_total', 'stage')} / ignoring (stage) group_left () "
                    f"({rate('task_stage_seconds_total')} > 0)",
                    "{{stage}}",
                ),
            ),
            stacked=True,
            most=1,
        ),
        Panel(
            "API latency",
            "timeseries",
            "s",
            "p50 and p95, from the first byte out to the last byte in. Normal: as the API has it on other days.",
            (
                Query(quantile(0.5, "request_duration_seconds", "source"), "{{source}} p50"),
                Query(quantile(0.95, "request_duration_seconds", "source"), "{{source}} p95", dashed=True),
            ),
        ),
        Panel(
            "Threads in use",
            "timeseries",
            "percentunit",
            "Leases, of all threads of all workers. Normal: below 100%. At 100%, more threads or processes would help, "
            "if accounts wait for workers.",
            (Query(f"clamp_max(sum({of('leases')}) / sum({of('lease_slots')}), 1)", "in use"),),
            most=1,
        ),
        Panel(
            "Commit and sink p95",
            "timeseries",
            "s",
            "Time of a group commit of the frontier, and of a write of a group of records. Normal: below 0.1 s.",
            (
                Query(quantile(0.95, "commit_duration_seconds"), "commit"),
                Query(quantile(0.95, "sink_write_duration_seconds", "sink"), "sink {{sink}}"),
            ),
        ),
        Panel(
            "Outcomes of a group commit",
            "timeseries",
            "short",
            "Mean. Normal: more with more load, so that the disk is no limit.",
            (
                Query(
                    f"{rate('committed_outcomes_total')} / ({rate('commits_total')} > 0)",
                    "outcomes",
                ),
            ),
        ),
        Panel(
            "Tasks",
            "timeseries",
            "short",
            "In the frontier. delayed: wait for their next try. waiting: for the end of a group of others. "
            "Normal: ready rises at the start of a run and falls to 0.",
            (Query(f"sum by (state) ({of('tasks')})", "{{state}}"),),
            stacked=True,
        ),
        Panel(
            "New tasks a second",
            "timeseries",
            "ops",
            "Tasks that became ready for the first time.",
            (Query(rate("tasks_enqueued_total", "source"), "{{source}}"),),
        ),
        Panel(
            "Received",
            "timeseries",
            "Bps",
            "Bodies of answers, after decompression.",
            (Query(rate("received_bytes_total", "source"), "{{source}}"),),
        ),
    ),
    "Machine": (
        Panel(
            "Memory",
            "timeseries",
            "bytes",
            "Main process and workers. Normal: level; a worker beyond max_worker_memory_mb is replaced.",
            (
                Query(f"process_resident_memory_bytes{{{CHOSEN}}}", "main {{instance}}"),
                Query(of("worker_resident_memory_bytes"), "worker {{worker}} {{instance}}"),
            ),
        ),
        Panel(
            "CPU",
            "timeseries",
            "percentunit",
            "Of one core each. Normal: below 100%.",
            (
                Query(f"rate(process_cpu_seconds_total{{{CHOSEN}}}[{STEP}])", "main {{instance}}"),
                Query(f"rate({of('worker_cpu_seconds_total')}[{STEP}])", "worker {{worker}} {{instance}}"),
            ),
        ),
        Panel(
            "Disk",
            "timeseries",
            "bytes",
            "Our files, and what is free. Normal: the logs (wal) stay below 100 MB.",
            (
                Query(of("file_size_bytes"), "{{file}}"),
                Query(of("disk_free_bytes"), "free: {{disk}}", dashed=True),
            ),
        ),
        Panel(
            "Workers, and those replaced",
            "timeseries",
            "short",
            "Worker processes, those replaced in the last hour by reason, and leases that were taken back at their "
            "deadline. Normal: as many as configured, none replaced.",
            (
                Query(f"sum({of('workers')})", "workers"),
                Query(f"sum by (reason) (increase({of('worker_restarts_total')}[1h]))", "replaced: {{reason}}"),
                Query(f"sum(increase({of('leases_expired_total')}[1h]))", "leases taken back"),
            ),
        ),
        Panel(
            "Since the last",
            "table",
            "s",
            "Time since the start, since the configuration was read, since a core loop made progress (normal: below "
            "10 s), and since the last backup (no row until there is one).",
            (
                Query(f"time() - max by (job, instance) (process_start_time_seconds{{{CHOSEN}}})", "start"),
                Query(
                    f"time() - max by (job, instance) ({of('config_last_reload_success_timestamp_seconds')})",
                    "configuration",
                ),
                Query(f"time() - min by (job, instance) ({of('loop_last_progress_timestamp_seconds')})", "progress"),
                Query(f"time() - max by (job, instance) ({of('backup_last_success_timestamp_seconds')})", "backup"),
            ),
            columns=(
                ("instance", "instance"),
                ("Value #A", "start"),
                ("Value #B", "configuration"),
                ("Value #C", "progress"),
                ("Value #D", "backup"),
            ),
        ),
        Panel(
            "Version",
            "table",
            "none",
            "Which version runs where. Normal: one.",
            (Query(of("build_info"), "{{version}}"),),
            columns=(("instance", "instance"), ("version", "crawlerd"), ("python", "Python"), ("sqlite", "SQLite")),
        ),
    ),
}
