"""How one import starts: its unfinished runs go on, or a new one is planned; then its tasks are given out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.engine.attempt import begin
from crawlerd.engine.full_run import believed, fullness, setup
from crawlerd.engine.outgoing import outbox_of
from crawlerd.engine.pausing import ImportPaused
from crawlerd.engine.sink_writer import Target
from crawlerd.source import RunPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import ImportSpec
    from crawlerd.engine.account_names import AccountNames
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.guards import Guards
    from crawlerd.engine.open_sinks import OpenSinks
    from crawlerd.engine.pausing import Pausing
    from crawlerd.engine.prefetch import Prefetch
    from crawlerd.engine.sink_writer import SinkWriter
    from crawlerd.frontier.contract import Frontier, StartedRun

log = logging.getLogger(__name__)


class Started(NamedTuple):
    """The runs of an import that are now under way.

    resumed: they were begun before.
    ended: those of them that had nothing to do.
    """

    runs: list[int]
    resumed: bool
    ended: Sequence[int] = ()


class Starter:
    """Used on the store's thread."""

    def __init__(
        self,
        settings: Settings,
        frontier: Frontier,
        clock: Clock,
        names: AccountNames,
        accounts: Guards,
        sinks: OpenSinks,
        writer: SinkWriter,
        prefetch: Prefetch,
        added: dict[int, tuple[str, ...]],
        pauses: Pausing,
    ) -> None:
        """added: takes the streams of extensions that a run asks for, if any; drop those of runs that have ended."""
        self._settings, self._frontier, self._clock = settings, frontier, clock
        self._names, self._accounts, self._sinks = names, accounts, sinks
        self._writer, self._prefetch, self._added, self._pauses = writer, prefetch, added, pauses

    def start(self, name: str, *, full: bool, allow_shrink: bool, began: str) -> Started:
        """See `Runs.start_import`."""
        spec = self._settings.imports[name]
        if (note := self._pauses.current.of_import(name)) is not None:
            raise ImportPaused(note)
        source = self._settings.accounts[spec.account].source
        sink, number = self._sinks.of(spec, self._names.numbers)
        target = Target(sink, source, spec.account, spec.priority, spec.sink, number)
        runs = self._frontier.running_runs(name)
        resumed, ended = bool(runs), list[int]()
        if not resumed:
            if (outbox := outbox_of(sink)) is not None:  # what earlier runs have left
                outbox.call_back(self._frontier.mark, self._sinks.goes_on)
            run, ended = self._new_run(spec, target, full, allow_shrink, began)
            runs = [run]
        elif allow_shrink:
            self._frontier.let_shrink(runs)
        accounts = dict.fromkeys(number for run in runs for number in self._frontier.accounts(run))
        for number in accounts:
            self._accounts.check(number)
        for run in runs:
            facts = self._frontier.run(run)
            if facts.added:
                self._added[run] = facts.added
            self._writer.serve(run, target._replace(sweeps=facts.ad_hoc is None), facts.started_at)
        for number in accounts:
            self._prefetch.offer(number)
        return Started(runs, resumed, ended)

    def _new_run(self, spec: ImportSpec, target: Target, full: bool, allow_shrink: bool, began: str) -> StartedRun:
        account = self._settings.accounts[spec.account]
        source = self._settings.sources[account.source]
        doubted = self._frontier.doubted(spec.name, target.sink_id)
        cursors = self._frontier.cursors(spec.name, target.sink_id) if spec.since is None else {}
        streams = tuple(stream for stream in spec.streams if stream not in source.added)
        plan = RunPlan(
            streams,
            full,
            self._clock.now(),
            believed(cursors, {*doubted, *self._sinks.elsewhere(spec)}, streams),
            spec.options,
            account.options,
            has_sink=target.sink is not None,
            account=account.name,
            since=spec.since,
            ad_hoc=bool(spec.ad_hoc),
        )
        first = target.prioritised(begin(source, plan, self._names.source))
        whole = fullness(plan, first.full, doubted, self._frontier.news(spec.name, target.sink_id))
        started = self._frontier.start_run(
            spec.name,
            self._names.numbers[account.name],
            first.children,
            gathers=first.gathers,
            full=whole.full,
            now=plan.started_at,
            sink=target.sink_id,
            why=whole.why,
            streams=spec.streams,
            whole=whole.streams if target.sink is not None else (),
            setup=setup(spec.options, account.options, self._settings.descriptions.get(source.name)),
            shrink=allow_shrink,
            ad_hoc=spec.ad_hoc or None,
            added=tuple(stream for stream in spec.streams if stream in source.added),
            began=began,
        )
        if whole.why:
            log.info("import %s: run %d is full: %s", spec.name, started.run, whole.why)
        return started
