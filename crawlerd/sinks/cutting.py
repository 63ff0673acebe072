"""How deliveries are divided into batches. Pure.

Keys are divided into ranges. While a batch is under way, no other batch has versions of its ranges, so the versions of
a key are sent in order, whatever is repeated. A batch takes as many ranges as fit into it: with little to deliver there
are few requests, and with much there are many at once.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RANGES = 32  # the most batches at once
MOST_BYTES = 1 << 20  # of a batch's data, unless a single version is larger


class Version(NamedTuple):
    """A version of a record that waits.

    number: its place among all versions.
    key: identifies its record.
    size: bytes of its data.
    run: the run that it comes from.
    alone: it needs a request of its own.
    """

    number: int
    key: tuple[str, str, str]
    size: int
    run: int
    alone: bool = False


def range_of(table: str, account: str, key: str) -> int:
    """The range of a key, from 0 to RANGES - 1; the same in every process."""
    return blake2b("\0".join((table, account, key)).encode(), digest_size=1).digest()[0] % RANGES


def batches(ranges: Iterable[Sequence[Version]], most: int) -> list[list[Version]]:
    """The next batches of waiting versions. A range, and so a key, is in one batch at most.

    ranges: the versions of each range of which nothing is under way, by number; no range is empty.
    most: the most versions in a batch.
    """
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
    """The versions of a range that can be added to a batch; at least one if the batch is empty."""
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
