"""Starts one import: resumes its unfinished runs, or plans a new one, and then lets its tasks be leased."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from crawlerd.core.errors import CrawlerdError
from crawlerd.core.log_events import Event, tell
from crawlerd.engine.attempt import begin
from crawlerd.engine.full_run import believed, fullness, setup
from crawlerd.engine.outgoing import outbox_of
from crawlerd.engine.pausing import ImportPaused
from crawlerd.engine.private_records import run_fields
from crawlerd.engine.sampling import Sample
from crawlerd.engine.sink_target import Target
from crawlerd.engine.wire import RunTerms
from crawlerd.source import RunPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import ImportSpec
    from crawlerd.core.schedule_rules import ScheduleNote
    from crawlerd.core.task import NewTask
    from crawlerd.engine.account_names import AccountNames
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.guards import Guards
    from crawlerd.engine.open_sinks import OpenSinks
    from crawlerd.engine.pausing import Pausing
    from crawlerd.engine.prefetch import Prefetch
    from crawlerd.engine.scheduling import Scheduling
    from crawlerd.engine.sink_writer import SinkWriter
    from crawlerd.frontier.contract import Frontier, StartedRun
    from crawlerd.frontier.submission_contract import Chunk

SUBMITTED = "it has only what was submitted"  # how such a run differs from others, for people


class Submission(NamedTuple):
    """Submitted tasks, which a new run does instead of reading what its import reads.

    chunk: where the tasks come from.
    """

    tasks: Sequence[NewTask]
    chunk: Chunk


class Started(NamedTuple):
    """The runs of an import that are now under way.

    resumed: whether they are older runs that go on.
    ended: the runs among them that had nothing to do.
    """

    runs: list[int]
    resumed: bool
    ended: Sequence[int] = ()


class ImportGone(CrawlerdError):
    """The import cannot start because it is not configured any more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"import {name} is not configured any more")


class Starter:
    """Starts one import. Used on the store's thread."""

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
        terms: dict[int, RunTerms],
        pauses: Pausing,
        scheduling: Scheduling,
    ) -> None:
        """terms: gets what workers must know about a run, by run. The owner drops runs that have ended."""
        self._settings, self._frontier, self._clock = settings, frontier, clock
        self._names, self._accounts, self._sinks = names, accounts, sinks
        self._writer, self._prefetch, self._terms, self._pauses = writer, prefetch, terms, pauses
        self._scheduling = scheduling

    def start(
        self,
        name: str,
        *,
        full: bool,
        allow_shrink: bool,
        began: str,
        spec: ImportSpec | None = None,
        note: ScheduleNote | None = None,
        submission: Submission | None = None,
    ) -> Started:
        """See `Runs.start_import`.

        spec: other settings of the import for a new run; None for those of the configuration.
        note: the new note of its schedule, for a new run that the schedule starts.
        submission: the tasks of a new run that reads nothing on its own.
        """
        configured = self._settings.imports.get(name)
        if configured is None:
            raise ImportGone(name)
        spec = spec or configured
        if (pause := self._pauses.current.of_import(name)) is not None:
            raise ImportPaused(pause)
        fields = run_fields(configured, self._settings.daemon.hash_key)
        source = self._settings.accounts[spec.account].source
        sink, number = self._sinks.of(spec, self._names.numbers)
        target = Target(sink, source, spec.account, spec.priority, spec.sink, number)
        runs = self._frontier.running_runs(name)
        resumed, ended = bool(runs), list[int]()
        if not resumed:
            if (outbox := outbox_of(sink)) is not None:  # records that earlier runs have not delivered
                outbox.call_back(self._frontier.mark, self._sinks.goes_on)
            if submission is None:
                run, ended, enqueued = self._new_run(spec, target, full, allow_shrink, began, note)
            else:
                run, ended, enqueued = self._run_of(submission, spec, target, began)
            self._writer.counts.enqueued[source] += enqueued
            runs = [run]
        elif allow_shrink:
            self._frontier.let_shrink(runs)
        if resumed:
            self._frontier.resumed(runs, self._clock.now())
        accounts = dict.fromkeys(number for run in runs for number in self._frontier.accounts(run))
        for number in accounts:
            self._accounts.check(number)
        for run in runs:
            facts = self._frontier.run(run)
            if facts.added or fields is not None:
                self._terms[run] = RunTerms(facts.added, fields)
            sample = None
            if facts.sample is not None:
                seen = {stream: totals.seen for stream, totals in self._frontier.tallied(run).items()}
                sample = Sample(facts.sample, self._settings.sources[source].kinds, seen)
            its = target._replace(sweeps=facts.ad_hoc is None, sample=sample)
            self._writer.serve(run, its, facts.started_at)
        for number in accounts:
            self._prefetch.offer(number)
        return Started(runs, resumed, ended)

    def _run_of(self, submission: Submission, spec: ImportSpec, target: Target, began: str) -> StartedRun:
        source = self._settings.sources[target.source]
        return self._frontier.start_run(
            spec.name,
            self._names.numbers[spec.account],
            target.each(list(submission.tasks)),
            full=False,
            now=self._clock.now(),
            sink=target.sink_id,
            ad_hoc=SUBMITTED,
            added=tuple(stream for stream in spec.streams if stream in source.added),
            began=began,
            submitted=True,
            chunk=submission.chunk,
        )

    def _new_run(
        self,
        spec: ImportSpec,
        target: Target,
        full: bool,
        allow_shrink: bool,
        began: str,
        note: ScheduleNote | None,
    ) -> StartedRun:
        account = self._settings.accounts[spec.account]
        source = self._settings.sources[account.source]
        doubted = self._frontier.doubted(spec.name, target.sink_id)
        cursors = self._frontier.cursors(spec.name, target.sink_id) if spec.since is None else {}
        turn = None if full or spec.ad_hoc else self._scheduling.full_now(spec.name)
        streams = tuple(stream for stream in spec.streams if stream not in source.added)
        plan = RunPlan(
            streams,
            full or turn is not None,
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
        configured = self._settings.imports[spec.name]
        last = self._frontier.latest_run(spec.name)
        clean = last is not None and last.state == "completed"
        whole = fullness(plan, first.full, doubted, self._frontier.news(spec.name, target.sink_id), clean=clean)
        whole = whole._replace(why=whole.why or turn)
        started = self._frontier.start_run(
            spec.name,
            self._names.numbers[account.name],
            first.children,
            gathers=first.gathers,
            full=whole.full,
            now=plan.started_at,
            sink=target.sink_id,
            why=whole.why,
            streams=configured.streams,
            whole=whole.streams if target.sink is not None else (),
            setup=setup(spec.options, account.options, self._settings.descriptions.get(source.name)),
            shrink=allow_shrink,
            ad_hoc=spec.ad_hoc or None,
            added=tuple(stream for stream in spec.streams if stream in source.added),
            began=began,
            schedule=None if spec.ad_hoc or spec.part else self._scheduling.of_start(spec.name, note),
            sample=spec.sample,
            part=spec.part or None,
        )
        if whole.why:
            tell(
                Event.RUN_FULL,
                "import %s: run %d is full: %s",
                *(spec.name, started.run, whole.why),
                run=started.run,
                import_name=spec.name,
                reason=whole.why,
            )
        return started
