"""Metrics of the engine: counters that its threads keep, and its current state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from crawlerd.core.metric_labels import (
    AttemptError,
    AttemptOutcome,
    AttemptStage,
    LogLevel,
    Loop,
    RecordChange,
    RequestStatus,
    RunResult,
    ThrottleReason,
    WorkerLoss,
)

if TYPE_CHECKING:
    from crawlerd.engine.engine import Engine
    from crawlerd.service.log_counts import LogCounts
    from crawlerd.service.metric_families import Scrape


def add_engine(scrape: Scrape, engine: Engine, logs: LogCounts) -> None:
    """Adds all metrics that are not by source or by sink."""
    dispatcher, daemon = engine.dispatcher, engine.settings.daemon
    in_force = engine.reloads.in_force
    scrape.set("config_last_reload_successful", not (in_force.problems or in_force.restart))
    scrape.set("config_last_reload_success_timestamp_seconds", in_force.read_at)
    unix = time.time() - time.monotonic()
    scrape.set("loop_last_progress_timestamp_seconds", unix + dispatcher.progress_at, Loop.DISPATCHER)
    scrape.set("loop_last_progress_timestamp_seconds", unix + engine.store.progress_at, Loop.STORE)
    main = min(engine.agenda.progress_at, time.monotonic())  # a main loop that has ended cleanly is not late
    scrape.set("loop_last_progress_timestamp_seconds", unix + main, Loop.MAIN)
    for level in LogLevel:
        scrape.set("log_messages", logs.lines[level], level)
    attempts, commits = engine.attempt_counts, engine.store.counts
    for stage, seconds in zip(
        AttemptStage,
        (attempts.waited, attempts.requested, attempts.handled, commits.written, commits.stored),
        strict=True,
    ):
        scrape.set("task_stage_seconds", seconds, stage)
    scrape.set("leases", dispatcher.leased)
    scrape.set("lease_slots", daemon.worker_processes * daemon.threads_per_process)
    scrape.set("leases_expired", attempts.expired)
    scrape.set("breakers_open", len(engine.outages.origins_down()))
    scrape.set("trouble", bool(engine.insight.trouble))
    scrape.set("commits", commits.commits)
    scrape.set("committed_outcomes", commits.outcomes)
    scrape.set_histogram("commit_duration_seconds", commits.durations)
    scrape.set("workers", len(dispatcher.worker_pids))
    losses = dispatcher.worker_losses
    for loss in WorkerLoss:
        scrape.set("worker_restarts", losses.get(loss, 0), loss)
    scrape.set("accounts_paused", len(engine.accounts.paused))


def add_sources(scrape: Scrape, engine: Engine) -> None:
    """Adds the metrics of every source that an account uses or has used since the start."""
    attempts, commits = engine.attempt_counts, engine.store.counts
    names = {*engine.settings.sources, *attempts.by_source()} - {""}
    for source in sorted(names):
        counts = attempts.of(source)
        scrape.set("tasks_enqueued", commits.enqueued[source], source)
        for outcome in AttemptOutcome:
            if outcome is not AttemptOutcome.LATE:
                scrape.set("attempts", counts.outcomes[outcome], source, outcome)
        for error in AttemptError:
            scrape.set("attempt_errors", counts.errors[error], source, error)
        for status in RequestStatus:
            scrape.set("requests", counts.statuses[status], source, status)
        scrape.set_histogram("request_duration_seconds", counts.durations, source)
        scrape.set("received_bytes", counts.received, source)
        scrape.set("permitted_requests", counts.permitted, source)
        for reason in ThrottleReason:
            scrape.set("throttles", counts.throttles[reason], source, reason)
        for change in RecordChange:
            scrape.set("records", commits.records[source, change], source, change)
        for result in RunResult:
            scrape.set("runs", commits.runs[source, result], source, result)
    scrape.set("attempts", attempts.late, "", AttemptOutcome.LATE)


def add_sinks(scrape: Scrape, engine: Engine) -> None:
    """Adds the metrics of every configured sink."""
    held_up, commits = engine.insight.sinks_held_up(), engine.store.counts
    for sink in sorted(engine.settings.sinks.copy()):
        scrape.set("sink_held_up", sink in held_up, sink)
        scrape.set_histogram("sink_write_duration_seconds", commits.writes(sink), sink)
