"""What of an outcome a sink must be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.outcome import ERROR_LIMIT, Bury, Complete

if TYPE_CHECKING:
    from crawlerd.core.errors import Refused
    from crawlerd.core.outcome import Outcome
    from crawlerd.frontier.contract import Settled


def is_for_sink(outcome: Outcome) -> bool:
    if not isinstance(outcome, Complete):
        return False
    return bool(outcome.batches or outcome.sweeps or outcome.skipped or outcome.comparisons or outcome.orphans)


def without_word(outcome: Complete, *, cursors: bool) -> Complete:
    """Without all that says something of a whole list, and tombstones what is not in it. cursors: they stay."""
    if outcome.sweeps or outcome.comparisons or outcome.orphans or outcome.parents:
        outcome = msgspec.structs.replace(outcome, sweeps=[], comparisons=[], orphans=[], parents=[])
    if not cursors and (outcome.cursors or outcome.greatest):
        outcome = msgspec.structs.replace(outcome, cursors=[], greatest=[])
    return outcome


def buried(settled: Settled, error: Refused) -> Settled:
    """What no sink can take."""
    bury = Bury(str(error)[:ERROR_LIMIT], stream=streams_of(settled.outcome)[0])
    return msgspec.structs.replace(settled, outcome=bury)


def streams_of(outcome: Outcome) -> list[str]:
    """Those that the outcome is about to change."""
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
