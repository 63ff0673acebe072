"""Sweeps of full runs, held back when a run has seen far fewer records of a stream than the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.sink import MISSING_KEYS, Totals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.core.doubt import Expected
    from crawlerd.sink import Delivery, Mark, Sink

Counted = tuple[str, int, bool]


def sweep(
    sink: Sink,
    delivery: Delivery,
    guard: Mapping[str, Expected],
    totals: Mapping[tuple[int, str], Totals],
    now: float,
    mark: Mark | None,
) -> tuple[list[Counted], dict[tuple[int, str], Totals]]:
    """Sweeps those streams that are not in doubt. Call it after the run's records so far were written.

    delivery: only the sweeps.
    guard: the number of records expected of each stream.
    Returns how many records the run has seen of each stream and whether its sweep was held back, and new totals.
    """
    counted: list[Counted] = []
    sweeps: list[tuple[str, str]] = []
    for stream, expected in guard.items():
        total = totals.get((delivery.run, stream), Totals())
        prefixes = [prefix for of, prefix in delivery.sweeps if of == stream]
        seen = total.seen if expected.alone else sink.seen(delivery, stream)
        held = expected.doubts(seen) and not _few(sink, delivery, stream, prefixes, expected, total)
        counted.append((stream, seen, held))
        if not held:
            sweeps += [(stream, prefix) for prefix in prefixes]
    if not sweeps:
        return counted, {}
    return counted, sink.write([msgspec.structs.replace(delivery, sweeps=sweeps)], now, mark)


def _few(sink: Sink, delivery: Delivery, stream: str, prefixes: list[str], expected: Expected, total: Totals) -> bool:
    """Whether the sweep of some parts of a stream is harmless although other parts may not have been read yet: together
    with earlier sweeps of the run, it tombstones at most half of the records that were there."""
    if "" in prefixes or not expected.alone:
        return False
    left = expected.before // 2 - total.tombstoned
    for prefix in prefixes:
        after, full = "", True
        while full and left >= 0:
            keys = sink.missing(delivery, stream, prefix, after)
            left -= len(keys)
            full = len(keys) == MISSING_KEYS
            after = keys[-1] if keys else ""
    return left >= 0
