"""Where a run's records go, and what its import changes in outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from crawlerd.core.outcome import ERROR_LIMIT, Bury, Complete
from crawlerd.engine.sink_outcomes import streams_of, without_word

if TYPE_CHECKING:
    from crawlerd.core.task import NewTask
    from crawlerd.engine.sampling import Sample
    from crawlerd.sink import Sink


class Target(NamedTuple):
    """Where a run's records go, and under which names.

    sink: None when the import has none.
    source: the name of its source.
    account: the name of its account.
    priority: the priority of all its tasks, None for auto.
    sink_name: the sink's name in the configuration.
    sink_id: the frontier's number of the sink.
    sweeps: False for an ad hoc run: it tombstones no records that it has not found, and does not note which lists it
        has read to their end.
    sample: selects the records of a sample run; None for other runs.
    """

    sink: Sink | None
    source: str
    account: str
    priority: int | None = None
    sink_name: str | None = None
    sink_id: int = 0
    sweeps: bool = True
    sample: Sample | None = None

    def adapted(self, outcome: Complete, kind: str = "", *, submitted: bool = False) -> Complete | Bury:
        """Changes the outcome of a task as the run's import requires. kind: the kind of the task. submitted: the task
        was submitted, or descends from such a task."""
        if self.sample is not None:
            outcome = self.sample.cut(outcome, kind)
        if submitted or not self.sweeps:
            outcome = without_word(outcome, cursors=not submitted)
        # Skipped records are not counted: they are only for the run's report.
        of_records = outcome.batches or outcome.sweeps or outcome.comparisons or outcome.orphans
        if self.sink is None and of_records:
            streams = streams_of(outcome)
            error = f"it yields records of {', '.join(dict.fromkeys(streams))}, but its import has no sink"
            return Bury(error[:ERROR_LIMIT], stream=streams[0])
        return self.prioritised(outcome)

    def prioritised(self, outcome: Complete) -> Complete:
        if self.priority is None or not (outcome.children or outcome.gathers or outcome.comparisons or outcome.sent):
            return outcome
        sent = outcome.sent and msgspec.structs.replace(outcome.sent, priority=self.priority)
        gathers = [
            msgspec.structs.replace(each, tasks=self.each(each.tasks), then=self.each([each.then])[0])
            for each in outcome.gathers
        ]
        comparisons = [msgspec.structs.replace(each, then=self.each([each.then])[0]) for each in outcome.comparisons]
        return msgspec.structs.replace(
            outcome, children=self.each(outcome.children), gathers=gathers, comparisons=comparisons, sent=sent
        )

    def each(self, tasks: list[NewTask]) -> list[NewTask]:
        """Changes new tasks of the run as its import requires."""
        return tasks if self.priority is None else [task.prioritised(self.priority) for task in tasks]
