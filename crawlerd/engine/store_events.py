"""Passes the events of the store on to the parts of the engine that need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crawlerd.engine.failure import Failure
    from crawlerd.engine.guards import Guards
    from crawlerd.engine.open_sinks import OpenSinks
    from crawlerd.engine.rates import Rates
    from crawlerd.engine.runs import Runs
    from crawlerd.engine.wire import RunTerms
    from crawlerd.frontier.lock import StateLock


class Events:
    """Passes on the store's events; see `StoreEvents`."""

    def __init__(
        self,
        runs: Runs,
        accounts: Guards,
        sinks: OpenSinks,
        failure: Failure,
        lock: StateLock,
        terms: dict[int, RunTerms],
        rates: Rates,
        *looks: Callable[[], None],
    ) -> None:
        """looks: functions to call about once a second."""
        self._runs, self._terms, self._looks, self._lock, self._rates = runs, terms, looks, lock, rates
        self.borrowed = accounts.borrowed
        self.replaced = sinks.replaced
        self.failed = failure.set
        self.idle = sinks.idle

    def beat(self) -> None:
        self._lock.beat()
        for look in self._looks:
            look()

    def ended(self, runs: Sequence[int]) -> None:
        for run in runs:
            self._terms.pop(run, None)
            self._rates.forget(run)
        self._runs.note_ended(runs)
