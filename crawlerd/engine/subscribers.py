"""Calls the extensions that subscribe to the records of a source; see `crawlerd.source.subscribe`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.lenient_json import parsed
from crawlerd.core.outcome import Complete
from crawlerd.source import Cursor, Marks, Note, Orphans, Record, Records, Skip, Sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from crawlerd.core.outcome import Batch
    from crawlerd.core.output import Subscription
    from crawlerd.source import Output

OF_STREAMS = (Record, Records, Cursor, Marks, Note, Skip, Sweep, Orphans)


def outputs(subscription: Subscription, batches: Iterable[Batch]) -> Iterator[Output]:
    """Yields the outputs of a subscriber for the records of its stream. Raises ValueError when an output is for a
    stream that the subscriber has not added."""
    for batch in batches:
        if batch.stream == subscription.stream:
            parents = batch.parents or [""] * batch.count
            for key, data, parent in zip(batch.keys, batch.data, parents, strict=True):
                record = Record(batch.stream, key, None if data is None else parsed(data), parent)
                for output in subscription.function(record) or ():
                    if isinstance(output, OF_STREAMS) and output.stream.partition(":")[0] not in subscription.streams:
                        name = type(output).__name__
                        raise ValueError(
                            f"a subscriber of {batch.stream} has yielded a {name} of {output.stream}, which it has not "
                            "added: name it in `subscribe(…, streams=[…])`"
                        )
                    yield output


def joined(outcomes: Sequence[Complete]) -> Complete:
    """All outcomes as one."""
    whole = outcomes[0] if outcomes else Complete()
    for each in outcomes[1:]:
        whole = Complete(
            whole.batches + each.batches,
            whole.children + each.children,
            whole.cursors + each.cursors,
            whole.skipped + each.skipped,
            whole.identity or each.identity,
            whole.gathers + each.gathers,
            whole.sweeps + each.sweeps,
            whole.greatest + each.greatest,
            whole.comparisons + each.comparisons,
            whole.parents + each.parents,
            marked=whole.marked + each.marked,
            orphans=whole.orphans + each.orphans,
        )
    return whole
