"""What of the frontier is in memory: the buckets that are awake, and the tasks of theirs that the dispatcher has."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from crawlerd.core.outcome import Defer, Pause
from crawlerd.frontier.contract import FIRST, Wanted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from crawlerd.core.task import Task
    from crawlerd.engine.clock import Clock
    from crawlerd.frontier.contract import Bucket, Committed, Frontier, Settled

AWAKE_BUCKETS = 4_096  # in memory; beyond these, others stay on disk until those that are awake do not fill the workers
PUSHED_HEADS = 4  # sent along, unasked, when tasks arrive in a bucket that had none or that are more urgent
LEAST_READ = 16  # rows read at once, at least: some may be in memory already
HELD_MOST = 4_096  # tasks of a bucket in memory beyond which nothing is sent unasked
ALL = (-1.0, 0)  # behind which (blocked_until, id) all sleeping buckets are


class Sleep(NamedTuple):
    """A bucket that need not be in memory; see `Store.sleep`."""

    bucket: int
    heads: list[int]
    until: float | None


class HeadsReceiver(Protocol):
    """The dispatcher, as the shelves see it. All methods may be called from another thread."""

    def heads(self, bucket: Bucket, tasks: Sequence[Task], *, more: bool) -> None: ...
    def asleep(self, bucket: Bucket, *, agreed: bool) -> None: ...
    def woken(self) -> None: ...


class Shelf:
    """What is in memory of a bucket that is awake. held: the tasks given to the dispatcher and not settled. cursor:
    behind it, all is on disk only; up to it, what is not held is gone, or was skipped, because its run is not served.
    dry: the dispatcher was told that there is no more."""

    __slots__ = ("bucket", "cursor", "dry", "held", "skipped")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.held: set[int] = set()
        self.cursor = FIRST
        self.dry = True
        self.skipped = False


class Shelves:
    """Used by the store's thread alone; `sleeping` may be read by any.

    serving: runs of which tasks may be given out, kept by its owner. sleeping: there may be buckets that are not awake
    and could be leased from. opens_at: when the next blocked bucket may be leased from, in monotonic seconds. drowsy:
    buckets that need not be awake, until `let_sleep`.
    """

    def __init__(self, frontier: Frontier, clock: Clock, serving: Collection[int]) -> None:
        self._frontier, self._clock, self._serving = frontier, clock, serving
        self._shelves: dict[int, Shelf] = {}
        self._awake: Counter[int] = Counter()  # buckets, by account
        self._round = ALL  # how far the present round of waking sleeping buckets has come
        self._woken = 0  # in that round
        self.dispatcher: HeadsReceiver
        self.drowsy: list[Sleep] = []
        self.opens_at = math.inf
        self.sleeping = False

    def arrived(self, committed: Committed) -> None:
        """Tells the dispatcher of buckets that got ready tasks."""
        unknown = [number for number in committed.arrived if number not in self._shelves]
        for bucket in self._frontier.buckets(unknown) if unknown else ():
            self._admit(bucket)
        pushed: list[tuple[Shelf, int]] = []
        for number, first in committed.arrived.items():
            shelf = self._shelves.get(number)
            if shelf is None:
                continue
            urgent = first <= shelf.cursor
            if urgent:
                shelf.cursor = (first[0], first[1] - 1)
            if len(shelf.held) >= HELD_MOST:
                if shelf.dry:  # it asks for them when it wants them
                    shelf.dry = False
                    self.dispatcher.heads(shelf.bucket, [], more=True)
            elif shelf.dry and not urgent and number in committed.fresh:
                self._hand_on(shelf, committed.fresh[number])
            elif shelf.dry or urgent:
                pushed.append((shelf, PUSHED_HEADS))
        self._send(pushed)

    def offer(self, account: int | None) -> None:
        """Tells the dispatcher of the account's (or all) buckets that have ready tasks, when more runs are served."""
        for bucket in self._frontier.ready_buckets(account):
            shelf = self._shelves.get(bucket.id) or self._admit(bucket)
            if shelf is None:
                continue
            if shelf.skipped:
                shelf.cursor, shelf.skipped = FIRST, False
            shelf.dry = False
            self.dispatcher.heads(bucket, [], more=True)

    def settled(self, group: Iterable[Settled]) -> set[int]:
        """The group is committed. Returns its buckets, for `clear`."""
        touched = set()
        for settled in group:
            if type(settled.outcome) not in (Defer, Pause):  # those are still in the dispatcher's hands
                task = settled.task
                touched.add(task.bucket)
                self._shelves[task.bucket].held.discard(task.seq)
        return touched

    def clear(self, numbers: Iterable[int]) -> None:
        """Forgets those of the buckets that have nothing more."""
        for number in numbers:
            shelf = self._shelves.get(number)
            if shelf is not None and shelf.dry and not shelf.held:
                self._forget(number, shelf)

    def take_back(self, tasks: Iterable[Task]) -> None:
        """Tasks that the dispatcher has given back unleased, since their runs are not served."""
        for task in tasks:
            if shelf := self._shelves.get(task.bucket):
                shelf.held.discard(task.seq)
                shelf.skipped = True

    def refill(self, wanted: Mapping[int, int]) -> None:
        """Sends the dispatcher more tasks of buckets. wanted: how many, by bucket."""
        unknown = [number for number in wanted if number not in self._shelves]
        for bucket in self._frontier.buckets(unknown) if unknown else ():
            self._rouse(bucket)
        self._send([(self._shelves[number], count) for number, count in wanted.items()])

    def wake(self, count: int) -> None:
        """Wakes the next of the sleeping buckets. When a round through all of them has found nothing, it waits for the
        first of the blocked ones."""
        buckets = self._frontier.sleeping_buckets(self._round, self._clock.now(), count)
        roused = [self._rouse(bucket) for bucket in buckets if bucket.id not in self._shelves]
        self._send([(shelf, PUSHED_HEADS) for shelf in roused])
        for shelf in roused:
            if shelf.held:
                self._woken += 1
            else:  # its runs are not served
                self._forget(shelf.bucket.id, shelf)
        if len(buckets) == count:
            self._round = buckets[-1].blocked_until, buckets[-1].id
        else:
            self.sleeping = self._woken > 0
            self._round, self._woken = ALL, 0
            until = self._frontier.next_unblocked(self._clock.now())
            self.opens_at = math.inf if until is None else self._clock.monotonic(until)
        self.dispatcher.woken()

    def open(self) -> None:
        """Tells the dispatcher when a blocked bucket that sleeps may be leased from."""
        if self.opens_at <= time.monotonic():
            self.sleeping, self.opens_at = True, math.inf
            self.dispatcher.woken()

    def let_sleep(self) -> dict[int, float]:
        """Call behind a commit, so that whatever was settled before is gone. A bucket of which more is in memory than
        the dispatcher said stays awake. Returns until when, in Unix seconds, those that fell asleep are blocked."""
        blocked: dict[int, float] = {}
        drowsy, self.drowsy = self.drowsy, []
        buckets = self._frontier.buckets([each.bucket for each in drowsy]) if drowsy else []
        for bucket, (number, heads, until) in zip(buckets, drowsy, strict=True):
            shelf = self._shelves.get(number)
            agreed = shelf is not None and shelf.held.issubset(heads)
            if shelf is not None and agreed:
                self._forget(number, shelf)
                if until is None:
                    self.sleeping = True
                else:
                    blocked[number] = until
                    self.opens_at = min(self.opens_at, self._clock.monotonic(until))
            self.dispatcher.asleep(bucket, agreed=agreed)
        return blocked

    def _admit(self, bucket: Bucket) -> Shelf | None:
        """Wakes a bucket that is not awake, unless many others are, and none of its account."""
        if len(self._shelves) >= AWAKE_BUCKETS and bucket.account not in self._awake:
            self.sleeping = True
            return None
        return self._rouse(bucket)

    def _rouse(self, bucket: Bucket) -> Shelf:
        self._awake[bucket.account] += 1
        shelf = self._shelves[bucket.id] = Shelf(bucket)
        return shelf

    def _forget(self, number: int, shelf: Shelf) -> None:
        del self._shelves[number]
        account = shelf.bucket.account
        self._awake[account] -= 1
        if not self._awake[account]:
            del self._awake[account]

    def _hand_on(self, shelf: Shelf, tasks: Sequence[Task]) -> None:
        """All that is behind the cursor: a chain's next page costs no read."""
        served = [task for task in tasks if task.run in self._serving]
        shelf.skipped |= len(served) < len(tasks)
        shelf.cursor = (tasks[-1].priority, tasks[-1].seq)
        shelf.held.update([task.seq for task in served])
        self.dispatcher.heads(shelf.bucket, served, more=False)

    def _send(self, wanted: Sequence[tuple[Shelf, int]]) -> None:
        """Sends the dispatcher up to so many tasks of each shelf's bucket. Those that are not served do not count, so
        some buckets may have to be read on."""
        found: list[list[Task]] = [[] for _ in wanted]
        for shelf, _ in wanted:
            shelf.dry = False
        going_on = [(shelf, count, tasks) for (shelf, count), tasks in zip(wanted, found, strict=True)]
        while going_on:
            asked = [Wanted(shelf.bucket.id, shelf.cursor, max(count, LEAST_READ)) for shelf, count, _ in going_on]
            read = self._frontier.heads_many(asked) if len(asked) > 1 else [self._frontier.heads(*asked[0])]
            for (shelf, count, tasks), rows in zip(going_on, read, strict=True):
                self._take(shelf, count, tasks, rows)
            going_on = [each for each in going_on if len(each[2]) < each[1] and not each[0].dry]
        for (shelf, _), tasks in zip(wanted, found, strict=True):
            shelf.held.update([task.seq for task in tasks])
            self.dispatcher.heads(shelf.bucket, tasks, more=not shelf.dry)

    def _take(self, shelf: Shelf, count: int, tasks: list[Task], rows: list[Task]) -> None:
        """Of rows that were read, adds to `tasks` what may be given out, up to `count` in all."""
        shelf.dry = len(rows) < max(count, LEAST_READ)
        served = [task for task in rows if task.run in self._serving]
        shelf.skipped |= len(served) < len(rows)
        tasks += [task for task in served if task.seq not in shelf.held]
        last = rows[-1] if rows else None
        if len(tasks) > count:
            del tasks[count:]
            shelf.dry, last = False, tasks[-1]
        if last is not None:
            shelf.cursor = (last.priority, last.seq)
