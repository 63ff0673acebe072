"""Selects the parts of an outcome that a sink must know."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.outcome import ERROR_LIMIT, Bury, Complete

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from crawlerd.core.errors import Refused
    from crawlerd.core.outcome import Outcome
    from crawlerd.frontier.contract import Settled
    from crawlerd.sink import JoinedSink, Sink


def is_for_sink(outcome: Outcome) -> bool:
    if not isinstance(outcome, Complete):
        return False
    return bool(outcome.batches or outcome.sweeps or outcome.skipped or outcome.comparisons or outcome.orphans)


def without_word(outcome: Complete, *, cursors: bool) -> Complete:
    """The outcome without sweeps and everything else that says that a list was read to its end: the run must not
    tombstone records that are not in the list. cursors: keep the cursors."""
    if outcome.sweeps or outcome.comparisons or outcome.orphans or outcome.parents:
        outcome = msgspec.structs.replace(outcome, sweeps=[], comparisons=[], orphans=[], parents=[])
    if not cursors and (outcome.cursors or outcome.greatest):
        outcome = msgspec.structs.replace(outcome, cursors=[], greatest=[])
    return outcome


def buried(settled: Settled, error: Refused) -> Settled:
    """Turns an outcome that the sink can never store into a dead letter. error: the sink's reason."""
    bury = Bury(str(error)[:ERROR_LIMIT], stream=streams_of(settled.outcome)[0])
    return msgspec.structs.replace(settled, outcome=bury)


def streams_of(outcome: Outcome) -> list[str]:
    """The streams that the outcome changes."""
    if not isinstance(outcome, Complete):
        return []
    return [
        *(batch.stream for batch in outcome.batches),
        *(stream for stream, _ in outcome.sweeps),
        *(each.stream for each in outcome.comparisons),
        *(stream for stream, _ in outcome.orphans),
        *(skipped.stream for skipped in outcome.skipped),
    ]


def record_count(settled: Settled) -> int:
    outcome = settled.outcome
    return sum(batch.count for batch in outcome.batches) if isinstance(outcome, Complete) else 0


def together(sink: Sink | JoinedSink) -> AbstractContextManager[None]:
    """See `JoinedSink.together`."""
    its: AbstractContextManager[None] = getattr(sink, "together", nullcontext)()
    return its
