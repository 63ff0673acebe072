"""The constants of crawlerd that tests shorten or lower, each named once."""

from __future__ import annotations

from enum import Enum


class Constant(Enum):
    """Module and name of a constant that crawlerd's main process reads when it is used."""

    AWAKE_BUCKETS = ("crawlerd.engine.prefetch", "AWAKE_BUCKETS")
    CONTROL_ANSWER_SECONDS = ("crawlerd.service.control", "ANSWER_SECONDS")
    CONTROL_RETRY_SECONDS = ("crawlerd.service.control", "RETRY_SECONDS")
    DAEMON_BEAT_SECONDS = ("crawlerd.service.daemon", "BEAT_SECONDS")
    DAEMON_LOG_ENDS = ("crawlerd.service.daemon", "_log_ends")
    DISPATCHER_TIDY_SECONDS = ("crawlerd.engine.dispatcher", "TIDY_SECONDS")
    DISPATCHER_TIDY_SOON = ("crawlerd.engine.dispatcher", "TIDY_SOON")
    DISPATCHER_WAKE_BUCKETS = ("crawlerd.engine.dispatcher", "WAKE_BUCKETS")
    GUARD_PROBE_SECONDS = ("crawlerd.engine.guards", "PROBE_SECONDS")
    HEALTH_STALE_SECONDS = ("crawlerd.service.health", "STALE_SECONDS")
    HEALTH_WAITING_SECONDS = ("crawlerd.service.health", "WAITING_SECONDS")
    HEALTH_WORKERLESS_SECONDS = ("crawlerd.service.health", "WORKERLESS_SECONDS")
    IMPORT_RESUMED_SHOWN = ("crawlerd.cli.imports", "RESUMED_SHOWN")
    IMPORT_TROUBLE_SECONDS = ("crawlerd.service.foreground", "TROUBLE_SECONDS")
    INBOX_ITEMS = ("crawlerd.engine.task_inbox", "ITEMS")
    INBOX_LOOK_SECONDS = ("crawlerd.engine.task_inbox", "LOOK_SECONDS")
    INBOX_MOST_OPEN = ("crawlerd.engine.task_inbox", "MOST_OPEN")
    LIVE_LINE_SECONDS = ("crawlerd.cli.live", "LINE_SECONDS")
    LIVE_RATE_SECONDS = ("crawlerd.cli.live", "RATE_SECONDS")
    NOTICE_FIRST_RETRY = ("crawlerd.core.notices", "FIRST_RETRY")
    NOTICE_SETTLE_SECONDS = ("crawlerd.core.notices", "SETTLE_SECONDS")
    NOTIFY_LOOK_SECONDS = ("crawlerd.service.notifying", "LOOK_SECONDS")
    OUTAGE_FIRST_PROBE = ("crawlerd.ratelimit.outage", "FIRST_PROBE")
    OUTAGE_LONGEST_PROBE = ("crawlerd.ratelimit.outage", "LONGEST_PROBE")
    OUTAGE_STEP_SECONDS = ("crawlerd.ratelimit.outage", "STEP_SECONDS")
    QUEUE_BUSY_SECONDS = ("crawlerd.sinks.ack_queue", "BUSY_SECONDS")
    SIGNS_STATUS_SECONDS = ("crawlerd.service.signs_of_life", "STATUS_SECONDS")
    QUEUE_TROUBLE_SECONDS = ("crawlerd.engine.queue_watch", "TROUBLE_SECONDS")
    SPOOL_LOOK_SECONDS = ("crawlerd.engine.letter_spool", "LOOK_SECONDS")
    SQLITE_SINK_BUSY_SECONDS = ("crawlerd.sinks.sqlite.database", "BUSY_SECONDS")
    STORE_IDLE_SECONDS = ("crawlerd.engine.store", "IDLE_SECONDS")
    WORKBENCH_SLEEP_SECONDS = ("crawlerd.engine.sleeping", "SLEEP_SECONDS")
    WORKBENCH_TURN_SECONDS = ("crawlerd.engine.sleeping", "TURN_SECONDS")
    WORKER_GRACE_SECONDS = ("crawlerd.engine.worker_process", "GRACE_SECONDS")
    WORKER_HANG_SECONDS = ("crawlerd.engine.worker_process", "HANG_SECONDS")
    WORKER_RESTART_LONGEST = ("crawlerd.engine.restarts", "LONGEST_SECONDS")
    WORKER_RESTART_SECONDS = ("crawlerd.engine.restarts", "RESTART_SECONDS")

    def assignment(self, value: float | None) -> str:
        """Python that sets it. An AttributeError when there is none, since a test that sets nothing tests nothing."""
        module, name = self.value
        lines = [
            f"module = importlib.import_module({module!r})",
            f"module.{name}  # is there",
            f"module.{name} = {value!r}",
        ]
        return "\n".join(["import importlib", *lines])
