"""The state of a running engine, for people and metrics: what waits, why, and how fast tasks are done."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from crawlerd.core.reasons import Reason, Waiting
from crawlerd.core.task import PART
from crawlerd.engine.kept_index import KeptIndex
from crawlerd.ratelimit.limiter import permitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.config.load import Settings
    from crawlerd.core.in_force import InForce
    from crawlerd.engine.account_names import AccountNames
    from crawlerd.engine.agenda import Agenda
    from crawlerd.engine.dispatcher import Dispatcher
    from crawlerd.engine.dispatcher_inbox import DispatcherInbox
    from crawlerd.engine.lowering import Lowering
    from crawlerd.engine.open_sinks import OpenSinks
    from crawlerd.engine.rates import Rates
    from crawlerd.engine.reloads import Reloads
    from crawlerd.engine.shared_queues import SharedQueues
    from crawlerd.engine.store import Store
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import Told
    from crawlerd.frontier.wait_index import WaitIndex
    from crawlerd.ratelimit.shared import SharedLimits

EXPLAIN_SECONDS = 5.0  # how long to wait for an answer of the dispatcher


class Insight:
    """Answers questions about a running engine. To be used from any thread.

    listening: the address of the page and the API, as the listener found it; None while there is none.
    """

    def __init__(
        self,
        settings: Settings,
        names: AccountNames,
        asked: DispatcherInbox,
        dispatcher: Dispatcher,
        store: Store,
        sinks: OpenSinks,
        agenda: Agenda,
        lowering: Lowering,
        reloads: Reloads,
        shared: SharedLimits | None,
        rates: Rates,
        queues: SharedQueues,
    ) -> None:
        self._settings, self._names, self._asked = settings, names, asked
        self._dispatcher, self._store, self._sinks, self._agenda = dispatcher, store, sinks, agenda
        self._lowering, self._reloads, self._shared, self._rates, self._queues = (
            lowering,
            reloads,
            shared,
            rates,
            queues,
        )
        self._index = KeptIndex(self.census, self._held_up)
        self.listening: str | None = None

    @property
    def trouble(self) -> str | None:
        """What holds up imports at the moment: no workers, a full disk, a sink, a shared limiter."""
        down = self._dispatcher.without_workers()
        return (down[0] if down else None) or self.storage_trouble or (self._shared.trouble if self._shared else None)

    @property
    def storage_trouble(self) -> str | None:
        """Why a full disk or a sink holds up imports at the moment, as text; None when neither does."""
        return self._store.trouble or self._sinks.trouble or self._agenda.trouble

    def broken(self) -> dict[str, str]:
        """Imports that cannot start because their source raises an error, each with the error."""
        return self._agenda.broken()

    @property
    def busy(self) -> str | None:
        """A text saying that all worker threads have tasks; None while one is free."""
        daemon = self._settings.daemon
        threads = daemon.worker_processes * daemon.threads_per_process
        if self._dispatcher.leased < threads:
            return None
        return f"the worker processes' threads ({threads}) are all busy"

    @property
    def otherwise(self) -> str:
        """What an account waits for that has ready tasks, but none in memory."""
        return "its turn among the accounts"

    def holds(self, run: int, import_name: str) -> tuple[Reason, str] | None:
        """What holds up a run, or keeps a new run of the import from starting, apart from its accounts."""
        if down := self._dispatcher.without_workers():
            return Reason.WORKERS, down[0]
        if import_name not in self._settings.imports:
            return Reason.PAUSED, f"import {import_name} is not configured any more; `run cancel {run}` ends the run"
        if stuck := self.stuck_runs().get(run):
            return stuck
        if refusal := self._agenda.refusal(import_name):
            return Reason.SINK, f"it could not start: {refusal}"
        if self._shared and self._shared.trouble:
            return Reason.LIMIT, self._shared.trouble
        return None

    def refusals(self) -> dict[str, str]:
        """Why imports could not start at the last try, by import."""
        return self._agenda.refusals()

    def in_force(self) -> InForce:
        """Which configuration is in force."""
        return self._reloads.in_force

    def stuck_runs(self) -> dict[int, tuple[Reason, str]]:
        """The runs that a sink or the disk holds up, each with the reason and a text."""
        reason = Reason.STORE if self._store.disk_trouble else Reason.SINK
        return {run: (reason, text) for run, text in self._store.stuck.items()}

    def requests_of(self, run: int) -> int:
        """How many tasks of a run workers have now. Raises TimeoutError when the dispatcher does not answer."""
        answer: Future[int] = Future()
        self._asked.count(run, answer)
        return answer.result(EXPLAIN_SECONDS)

    def limits_of(self, account: str) -> dict[str, list[str]] | None:
        """The configured limits of an account, by bucket, "" for the whole account. None for an unknown account."""
        spec = self._settings.limits.get(account.partition(PART)[0])
        if spec is None:
            return None
        return {"": list(spec.limits), "each bucket": list(spec.bucket_limits)} | {
            bucket: list(limits) for bucket, limits in spec.by_bucket.items()
        }

    def explain(self, accounts: Sequence[str]) -> dict[str, Waiting]:
        """Why no tasks of these accounts or parts start, by name. Only those with ready tasks in memory are in the
        result. Raises TimeoutError when the dispatcher does not answer."""
        answers: dict[str, Future[Waiting | None]] = {}
        for name in accounts:
            number = self._names.number(name)
            if number is not None:
                answers[name] = Future()
                self._asked.explain(number, answers[name])
        deadline = time.monotonic() + EXPLAIN_SECONDS
        found = {name: each.result(deadline - time.monotonic()) for name, each in answers.items()}
        told = {name: waiting for name, waiting in found.items() if waiting}
        if (full := self._store.trouble) and self._store.disk_trouble:
            for name, waiting in told.items():
                if waiting.reason is Reason.WORKERS:
                    told[name] = Waiting(who=waiting.who, reason=Reason.STORE, text=full)
        return told

    def census(self) -> list[Told]:
        """What each account in memory waits for. Raises TimeoutError when the dispatcher does not answer."""
        answer: Future[list[Told]] = Future()
        self._asked.census(answer)
        found = answer.result(EXPLAIN_SECONDS)
        if not self._store.disk_trouble:
            return found
        return [each._replace(reason=Reason.STORE) if each.reason == Reason.WORKERS else each for each in found]

    def wait_index(self, reader: FrontierReader, now: float) -> WaitIndex:
        """Which accounts wait for what, perhaps from a moment ago. Raises TimeoutError when the dispatcher does not
        answer."""
        return self._index.get(reader, now)

    def _held_up(self) -> dict[int, str]:
        return {run: str(reason) for run, (reason, _) in self.stuck_runs().items()}

    def account_name(self, number: int) -> str:
        """The name of an account or part."""
        return self._names.name(number)

    def sinks_held_up(self) -> set[str]:
        """The names of the sinks that refuse records or cannot be opened."""
        return {*self._sinks.refused, *self._store.stuck_sinks}

    def rates(self) -> dict[int, float]:
        """Requests per second of runs, over the last few seconds."""
        return self._rates.by_run(time.monotonic())

    def account_rates(self) -> dict[str, float]:
        """Requests per second for accounts, over the last few seconds."""
        return self._rates.by_account(time.monotonic())

    def permitted(self, account: str) -> float | None:
        """Requests per second that the account's own limits permit, including lowered ones; None without limits."""
        spec = self._settings.limits.get(account.partition(PART)[0])
        lowered = [text for note in self._lowering.current.of(account) for text in note.limits]
        return permitted([*spec.limits, *lowered]) if spec else None

    def queue_troubles(self) -> dict[str, str]:
        """Why the inbox or the spool cannot be used, by its key in the configuration."""
        return self._queues.troubles()
