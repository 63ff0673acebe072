"""A run that is a sample: it takes the first records of each stream, and asks for no more than it needs for them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.core.outcome import Batch, Complete
    from crawlerd.core.task import NewTask
    from crawlerd.source import Kind


class Sample:
    """Of one run; used on the store's thread.

    most: records of each stream.
    """

    def __init__(self, most: int, kinds: Mapping[str, Kind], seen: Mapping[str, int]) -> None:
        """kinds: of its source. seen: records of an earlier process, by stream."""
        self.most, self._kinds = most, kinds
        self._records = Counter(seen)
        self._taken: dict[str, set[str]] = {}  # keys, by stream
        self._lists: dict[str, set[int]] = {}  # tasks that were asked for by those of another stream, hashed

    def cut(self, outcome: Complete, kind: str) -> Complete:
        """What the run takes of a task's outcome. kind: of the task.

        No next page of a stream that has enough; of the lists below records, as many as would do with a record each.
        """
        if not (outcome.batches or outcome.children):
            return outcome
        batches = [cut for each in outcome.batches if (cut := self._batch(each)).count]
        here = self._stream(kind)
        children = [each for each in outcome.children if self._wanted(each, here)]
        return msgspec.structs.replace(outcome, batches=batches, children=children)

    def _batch(self, batch: Batch) -> Batch:
        """Its records that were taken before, as pages that overlap have them, and new ones up to the number."""
        taken = self._taken.setdefault(batch.stream, set())
        places = []
        for place, key in enumerate(batch.keys):
            if key not in taken:
                if self._records[batch.stream] >= self.most:
                    continue
                self._records[batch.stream] += 1
                taken.add(key)
            places.append(place)
        if len(places) == batch.count:
            return batch
        data = [batch.data[place] for place in places]
        deep = {*batch.deep}
        return msgspec.structs.replace(
            batch,
            count=len(places),
            keys=[batch.keys[place] for place in places],
            data=data,
            deep=[new for new, place in enumerate(places) if place in deep],
            size=sum(len(each) for each in data if each),
            parents=[batch.parents[place] for place in places] if batch.parents else [],
        )

    def _wanted(self, task: NewTask, here: str) -> bool:
        stream = self._stream(task.kind)
        if self._records[stream] >= self.most:
            return False
        lists = self._lists.setdefault(stream, set())
        if stream != here and len(lists) < self.most:
            lists.add(hash((task.account, task.kind, task.payload)))
        return stream == here or hash((task.account, task.kind, task.payload)) in lists

    def _stream(self, kind: str) -> str:
        found = self._kinds.get(kind)
        return found.stream if found else ""
