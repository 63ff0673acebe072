"""Sample runs: they take only the first records of each stream, and make only the requests that they need for that."""

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
    """Selects the records and tasks of one sample run. Used on the store's thread.

    most: how many records of each stream it takes.
    """

    def __init__(self, most: int, kinds: Mapping[str, Kind], seen: Mapping[str, int]) -> None:
        """
        kinds: the source's kinds of task.
        seen: how many records the run has taken in an earlier process, by stream.
        """
        self.most, self._kinds = most, kinds
        self._records = Counter(seen)
        self._taken: dict[str, set[str]] = {}  # keys of the records taken, by stream
        self._lists: dict[str, set[int]] = {}  # hashes of the tasks that tasks of another stream have yielded

    def cut(self, outcome: Complete, kind: str) -> Complete:
        """The part of a task's outcome that the run takes. kind: the kind of the task.

        A stream with enough records reads no next page. Of lists below records, as many are read as would be enough if
        each had one record.
        """
        if not (outcome.batches or outcome.children):
            return outcome
        batches = [cut for each in outcome.batches if (cut := self._batch(each)).count]
        here = self._stream(kind)
        children = [each for each in outcome.children if self._wanted(each, here)]
        return msgspec.structs.replace(outcome, batches=batches, children=children)

    def _batch(self, batch: Batch) -> Batch:
        """The batch with new records up to `most`, and those taken before, which pages that overlap yield again."""
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
