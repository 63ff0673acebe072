"""What Prometheus scrapes: read from the engine and the frontier at the moment of the scrape, so that counting is free.

No label has an account's or a task's name: their number has no bound.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from crawlerd.core.errors import FrontierRefused
from crawlerd.frontier import open_reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from crawlerd.engine.engine import Engine

os.environ.setdefault("PROMETHEUS_DISABLE_CREATED_SERIES", "true")


class EngineCollector:
    """One engine's metrics."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        engine, dispatcher, store = self._engine, self._engine.dispatcher, self._engine.store
        ready = delayed = waiting = dead = 0
        with suppress(FrontierRefused):  # its file was taken away; the rest is told all the same
            if reader := open_reader(engine.settings.daemon.state_dir):
                try:
                    ready, delayed, waiting, dead = reader.totals()
                finally:
                    reader.close()
        tasks = GaugeMetricFamily("crawlerd_tasks", "Tasks in the frontier, by state.", labels=["state"])
        tasks.add_metric(["ready"], ready)
        tasks.add_metric(["delayed"], delayed)
        tasks.add_metric(["waiting"], waiting)
        tasks.add_metric(["dead"], dead)
        yield tasks
        yield GaugeMetricFamily("crawlerd_leases", "Tasks currently leased to workers.", dispatcher.leased)
        attempts = CounterMetricFamily("crawlerd_attempts", "Attempts at tasks, by outcome.", labels=["outcome"])
        for outcome, count in sorted(dispatcher.outcomes.copy().items()):
            attempts.add_metric([outcome], count)
        yield attempts
        yield CounterMetricFamily("crawlerd_records", "Records written to sinks.", store.records)
        yield CounterMetricFamily("crawlerd_commits", "Group commits of the frontier.", store.commits)
        yield GaugeMetricFamily(
            "crawlerd_accounts_paused", "Accounts whose credentials do not work.", len(engine.accounts.paused)
        )
        yield GaugeMetricFamily(
            "crawlerd_trouble",
            "1 while a full disk, a sink or the shared limiter holds up imports.",
            bool(engine.trouble),
        )
        yield GaugeMetricFamily("crawlerd_workers", "Worker processes.", len(dispatcher.worker_pids))
        yield CounterMetricFamily(
            "crawlerd_worker_restarts", "Worker processes that died, hung or grew.", dispatcher.worker_restarts
        )


def exposition(engine: Engine) -> bytes:
    """The metrics in Prometheus' text format, with those of the process itself."""
    registry = CollectorRegistry()
    for collector in (EngineCollector(engine), PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    return generate_latest(registry)
