"""One run of a source as the frontier and a sink see it, but one task after another, and in memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.lenient_json import parsed
from crawlerd.core.outcome import Comparison, Complete
from crawlerd.core.task import PART, NewTask
from crawlerd.engine import kinds
from crawlerd.engine.attempt import begin
from crawlerd.engine.batches import UNSERIALISABLE
from crawlerd.source import MISSING_KEYS, Permanent
from crawlerd.testing.inline_worker import said

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crawlerd.source import RunPlan
    from crawlerd.testing.inline_worker import Worker

MOST_TASKS = 10_000  # of a run: a test's API is small, so more tasks mean that paging does not end
MOST_IDLE = 1_000  # tasks in a row that lead on, but to no record that is new: likewise
WORDS = {"batches": "records", "children": "tasks", "gathers": "groups", "greatest": "cursors"}

Place = tuple[str, str, str]  # part of the account, stream, key or prefix of keys
Rows = dict[Place, Any]


@dataclass(eq=False)
class Group:
    """A group.

    open: how many of its tasks and groups have not ended, and one more while it is being filled.
    """

    then: NewTask
    opener: Item
    open: int = 1


@dataclass(eq=False)
class Item:
    """A queued task.

    before: the item that requested it.
    """

    task: NewTask
    part: str
    before: Item | None
    group: Group | None

    @property
    def key(self) -> tuple[str, str]:
        return self.part, self.task.key()

    def is_its_own_ancestor(self) -> bool:
        other = self.before
        while other is not None and other.key != self.key:
            other = other.before
        return other is not None


class Crawl:
    """A run, as the frontier and a sink would see it.

    rows: what the sink has.
    killed: each task is performed twice; the output of the first time stays in the sink, and only there.
    parents: part of the account, list and hash of parents whose lists were read to the end.
    below: which rows are below which parent, as far as records say so.
    """

    def __init__(
        self,
        worker: Worker,
        plan: RunPlan,
        rows: Rows,
        parents: Iterable[tuple[str, str, str]] = (),
        *,
        below: Mapping[Place, str] | None = None,
        killed: bool = False,
    ) -> None:
        self.worker, self.rows, self.cursors = worker, rows, dict(plan.cursors)
        self.parents = set(parents)
        self.below = dict(below or {})
        self.asked: dict[str, Item] = {}  # the first task of each kind that got an answer and was completed
        self._plan, self._killed = plan, killed
        self._written: Rows = {}
        self._swept: list[Place] = []
        self._known: set[tuple[str, str]] = set()
        self._queue: deque[Item] = deque()

    def run(self) -> bool:
        """Performs the run. Returns whether it came to an end."""
        source = self.worker.source
        try:
            first = begin(source, self._plan)
        except Permanent as error:
            self.worker.problem(str(error))
            return False
        origin = Item(kinds.new_task(source, source.guard) if source.guard else NewTask("", "", 0, ""), "", None, None)
        if source.guard:
            guarded = self._perform(origin)
            if guarded is not None and not guarded.identity:
                self.worker.problem(f"{origin.task.kind}: guards the account, but yields no Identity")
        self._take(origin, first)
        idle = 0
        for _ in range(MOST_TASKS):
            if not self._queue:
                return True
            before = len(self._written)
            item = self._queue.pop() if self._killed else self._queue.popleft()
            complete = self._perform(item)
            if complete is not None:
                self._take(item, complete)
            self._leave(item.group)
            if len(self._written) > before:
                idle = 0
            elif complete is not None and (complete.children or complete.gathers):
                idle += 1
            if idle > MOST_IDLE:
                self.worker.problem(
                    f"paging does not end: nothing new for {MOST_IDLE:,} tasks, the last of {item.task.kind}"
                )
                return False
        self.worker.problem(f"paging does not end: more than {MOST_TASKS:,} tasks, the last of {item.task.kind}")
        return False

    def _perform(self, item: Item) -> Complete | None:
        outcome, requests, good = self.worker.perform(item.task, item.part)
        kind = item.task.kind
        if requests > 1:
            self.worker.problem(f"{kind}: {requests} requests in one task; yield another task for the next one")
        if not isinstance(outcome, Complete):
            self.worker.problem(f"{kind} {item.task.payload}: {said(outcome)}")
            return None
        if good:
            self.asked.setdefault(kind, item)
        for each in outcome.skipped:
            if each.reason.startswith(UNSERIALISABLE):
                self.worker.problem(f"{kind}: the record {each.key!r} of {each.stream} {each.reason}")
        self._write(item, outcome)
        if self._killed:
            again = self.worker.perform(item.task, item.part).outcome
            if outcome != again:
                what = _difference(outcome, again) if isinstance(again, Complete) else said(again)
                self.worker.problem(f"{kind} {item.task.payload}: performed twice, it is not the same: {what}")
                return None
            self._write(item, again)
        missing = [(each, self._missing(item, each)) for each in outcome.comparisons]
        children = [*outcome.children, *(each.following(keys) for each, keys in missing if keys)]
        return msgspec.structs.replace(outcome, children=children)

    def _missing(self, item: Item, comparison: Comparison) -> list[str]:
        """The keys that a sink would report as missing."""
        place = item.part, comparison.stream, comparison.prefix
        keys = (
            each[2]
            for each in self.rows.keys() - self._written.keys()
            if _covers(place, each) and (not comparison.parent or self.below.get(each) == comparison.parent)
        )
        return sorted(key for key in keys if key > comparison.after)[:MISSING_KEYS]

    def _write(self, item: Item, outcome: Complete) -> None:
        for batch in outcome.batches:
            if batch.stream not in self.worker.streams:
                self.worker.problem(f"{item.task.kind}: records of {batch.stream}, a stream that was not requested")
            parents = batch.parents or [""] * batch.count
            for key, text, parent in zip(batch.keys, batch.data, parents, strict=True):
                place = item.part, batch.stream, key
                if parent:
                    self.below[place] = parent
                if text is None:
                    self.rows.pop(place, None)
                    continue
                if place not in self._written and any(_covers(sweep, place) for sweep in self._swept):
                    self.worker.problem(f"{item.task.kind}: {batch.stream} {key} comes after the sweep of its stream")
                if self._written.setdefault(place, text) != text:
                    self.worker.problem(f"{item.task.kind}: two records of {batch.stream} have the key {key!r}")
                self.rows[place] = parsed(text)
        for stream, prefix in outcome.sweeps:
            sweep = item.part, stream, prefix
            self._swept.append(sweep)
            for place in self.rows.keys() - self._written.keys():
                if _covers(sweep, place):
                    del self.rows[place]
        for stream, parent in outcome.orphans:
            for place in [each for each in self.rows if each[:2] == (item.part, stream)]:
                if self.below.get(place) == parent:
                    del self.rows[place]

    def _take(self, item: Item, outcome: Complete) -> None:
        """What a commit does with an outcome."""
        self.cursors |= dict(outcome.cursors)
        for stream, value in outcome.greatest:
            self.cursors[stream] = max(self.cursors.get(stream, ""), value)
        for of, parent, whole in outcome.parents:
            (self.parents.add if whole else self.parents.discard)((item.part, of, parent))
        for child in outcome.children:
            self._add(child, item, item.group)
        for gather in outcome.gathers:
            group = Group(gather.then, item)
            if item.group is not None:
                item.group.open += 1
            for child in gather.tasks:
                self._add(child, item, group)
            self._leave(group)

    def _add(self, task: NewTask, before: Item, group: Group | None, *, always: bool = False) -> None:
        part = task.account.removeprefix(PART) if task.account else before.part
        keys = {(part, form.key()) for form in task.forms()}
        if task.if_new and (part, task.if_new.list, task.if_new.parent) not in self.parents:
            task = task.if_new.task
        item = Item(task, part, before, group)
        if not keys.isdisjoint(self._known):
            if task.unique and not task.sequential and not always:
                return
            if (task.sequential and not always) or item.is_its_own_ancestor():
                self.worker.problem(f"{task.kind}: paging returns to an earlier page: {task.payload}")
                return
        self._known |= keys
        if group is not None:
            group.open += 1
        self._queue.append(item)

    def _leave(self, group: Group | None) -> None:
        """Something in the group has ended; when it was the last, the group ends."""
        while group is not None:
            group.open -= 1
            if group.open:
                return
            outer = group.opener.group
            self._add(group.then, group.opener, outer, always=True)
            group = outer


def _covers(sweep: Place, place: Place) -> bool:
    return place[:2] == sweep[:2] and place[2].startswith(sweep[2])


def _difference(one: Complete, other: Complete) -> str:
    names = (name for name in one.__struct_fields__ if getattr(one, name) != getattr(other, name))
    return "other " + " and ".join(WORDS.get(name, name) for name in names)
