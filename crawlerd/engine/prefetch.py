"""Which parts of the frontier are in memory: the buckets that are awake, and those of their tasks that the dispatcher
has."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING

from crawlerd.core.outcome import Pause
from crawlerd.frontier.waiting_contract import FIRST, Wanted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from crawlerd.core.task import Task
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.protocols import HeadsReceiver
    from crawlerd.engine.store_inbox import Sleep
    from crawlerd.frontier.contract import Committed, Frontier, Settled
    from crawlerd.frontier.waiting_contract import Block, Bucket, Queue

AWAKE_BUCKETS = 4_096  # in memory; when there are more, the others stay on disk until workers have nothing to do
PUSHED_HEADS = 4  # tasks sent to the dispatcher unasked, when its queue was empty or they are more urgent
LEAST_READ = 16  # fewest rows to read at once: some may be in memory already
HELD_MOST = 4_096  # when more tasks of a queue are in memory, none is sent unasked
ALL = (-1.0, 0)  # less than the (blocked_until, id) of every bucket


class Held:
    """The part of a queue that is in memory.

    tasks: the tasks that the dispatcher has got and that are not done.
    cursor: the key of the last task that was read. Tasks up to it are in `tasks`, or done, or were dead letters when
    it passed them.
    dry: whether the dispatcher was told that there are no more tasks.
    """

    __slots__ = ("bucket", "cursor", "dry", "run", "tasks")

    def __init__(self, bucket: Bucket, run: int) -> None:
        self.bucket, self.run = bucket, run
        self.tasks: set[int] = set()
        self.cursor = FIRST
        self.dry = True


class Awake:
    """A bucket that is awake, with the parts of its queues that are in memory, by run."""

    __slots__ = ("bucket", "queues")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.queues: dict[int, Held] = {}

    def queue(self, run: int) -> Held:
        """The run's, made at the first call."""
        held = self.queues.get(run)
        if held is None:
            held = self.queues[run] = Held(self.bucket, run)
        return held

    def tasks(self) -> Iterator[int]:
        """The numbers of all its tasks that the dispatcher has."""
        return (seq for held in self.queues.values() for seq in held.tasks)


