"""How deliveries are cut into batches. Pure.

The keys are in ranges, and while a batch is under way nothing else of its ranges is. So the versions of a key follow
each other, whatever is repeated. A batch takes as many ranges as fit into it: with little to deliver there are few
requests, and with much there are many at once.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RANGES = 32  # the most batches at once
MOST_BYTES = 1 << 20  # of a batch's data, unless a single version has more


class Version(NamedTuple):
    """A version that waits.

    number: its place among all.
    key: what tells its record from others.
    size: bytes of its data.
    run: that it comes from.
    alone: it takes a request of its own.
    """

    number: int
    key: tuple[str, str, str]
    size: int
    run: int
    alone: bool = False


def range_of(table: str, account: str, key: str) -> int:
    """From 0 to RANGES - 1, the same in every process."""
    return blake2b("\0".join((table, account, key)).encode(), digest_size=1).digest()[0] % RANGES


def batches(ranges: Iterable[Sequence[Version]], most: int) -> list[list[Version]]:
    """The next batches, of what waits in ranges that nothing is under way of: each range by number, and none empty. A
    range is in one batch at most, and so is a key, once. most: versions in a batch."""
    found: list[list[Version]] = []
    batch: list[Version] = []
    for waiting in sorted(ranges, key=lambda each: each[0].number):
        if waiting[0].alone:
            found.append([waiting[0]])
            continue
        part = _fitting(waiting, batch, most)
        if not part:
            found.append(batch)
            batch = []
            part = _fitting(waiting, batch, most)
        batch += part
    if batch:
        found.append(batch)
    return [sorted(each) for each in found]


def _fitting(waiting: Sequence[Version], batch: Sequence[Version], most: int) -> list[Version]:
    """What of a range may go with a batch: at least one version with an empty one."""
    part: list[Version] = []
    keys: set[tuple[str, str, str]] = set()
    size = sum(each.size for each in batch)
    for each in waiting[: most - len(batch)]:
        if each.alone or each.key in keys or ((batch or part) and size + each.size > MOST_BYTES):
            break
        part.append(each)
        keys.add(each.key)
        size += each.size
    return part
