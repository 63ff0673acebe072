"""The metrics for Prometheus. They are read from the engine, the frontier and the system at the scrape, so that nothing
has to be counted in between.

No label has a task's name. An account's name is a label only if the number of series has a bound: see
`metric_families`.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry
from prometheus_client.exposition import choose_encoder

from crawlerd.core.errors import FrontierError
from crawlerd.frontier import open_reader
from crawlerd.operations.problem import Unknown
from crawlerd.service.engine_metrics import add_engine, add_sinks, add_sources
from crawlerd.service.frontier_metrics import add_frontier
from crawlerd.service.import_metrics import ESTIMATED, add_imports, add_states, likely_ends, reasons
from crawlerd.service.log_counts import LogCounts
from crawlerd.service.machine_metrics import add_machine
from crawlerd.service.metric_families import DEPRECATED, FAMILIES, Scrape
from crawlerd.service.quota_metrics import fullest

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.core.reasons import Reason
    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.metric_contract import ImportFigures
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import Told

os.environ.setdefault("PROMETHEUS_DISABLE_CREATED_SERIES", "true")

REST = 20.0  # after reading a value, it is not read again for this many times as long as that took
CENSUS_SECONDS = 10e-6  # CPU time of the dispatcher for each account that it reports
WHOLE = tuple(each for each in FAMILIES if not each.of_import) + DEPRECATED
OF_IMPORTS = tuple(each for each in FAMILIES if each.of_import)

T = TypeVar("T")


class Metrics:
    """The metrics of one daemon. Used by any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._logs = LogCounts()
        self._costly: dict[str, tuple[float, Any]] = {}
        logging.getLogger().addHandler(self._logs)

    def close(self) -> None:
        logging.getLogger().removeHandler(self._logs)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The metrics with those of the process itself, and their content type: Prometheus' text format, or OpenMetrics
        if `accept`, the request's header, asks for it."""
        return self._encoded(accept, self.whole(), PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR)

    def imports(self, accept: str) -> tuple[bytes, str]:
        """Like `exposition`, for the families that have a series for each import."""
        return self._encoded(accept, self.of_imports())

    def whole(self) -> Scrape:
        """All families. Those of each import are included only if there are not too many."""
        engine = self._engine
        few = len(engine.settings.imports) <= engine.settings.daemon.metrics_imports
        scrape = Scrape(FAMILIES + DEPRECATED if few else WHOLE)
        add_engine(scrape, engine, self._logs)
        add_sources(scrape, engine)
        add_sinks(scrape, engine)
        add_machine(scrape, engine)
        with suppress(FrontierError):  # a value that cannot be read is left out; the others are still there
            if reader := open_reader(engine.settings.daemon.state_dir):
                try:
                    self._add_frontier(scrape, reader, few=few)
                finally:
                    reader.close()
        return scrape

    def _add_frontier(self, scrape: Scrape, reader: FrontierReader, *, few: bool) -> None:
        engine, told = self._engine, self._told()
        add_frontier(scrape, engine, reader, told)
        if not engine.settings.daemon.limiter_storage:  # with a shared limiter, the windows are not in this frontier
            for account, window, share in self._seldom("quotas", lambda: fullest(engine, reader, time.time())):
                scrape.set("quota_used_ratio", share, account, window)
        figures = self._figures(reader)
        add_states(scrape, engine, reader, figures)
        if few:
            add_imports(scrape, engine, figures, self._ends(reader, told), self._reasons(reader))

    def of_imports(self) -> Scrape:
        """The families that have a series for each import."""
        engine, scrape = self._engine, Scrape(OF_IMPORTS)
        with suppress(FrontierError):
            if reader := open_reader(engine.settings.daemon.state_dir):
                try:
                    figures = self._figures(reader)
                    add_imports(scrape, engine, figures, self._ends(reader, self._told()), self._reasons(reader))
                finally:
                    reader.close()
        return scrape

    def _figures(self, reader: FrontierReader) -> dict[str, ImportFigures]:
        return self._seldom("figures", lambda: reader.import_figures(list(self._engine.settings.imports)))

    def _ends(self, reader: FrontierReader, told: list[Told] | None) -> dict[str, float]:
        def read() -> dict[str, float]:
            running = reader.runs(reader.running_runs(ESTIMATED))
            return likely_ends(self._engine, reader, told, running, time.time())

        return self._seldom("ends", read)

    def _reasons(self, reader: FrontierReader) -> dict[str, Reason]:
        def read() -> dict[str, Reason]:
            running = reader.runs(reader.running_runs(ESTIMATED))
            return reasons(self._engine, reader, running, time.time())

        try:
            return self._seldom("reasons", read)
        except (TimeoutError, Unknown):  # the run was forgotten in the meantime
            return {}

    def _told(self) -> list[Told] | None:
        """What the accounts in memory wait for; None while the dispatcher does not answer."""
        try:
            return self._seldom("census", self._engine.insight.census, lambda told: len(told) * CENSUS_SECONDS)
        except TimeoutError:
            return None

    def _seldom(self, name: str, read: Callable[[], T], cost: Callable[[T], float] | None = None) -> T:
        """The result of `read`, cached so that reading takes at most a twentieth of a CPU.

        name: the key in the cache.
        read: reads the value.
        cost: seconds of CPU that the value has cost another thread.
        """
        found = self._costly.get(name)
        if found is None or time.monotonic() >= found[0]:
            start = time.thread_time()
            value = read()
            seconds = cost(value) if cost else time.thread_time() - start
            self._costly[name] = time.monotonic() + REST * seconds, value
            return value
        known: T = found[1]
        return known

    def _encoded(self, accept: str, *collectors: Any) -> tuple[bytes, str]:
        registry = CollectorRegistry()
        for collector in collectors:
            registry.register(collector)
        try:
            encode, content_type = choose_encoder(accept)
        except (LookupError, TypeError, ValueError):  # such as a version that is not a number
            encode, content_type = choose_encoder("")
        return encode(registry), content_type