class Prefetch:
    """Decides which buckets are in memory, and reads their tasks ahead. Used by the store's thread alone.

    serving: runs whose tasks may be leased. Its owner changes it, and withdraws the tasks of runs that leave it.
    drowsy: buckets that may leave memory at the next `let_sleep`.
    unblocked_at: when the next blocked bucket may be leased from; monotonic seconds.
    """

    def __init__(self, frontier: Frontier, clock: Clock, serving: Collection[int], dispatcher: HeadsReceiver) -> None:
        self._frontier, self._clock, self._serving, self._dispatcher = frontier, clock, serving, dispatcher
        self._awake: dict[int, Awake] = {}
        self._by_account: Counter[int] = Counter()  # how many buckets of each account are awake
        self._round = ALL  # the last bucket that the present round through all sleeping buckets has reached
        self._woken = 0  # buckets woken in this round
        self.drowsy: list[Sleep] = []
        self.unblocked_at = math.inf

    def arrived(self, committed: Committed) -> None:
        """Tells the dispatcher of queues that got ready tasks."""
        served = [(queue, first) for queue, first in committed.arrived.items() if queue[1] in self._serving]
        unknown = list(dict.fromkeys(number for (number, _), _ in served if number not in self._awake))
        for bucket in self._frontier.buckets(unknown) if unknown else ():
            self._admit(bucket)
        pushed: list[tuple[Held, int]] = []
        for queue, first in served:
            awake = self._awake.get(queue[0])
            if awake is None:
                continue
            known = queue[1] in awake.queues  # an unknown queue may have earlier tasks that were not read
            held = awake.queue(queue[1])
            urgent = first <= held.cursor
            if urgent:
                held.cursor = (first[0], first[1] - 1)
            if len(held.tasks) >= HELD_MOST:
                if held.dry:  # otherwise the dispatcher asks for them when it wants them
                    held.dry = False
                    self._dispatcher.heads(held.bucket, held.run, [], more=True)
            elif known and held.dry and not urgent and queue in committed.fresh:
                self._hand_on(held, committed.fresh[queue])
            elif held.dry or urgent:
                pushed.append((held, PUSHED_HEADS))
        self._send(pushed)

    def offer(self, account: int | None) -> None:
        """Sends the dispatcher the queues with ready tasks of an account, or of all. Call when runs join `serving`."""
        self._offer(self._frontier.ready_queues(account))

    def _offer(self, queues: Iterable[tuple[Bucket, int]]) -> None:
        for bucket, run in queues:
            if run not in self._serving:
                continue
            awake = self._awake.get(bucket.id) or self._admit(bucket)
            if awake is not None:
                held = awake.queue(run)
                held.cursor, held.dry = FIRST, False  # dead letters that are ready again may be before the cursor
                self._dispatcher.heads(bucket, run, [], more=True)

    def offer_runs(self, runs: Sequence[int]) -> None:
        """Sends the dispatcher the queues with ready tasks of these runs."""
        self._offer(self._frontier.queues_of(runs))

    def look_again(self) -> None:
        """Call when buckets on disk may be leased from again: begins a new round through them."""
        self._dispatcher.sleeping = True
        self._dispatcher.woken()

    def done(self, group: Iterable[Settled]) -> set[Queue]:
        """The group is committed. Returns its queues, for `drop_empty`."""
        touched = set()
        bucket = run = -1
        for settled in group:
            if type(settled.outcome) is not Pause:  # the dispatcher still has a paused task
                task = settled.task
                if task.run != run or task.bucket != bucket:  # most tasks are of the same queue as the one before
                    bucket, run = task.bucket, task.run
                    touched.add((bucket, run))
                    tasks = self._awake[bucket].queues[run].tasks
                tasks.discard(task.seq)
        return touched

    def drop_empty(self, queues: Iterable[Queue]) -> None:
        """Drops queues that have no more tasks, or whose tasks may not be leased any more."""
        for number, run in queues:
            awake = self._awake.get(number)
            held = awake.queues.get(run) if awake else None
            if awake and held and not held.tasks and (held.dry or run not in self._serving):
                del awake.queues[run]
                if not awake.queues:
                    self._drop(number, awake)

    def withdrawn(self, tasks: Iterable[Task]) -> None:
        """The dispatcher has dropped these tasks without leasing them, since their runs have left `serving`."""
        for task in tasks:
            awake = self._awake.get(task.bucket)
            held = awake.queues.get(task.run) if awake else None
            if held is not None:
                held.tasks.discard(task.seq)
                held.cursor, held.dry = FIRST, False
        self.drop_empty({(task.bucket, task.run) for task in tasks})

    def refill(self, wanted: Mapping[Queue, int]) -> None:
        """Sends the dispatcher more tasks of queues. wanted: how many of each queue."""
        served = {queue: count for queue, count in wanted.items() if queue[1] in self._serving}
        unknown = list(dict.fromkeys(number for number, _ in served if number not in self._awake))
        for bucket in self._frontier.buckets(unknown) if unknown else ():
            self._rouse(bucket)
        self._send([(self._awake[number].queue(run), count) for (number, run), count in served.items()])

    def wake(self, count: int) -> None:
        """Wakes the next `count` sleeping buckets. After a round through all of them that has woken none, waits until
        the first blocked bucket may be leased from."""
        buckets = self._frontier.sleeping_buckets(self._round, self._clock.now(), count)
        asleep = [bucket for bucket in buckets if bucket.id not in self._awake]
        pushed: list[tuple[Held, int]] = []
        for bucket, runs in zip(asleep, self._frontier.runs_of([bucket.id for bucket in asleep]), strict=True):
            if served := [run for run in runs if run in self._serving]:
                awake = self._rouse(bucket)
                pushed += [(awake.queue(run), PUSHED_HEADS) for run in served]
                self._woken += 1
        self._send(pushed)
        if len(buckets) == count:
            self._round = buckets[-1].blocked_until, buckets[-1].id
        else:
            self._dispatcher.sleeping = self._woken > 0
            self._round, self._woken = ALL, 0
            until = self._frontier.next_unblocked(self._clock.now())
            self.unblocked_at = math.inf if until is None else self._clock.monotonic(until)
        self._dispatcher.woken()

    def wake_unblocked(self) -> None:
        """Tells the dispatcher that a blocked bucket on disk may be leased from, once that time has come."""
        if self.unblocked_at <= time.monotonic():
            self.unblocked_at = math.inf
            self.look_again()

    def awake_of(self, accounts: Collection[int]) -> list[tuple[int, int]]:
        """The (bucket, account) pairs of these accounts' buckets that are awake."""
        return [
            (number, each.bucket.account) for number, each in self._awake.items() if each.bucket.account in accounts
        ]

    def let_sleep(self) -> dict[int, Block]:
        """Lets the drowsy buckets leave memory. Call it after a commit, when settled tasks are gone. A bucket stays
        awake if more of its tasks are in memory than the dispatcher said. Returns the blocks of those that have left.
        """
        blocked: dict[int, Block] = {}
        drowsy, self.drowsy = self.drowsy, []
        buckets = self._frontier.buckets([each.bucket for each in drowsy]) if drowsy else []
        for bucket, sleep in zip(buckets, drowsy, strict=True):
            awake = self._awake.get(bucket.id)
            agreed = awake is not None and set(sleep.heads).issuperset(awake.tasks())
            if awake is not None and agreed:
                self._drop(bucket.id, awake)
                if sleep.block is None:
                    self._dispatcher.sleeping = True
                else:
                    blocked[bucket.id] = sleep.block
                    self.unblocked_at = min(self.unblocked_at, self._clock.monotonic(sleep.block.until))
            self._dispatcher.asleep(bucket, agreed=agreed)
        return blocked

    def _admit(self, bucket: Bucket) -> Awake | None:
        """Wakes a bucket. Leaves it on disk, and returns None, when AWAKE_BUCKETS are awake but none of its account."""
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

    def _hand_on(self, held: Held, tasks: Sequence[Task]) -> None:
        """Sends the dispatcher tasks that are known to be all after the cursor: the next page of a chain is not read
        from the disk."""
        held.cursor = (tasks[-1].priority, tasks[-1].seq)
        held.tasks.update([task.seq for task in tasks])
        self._dispatcher.heads(held.bucket, held.run, tasks, more=False)

    def _send(self, wanted: Sequence[tuple[Held, int]]) -> None:
        """Sends the dispatcher up to this number of tasks of each queue. Tasks that it has do not count, so some queues
        are read several times."""
        found: list[list[Task]] = [[] for _ in wanted]
        for held, _ in wanted:
            held.dry = False
        going_on = [(held, count, tasks) for (held, count), tasks in zip(wanted, found, strict=True)]
        while going_on:
            asked = [
                Wanted((held.bucket.id, held.run), held.cursor, max(count, LEAST_READ)) for held, count, _ in going_on
            ]
            read = self._frontier.heads_many(asked) if len(asked) > 1 else [self._frontier.heads(*asked[0])]
            for (held, count, tasks), rows in zip(going_on, read, strict=True):
                self._sift(held, count, tasks, rows)
            going_on = [each for each in going_on if len(each[2]) < each[1] and not each[0].dry]
        for (held, _), tasks in zip(wanted, found, strict=True):
            held.tasks.update([task.seq for task in tasks])
            self._dispatcher.heads(held.bucket, held.run, tasks, more=not held.dry)

    def _sift(self, held: Held, count: int, tasks: list[Task], rows: list[Task]) -> None:
        """Adds to `tasks` those of the rows that the dispatcher does not have, up to `count` in all."""
        held.dry = len(rows) < max(count, LEAST_READ)
        tasks += [task for task in rows if task.seq not in held.tasks]
        last = rows[-1] if rows else None
        if len(tasks) > count:
            del tasks[count:]
            held.dry, last = False, tasks[-1]
        if last is not None:
            held.cursor = (last.priority, last.seq)
