"""Writes outcomes to the sinks for the store. A sink that refuses holds up its own runs, and no others."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from crawlerd.core.errors import Refused, SinkError, SinkReplaced, SyncFailed
from crawlerd.core.log_events import Event, tell
from crawlerd.core.outcome import DONE, Bury, Complete
from crawlerd.engine.commit_counts import CommitCounts
from crawlerd.engine.outgoing import KIND, follow, outbox_of, receipt
from crawlerd.engine.sink_outcomes import buried, is_for_sink, record_count, together
from crawlerd.engine.stuck_sinks import Stuck
from crawlerd.engine.sweep_doubts import sweep
from crawlerd.frontier.contract import Ahead
from crawlerd.sink import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Mapping

    from crawlerd.core.doubt import Expected
    from crawlerd.engine.sink_target import Target
    from crawlerd.frontier.contract import Settled
    from crawlerd.sink import Mark, Sink, Totals

RETRY_SECONDS = 1.0  # between two tries to write to a sink that refuses
REST = 4  # at least this many times as long as the try took, since all imports wait for it


class Delivered(NamedTuple):
    """group: the outcomes that may be committed now.
    totals: of the sinks.
    written: the numbers of the sinks that got the mark.
    """

    group: list[Settled]
    totals: dict[tuple[int, str], Totals]
    written: set[int]


class SinkWriter:
    """Writes outcomes to sinks. Used by the store's thread alone.

    parts: the names of the parts of accounts, by number; the records of a part have its name.
    expected: see `Frontier.expected`; without it, no sweep is held back.
    submitted: see `Frontier.submitted_groups`.
    serving: runs whose tasks may be leased: they are not paused, and their sinks accept records.
    fell_out: runs that have left `serving` since the owner last emptied this set.
    came_back: runs that have joined `serving` again since the owner last emptied this set.
    replaced: sinks whose files were gone at the last `deliver`; their runs wait until `swap` replaces the sink.
    abandoned: runs that were abandoned since the owner last emptied this list.
    dropped: portions of abandoned runs or lost leases that waited for a sink, since the owner last emptied this list.
    fenced: all abandoned runs; do not pass their outcomes to this class.
    counts: counts for metrics, shared with the store.
    """

    def __init__(
        self,
        parts: Mapping[int, str] | None = None,
        expected: Callable[[int, int, str], Expected | None] | None = None,
        submitted: Container[int] = (),
    ) -> None:
        self._expected, self._submitted = expected, submitted
        self._parts = {} if parts is None else parts
        self._sinks: Counter[Sink] = Counter()  # how many runs write to each sink
        self._outboxes = 0  # how many runs write to a sink with an outbox
        self.replaced: list[Sink] = []
        self.targets: dict[int, Target] = {}
        self.serving: set[int] = set()
        self.fell_out: set[int] = set()
        self.came_back: set[int] = set()
        self.abandoned: list[int] = []
        self.dropped: list[Ahead] = []
        self.fenced: set[int] = set()
        self._paused: set[int] = set()
        self.records, self.counts = 0, CommitCounts()
        self._started: dict[int, float] = {}
        self._stuck: dict[Sink, Stuck] = {}

    def serve(self, run: int, target: Target, started: float) -> None:
        """Begins to serve a run. A second call changes nothing. started: when the run began, in Unix seconds."""
        if run in self.targets:
            return
        self.targets[run], self._started[run] = target, started
        if target.sink:
            self._sinks[target.sink] += 1
            self._outboxes += outbox_of(target.sink) is not None
        if target.sink is None or target.sink not in self._stuck:
            self.serving.add(run)

    def uses(self, sink: Sink) -> bool:
        """Whether runs under way write to a sink."""
        return any(target.sink is sink for target in self.targets.values())

    def pause(self, runs: Collection[int]) -> None:
        """A person has paused these runs. Outcomes of tasks that are leased already are still written."""
        self._paused.update(run for run in runs if run in self.targets)
        self._leave(self._paused & self.serving)

    def resume(self, runs: Collection[int]) -> None:
        """Undoes `pause`."""
        paused = self._paused.intersection(runs)
        self._paused -= paused
        self._join({run for run in paused if self.targets[run].sink not in self._stuck})

    def _leave(self, runs: set[int]) -> None:
        self.serving -= runs
        self.fell_out |= runs
        self.came_back -= runs

    def _join(self, runs: set[int]) -> None:
        self.serving |= runs
        self.came_back |= runs
        self.fell_out -= runs

    def end(self, run: int) -> None:
        """The run has ended."""
        self.serving.discard(run)
        if sink := self._drop(run):
            sink.ended(run)

    def _drop(self, run: int) -> Sink | None:
        self._started.pop(run, None)
        self._paused.discard(run)
        target = self.targets.pop(run, None)
        sink = target.sink if target else None
        if sink:
            self._outboxes -= outbox_of(sink) is not None
            self._sinks[sink] -= 1
            if not self._sinks[sink]:
                del self._sinks[sink]
        return sink

    def abandon(self, runs: Collection[int]) -> None:
        """The frontier has ended these runs: none of their outcomes is written any more."""
        runs = [run for run in runs if run in self.targets]
        self.abandoned += runs
        self.fenced.update(runs)
        for run in runs:
            self.serving.discard(run)
            self.fell_out.discard(run)
            self.came_back.discard(run)
            self._drop(run)
        self._let_go(lambda settled: settled.task.run in runs)

    def void(self, tokens: Collection[int]) -> None:
        """The leases of these tokens are lost: their portions are dropped."""
        self._let_go(lambda settled: isinstance(settled, Ahead) and settled.token in tokens)

    def _let_go(self, over: Callable[[Settled], bool]) -> None:
        """Drops the outcomes that wait for a sink and for which `over` is true."""
        for stuck in self._stuck.values():
            self.dropped += [each for each in stuck.held if isinstance(each, Ahead) and over(each)]
            stuck.held = [each for each in stuck.held if not over(each)]

    def swap(self, old: Sink, new: Sink) -> None:
        """Replaces a sink by another, for its runs and the outcomes that wait for it."""
        for run, target in self.targets.items():
            if target.sink is old:
                self.targets[run] = target._replace(sink=new)
        if runs := self._sinks.pop(old, 0):
            self._sinks[new] = runs
        if stuck := self._stuck.pop(old, None):
            stuck.retry_at = 0.0
            self._stuck[new] = stuck

    def stuck(self) -> dict[int, str]:
        """The runs that wait for their sinks, each with the reason. From any thread."""
        stuck = dict(self._stuck)  # a copy, since the store's thread may change it meanwhile
        return {
            run: f"sinks.{target.sink_name}: {stuck[target.sink].error}"
            for run, target in dict(self.targets).items()
            if target.sink and target.sink in stuck
        }

    def due(self, clock: float) -> bool:
        """Whether it is time to try a refusing sink again. clock: monotonic seconds."""
        return any(stuck.retry_at <= clock for stuck in self._stuck.values())

    def undone(self) -> set[Sink]:
        """The sinks whose last write was undone with the transaction of a commit."""
        return {sink for sink in self._sinks if getattr(sink, "undone", False) and sink not in self._stuck}

    def deliver_again(
        self, sinks: set[Sink], group: list[Settled], delivered: Delivered, now: float, mark: Mark
    ) -> Delivered:
        """Writes once more what was undone in these sinks. Outcomes whose sink refuses now wait here, as in `deliver`.

        group: what was to be committed.
        delivered: what the last call of `deliver` or of this method has returned.
        """
        parcels = {
            sink: [each for each in group if self.targets[each.task.run].sink is sink and self._is_for_sink(each)]
            for sink in sinks
        }
        self.records -= sum(record_count(each) for parcel in parcels.values() for each in parcel)
        again = self._to_sinks(parcels, group, now, time.monotonic(), mark)
        others = {run for run, target in self.targets.items() if target.sink not in sinks}
        totals = {key: each for key, each in delivered.totals.items() if key[0] in others}
        numbers = {target.sink_id for target in self.targets.values() if target.sink in sinks}
        return Delivered(again.group, totals | again.totals, delivered.written - numbers | again.written)

    def deliver(self, group: list[Settled], now: float, clock: float, mark: Mark | None = None) -> Delivered:
        """Changes outcomes as their imports require, and writes their records to the sinks, with the mark. Outcomes
        whose sink refuses wait here, and are part of a later result. Raises SyncFailed when nothing may be
        committed."""
        parcels: dict[Sink, list[Settled]] = {}
        self.replaced = [sink for sink in self._sinks if not sink.intact()]
        for sink in self.replaced:  # their outcomes wait: a run must not end when its records are gone
            parcels[sink] = [each for each in group if self.targets[each.task.run].sink is sink]
        for index, settled in enumerate(group):
            outcome = settled.outcome
            if (outcome is DONE or type(outcome) is not Complete) and not self._is_for_outbox(settled):
                continue
            target = self.targets[settled.task.run]
            if target.sink in self.replaced:
                continue
            if isinstance(outcome, Complete):
                submitted = settled.task.group in self._submitted
                adapted = target.adapted(outcome, settled.task.kind, submitted=submitted)
                if adapted is not outcome:
                    group[index] = settled = msgspec.structs.replace(settled, outcome=adapted)
            if target.sink and self._is_for_sink(settled):
                parcels.setdefault(target.sink, []).append(settled)
        for sink, stuck in self._stuck.items():
            if stuck.retry_at <= clock:
                parcels[sink] = [*stuck.held, *parcels.get(sink, ())]
                group = [*group, *stuck.held]
        return self._to_sinks(parcels, group, now, clock, mark)

    def _to_sinks(
        self, parcels: dict[Sink, list[Settled]], group: list[Settled], now: float, clock: float, mark: Mark | None
    ) -> Delivered:
        """Writes each sink's outcomes of a group. Those that write in the transaction of the commit come last, so that
        it does not wait for others."""
        totals: dict[tuple[int, str], Totals] = {}
        written: set[int] = set()
        instead: dict[int, Settled | None] = {}  # what to commit in place of an outcome; None: nothing now
        started = time.monotonic()
        slow = False  # a sink has failed that took long: the next commit tries others that refuse
        for sink, parcel in sorted(parcels.items(), key=lambda each: getattr(each[0], "joined", False)):
            before, began = self._stuck.get(sink), time.monotonic()
            if before is not None and (before.retry_at > clock or slow):
                before.held = parcel if before.retry_at <= clock else before.held + parcel
                instead |= dict.fromkeys(settled.task.seq for settled in parcel)
                continue
            try:
                mixed = before is not None or sink in self.replaced  # some have no records, and wait with the others
                writable = [each for each in parcel if self._is_for_sink(each)] if mixed else parcel
                totals |= self._write(sink, writable, now, instead, mark)
                if parcel:
                    target = self.targets[parcel[0].task.run]
                    written.add(target.sink_id)
                    self.counts.wrote(target.sink_name or "", time.monotonic() - began)
            except SyncFailed:
                raise
            except SinkError as error:
                instead |= dict.fromkeys(settled.task.seq for settled in parcel)
                ended = time.monotonic()
                rest = REST * (ended - began)
                slow = slow or rest > RETRY_SECONDS
                retry_at = clock + max(RETRY_SECONDS, ended - started + rest)
                self._hold(sink, Stuck(self._name(sink), str(error), parcel, retry_at))
                if isinstance(error, SinkReplaced) and sink not in self.replaced:
                    self.replaced.append(sink)
            else:
                if before is not None:
                    self._release(sink)
        if instead:
            group = [each for settled in group if (each := instead.get(settled.task.seq, settled)) is not None]
        self.counts.hold(sum(len(stuck.held) for stuck in self._stuck.values()), clock)
        return Delivered(group, totals, written)

    def _write(
        self, sink: Sink, parcel: list[Settled], now: float, instead: dict[int, Settled | None], mark: Mark | None
    ) -> dict[tuple[int, str], Totals]:
        """Writes outcomes to one sink. Only the outcomes that the sink can never store become dead letters."""
        guards = {settled.task.seq: guard for settled in parcel if (guard := self._guard(settled))}
        compared = any(isinstance(each.outcome, Complete) and each.outcome.comparisons for each in parcel)
        with together(sink) if guards or compared else nullcontext():
            return self._write_together(sink, parcel, guards, now, instead, mark)

    def _write_together(
        self,
        sink: Sink,
        parcel: list[Settled],
        guards: Mapping[int, dict[str, Expected]],
        now: float,
        instead: dict[int, Settled | None],
        mark: Mark | None,
    ) -> dict[tuple[int, str], Totals]:
        deliveries = [self._delivery(settled, guards.get(settled.task.seq, ())) for settled in parcel]
        try:
            totals = sink.write(deliveries, now, mark)
        except Refused:
            totals = {}
            with together(sink):
                for settled, delivery in zip(parcel, deliveries, strict=True):
                    try:
                        totals |= sink.write([delivery], now, mark)
                    except Refused as error:
                        instead[settled.task.seq] = buried(settled, error)
        for settled in parcel:
            outcome, seq = settled.outcome, settled.task.seq
            if not isinstance(outcome, Complete) or seq in instead:
                continue
            try:
                if seq in guards:
                    delivery = msgspec.structs.replace(self._delivery(settled), batches=[], skipped=[], orphans=[])
                    counted, swept = sweep(sink, delivery, guards[seq], totals, now, mark)
                    totals |= swept
                    outcome = msgspec.structs.replace(outcome, counted=counted)
                if outcome.comparisons:
                    outcome = self._compared(sink, settled, outcome)
            except Refused as error:
                instead[seq] = buried(settled, error)
            else:
                if outcome is not settled.outcome:
                    instead[seq] = msgspec.structs.replace(settled, outcome=outcome)
        if parcel and (outbox := outbox_of(sink)):
            follow(outbox, parcel, instead, self.targets)
        self.records += sum(record_count(instead.get(settled.task.seq) or settled) for settled in parcel)
        return totals

    def _compared(self, sink: Sink, settled: Settled, outcome: Complete) -> Complete:
        """Adds the tasks that follow when a comparison finds records missing from the list."""
        delivery = self._delivery(settled)
        missing = [
            (each, sink.missing(delivery, each.stream, each.prefix, each.after, each.parent))
            for each in outcome.comparisons
        ]
        children = [*outcome.children, *(each.following(keys) for each, keys in missing if keys)]
        return msgspec.structs.replace(outcome, children=children, comparisons=[])

    def _guard(self, settled: Settled) -> dict[str, Expected]:
        """The swept streams for which a number of records is expected."""
        outcome = settled.outcome
        if self._expected is None or not isinstance(outcome, Complete) or not outcome.sweeps:
            return {}
        streams = dict.fromkeys(stream for stream, _ in outcome.sweeps)
        found = {stream: self._expected(settled.task.run, settled.account, stream) for stream in streams}
        return {stream: each for stream, each in found.items() if each and (each.guarded or not each.alone)}

    def _delivery(self, settled: Settled, without: Container[str] = ()) -> Delivery:
        """What to write to the sink for an outcome. without: streams whose sweeps are left out."""
        task = settled.task
        outcome = settled.outcome if isinstance(settled.outcome, Complete) else DONE
        target = self.targets[task.run]
        return Delivery(
            target.source,
            self._parts.get(settled.account, target.account),
            task.run,
            self._started[task.run],
            task.seq,
            outcome.batches,
            [each for each in outcome.sweeps if each[0] not in without] if without else outcome.sweeps,
            outcome.skipped,
            receipt(task, settled.outcome),
            not isinstance(settled, Ahead),
            outcome.orphans,
        )

    def _is_for_sink(self, settled: Settled) -> bool:
        return is_for_sink(settled.outcome) or self._is_for_outbox(settled)

    def _is_for_outbox(self, settled: Settled) -> bool:
        """Whether the outbox needs it: as the result of a delivery, or to start new deliveries with it."""
        if not self._outboxes or not isinstance(settled.outcome, Complete | Bury):
            return False
        outbox = outbox_of(self.targets[settled.task.run].sink)
        return outbox is not None and (settled.task.kind == KIND or outbox.waits_for_a_run)

    def _hold(self, sink: Sink, stuck: Stuck) -> None:
        before = self._stuck.get(sink)
        self._stuck[sink] = stuck
        if before is None or before.error != stuck.error:
            text = "sinks.%s: %s; nothing is lost, trying again every second"
            tell(Event.SINK_HELD, text, stuck.name, stuck.error, sink=stuck.name, error=str(stuck.error))
        if before is None:
            self._leave(self._runs(sink))

    def _release(self, sink: Sink) -> None:
        stuck = self._stuck.pop(sink)
        text = "recovered: sinks.%s: %s"
        tell(Event.SINK_RELEASED, text, stuck.name, stuck.error, sink=stuck.name, error=str(stuck.error))
        self._join(self._runs(sink) - self._paused)

    def _runs(self, sink: Sink) -> set[int]:
        return {run for run, target in self.targets.items() if target.sink is sink}

    def _name(self, sink: Sink) -> str | None:
        return next((target.sink_name for target in self.targets.values() if target.sink is sink), None)
