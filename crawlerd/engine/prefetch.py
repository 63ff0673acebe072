"""What of the frontier is in memory: the buckets that are awake, and the tasks of theirs that the dispatcher has."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING

from crawlerd.core.outcome import Pause
from crawlerd.frontier.contract import FIRST, Wanted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from crawlerd.core.task import Task
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.protocols import HeadsReceiver
    from crawlerd.engine.store_inbox import Sleep
    from crawlerd.frontier.contract import Bucket, Committed, Frontier, Settled

AWAKE_BUCKETS = 4_096  # in memory; beyond these, others stay on disk until those that are awake do not fill the workers
PUSHED_HEADS = 4  # sent along, unasked, when tasks arrive in a bucket that had none or that are more urgent
LEAST_READ = 16  # rows read at once, at least: some may be in memory already
HELD_MOST = 4_096  # tasks of a bucket in memory beyond which nothing is sent unasked
ALL = (-1.0, 0)  # all sleeping buckets have a greater (blocked_until, id)


class Awake:
    """What is in memory of a bucket that is awake.

    held: the tasks that the dispatcher was given, as far as they are not done.
    cursor: tasks after it have not been read. Tasks up to it are held, done, or skipped, since their run is not served.
    dry: the dispatcher was told that there is no more.
    skipped: there are tasks up to the cursor that were skipped.
    """

    __slots__ = ("bucket", "cursor", "dry", "held", "skipped")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.held: set[int] = set()
        self.cursor = FIRST
        self.dry = True
        self.skipped = False


class Prefetch:
    """Used by the store's thread alone.

    serving: runs of which tasks may be given out, kept by its owner.
    drowsy: buckets that need not be awake, until `let_sleep`.
    unblocked_at: when the next blocked bucket may be leased from; monotonic.
    """

    def __init__(self, frontier: Frontier, clock: Clock, serving: Collection[int], dispatcher: HeadsReceiver) -> None:
        self._frontier, self._clock, self._serving, self._dispatcher = frontier, clock, serving, dispatcher
        self._awake: dict[int, Awake] = {}
        self._by_account: Counter[int] = Counter()  # how many are awake
        self._round = ALL  # how far the present round of waking sleeping buckets has come
        self._woken = 0  # in that round
        self.drowsy: list[Sleep] = []
        self.unblocked_at = math.inf

    def arrived(self, committed: Committed) -> None:
        """Tells the dispatcher of buckets that got ready tasks."""
        unknown = [number for number in committed.arrived if number not in self._awake]
        for bucket in self._frontier.buckets(unknown) if unknown else ():
            self._admit(bucket)
        pushed: list[tuple[Awake, int]] = []
        for number, first in committed.arrived.items():
            awake = self._awake.get(number)
            if awake is None:
                continue
            urgent = first <= awake.cursor
            if urgent:
                awake.cursor = (first[0], first[1] - 1)
            if len(awake.held) >= HELD_MOST:
                if awake.dry:  # it asks for them when it wants them
                    awake.dry = False
                    self._dispatcher.heads(awake.bucket, [], more=True)
            elif awake.dry and not urgent and number in committed.fresh:
                self._hand_on(awake, committed.fresh[number])
            elif awake.dry or urgent:
                pushed.append((awake, PUSHED_HEADS))
        self._send(pushed)

    def offer(self, account: int | None) -> None:
        """Tells the dispatcher of the account's (or all) buckets that have ready tasks, when more runs are served."""
        for bucket in self._frontier.ready_buckets(account):
            awake = self._awake.get(bucket.id) or self._admit(bucket)
            if awake is None:
                continue
            if awake.skipped:
                awake.cursor, awake.skipped = FIRST, False
            awake.dry = False
            self._dispatcher.heads(bucket, [], more=True)

    def done(self, group: Iterable[Settled]) -> set[int]:
        """The group is committed. Returns its buckets, for `drop_empty`."""
        touched = set()
        for settled in group:
            if type(settled.outcome) is not Pause:  # that is still with the dispatcher
                task = settled.task
                touched.add(task.bucket)
                self._awake[task.bucket].held.discard(task.seq)
        return touched

    def drop_empty(self, numbers: Iterable[int]) -> None:
        """Drops those of the buckets that have nothing more."""
        for number in numbers:
            awake = self._awake.get(number)
            if awake is not None and awake.dry and not awake.held:
                self._drop(number, awake)

    def withdrawn(self, tasks: Iterable[Task]) -> None:
        """Tasks that the dispatcher has not leased and does not hold any more, since their runs are not served."""
        for task in tasks:
            if awake := self._awake.get(task.bucket):
                awake.held.discard(task.seq)
                awake.skipped = True

    def refill(self, wanted: Mapping[int, int]) -> None:
        """Sends the dispatcher more tasks of buckets. wanted: how many, by bucket."""
        unknown = [number for number in wanted if number not in self._awake]
        for bucket in self._frontier.buckets(unknown) if unknown else ():
            self._rouse(bucket)
        self._send([(self._awake[number], count) for number, count in wanted.items()])

    def wake(self, count: int) -> None:
        """Wakes the next of the sleeping buckets. When a round through all of them has found nothing, it waits for the
        first of the blocked ones."""
        buckets = self._frontier.sleeping_buckets(self._round, self._clock.now(), count)
        roused = [self._rouse(bucket) for bucket in buckets if bucket.id not in self._awake]
        self._send([(awake, PUSHED_HEADS) for awake in roused])
        for awake in roused:
            if awake.held:
                self._woken += 1
            else:  # its runs are not served
                self._drop(awake.bucket.id, awake)
        if len(buckets) == count:
            self._round = buckets[-1].blocked_until, buckets[-1].id
        else:
            self._dispatcher.sleeping = self._woken > 0
            self._round, self._woken = ALL, 0
            until = self._frontier.next_unblocked(self._clock.now())
            self.unblocked_at = math.inf if until is None else self._clock.monotonic(until)
        self._dispatcher.woken()

    def wake_unblocked(self) -> None:
        """Tells the dispatcher when a blocked bucket that sleeps may be leased from."""
        if self.unblocked_at <= time.monotonic():
            self._dispatcher.sleeping, self.unblocked_at = True, math.inf
            self._dispatcher.woken()

    def let_sleep(self) -> dict[int, float]:
        """Call after a commit, so that whatever was settled before is gone. A bucket of which more is in memory than
        the dispatcher said stays awake. Returns until when, in Unix seconds, those that fell asleep are blocked."""
        blocked: dict[int, float] = {}
        drowsy, self.drowsy = self.drowsy, []
        buckets = self._frontier.buckets([each.bucket for each in drowsy]) if drowsy else []
        for bucket, sleep in zip(buckets, drowsy, strict=True):
            awake = self._awake.get(bucket.id)
            agreed = awake is not None and awake.held.issubset(sleep.heads)
            if awake is not None and agreed:
                self._drop(bucket.id, awake)
                if sleep.until is None:
                    self._dispatcher.sleeping = True
                else:
                    blocked[bucket.id] = sleep.until
                    self.unblocked_at = min(self.unblocked_at, self._clock.monotonic(sleep.until))
            self._dispatcher.asleep(bucket, agreed=agreed)
        return blocked

    def _admit(self, bucket: Bucket) -> Awake | None:
        """Wakes a bucket that is not awake, unless many others are, and none of its account."""
        if len(self._awake) >= AWAKE_BUCKETS and bucket.account not in self._by_account:
            self._dispatcher.sleeping = True
            return None
        return self._rouse(bucket)

    def _rouse(self, bucket: Bucket) -> Awake:
        self._by_account[bucket.account] += 1
        awake = self._awake[bucket.id] = Awake(bucket)
        return awake

    def _drop(self, number: int, awake: Awake) -> None:
        del self._awake[number]
        account = awake.bucket.account
        self._by_account[account] -= 1
        if not self._by_account[account]:
            del self._by_account[account]

    def _hand_on(self, awake: Awake, tasks: Sequence[Task]) -> None:
        """All that is after the cursor: a chain's next page costs no read."""
        served = [task for task in tasks if task.run in self._serving]
        awake.skipped |= len(served) < len(tasks)
        awake.cursor = (tasks[-1].priority, tasks[-1].seq)
        awake.held.update([task.seq for task in served])
        self._dispatcher.heads(awake.bucket, served, more=False)

    def _send(self, wanted: Sequence[tuple[Awake, int]]) -> None:
        """Sends the dispatcher up to so many tasks of each bucket. Those that are not served do not count, so some
        buckets may have to be read on."""
        found: list[list[Task]] = [[] for _ in wanted]
        for awake, _ in wanted:
            awake.dry = False
        going_on = [(awake, count, tasks) for (awake, count), tasks in zip(wanted, found, strict=True)]
        while going_on:
            asked = [Wanted(awake.bucket.id, awake.cursor, max(count, LEAST_READ)) for awake, count, _ in going_on]
            read = self._frontier.heads_many(asked) if len(asked) > 1 else [self._frontier.heads(*asked[0])]
            for (awake, count, tasks), rows in zip(going_on, read, strict=True):
                self._sift(awake, count, tasks, rows)
            going_on = [each for each in going_on if len(each[2]) < each[1] and not each[0].dry]
        for (awake, _), tasks in zip(wanted, found, strict=True):
            awake.held.update([task.seq for task in tasks])
            self._dispatcher.heads(awake.bucket, tasks, more=not awake.dry)

    def _sift(self, awake: Awake, count: int, tasks: list[Task], rows: list[Task]) -> None:
        """Of rows that were read, adds to `tasks` what may be given out, up to `count` in all."""
        awake.dry = len(rows) < max(count, LEAST_READ)
        served = [task for task in rows if task.run in self._serving]
        awake.skipped |= len(served) < len(rows)
        tasks += [task for task in served if task.seq not in awake.held]
        last = rows[-1] if rows else None
        if len(tasks) > count:
            del tasks[count:]
            awake.dry, last = False, tasks[-1]
        if last is not None:
            awake.cursor = (last.priority, last.seq)
