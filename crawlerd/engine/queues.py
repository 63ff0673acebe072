"""Accounts and buckets in memory: their first ready tasks, their limits, and counts of their picked tasks."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.task import Task
from crawlerd.engine.attempt_counts import SourceCounts
from crawlerd.engine.checks import Guard, Question
from crawlerd.engine.permitting import Permit
from crawlerd.engine.run_queue import RunQueue
from crawlerd.ratelimit.limiter import Limiter, parse_limits
from crawlerd.ratelimit.outage import Origin, Outage
from crawlerd.ratelimit.refusals import Others

if TYPE_CHECKING:
    from concurrent.futures import Future

    from crawlerd.core.configuration import LimitSpec
    from crawlerd.core.outcome import Outcome
    from crawlerd.core.pauses import PauseNote, Pauses
    from crawlerd.engine.refused import Doubt, Suspect
    from crawlerd.ratelimit.outage import Health
    from crawlerd.ratelimit.shared import Keys, SharedWindow

# Seconds by which a request with a slow answer may have reached the server late: at an API whose answers take unequally
# long, and at any other.
LATE_ARRIVAL, LATEST_ARRIVAL = 0.025, 0.250
UNEVEN = 0.3  # share of slow answers above which an API is taken to answer unevenly by itself


class BucketQueue:
    """A bucket's limits, and the queues of the runs that have tasks in it.

    queues: the queues, by run.
    hungry: queues that lack heads although the frontier has more.
    out: how many of its tasks were picked and are not finished.
    served: the number of the last pick from it.
    others: how often it refuses tasks that it has not refused before.
    doubts: refused tasks, while it is not known whether others pass.
    suspects: tasks that were refused and not charged, by their numbers.
    passed_at: when the latest request with a good answer was sent; monotonic seconds.
    latency: seconds that its quickest requests take, 0 before the first.
    health: the health of its account at the origin of its last request.
    since: when it came into memory; monotonic seconds.
    held: the pause that a person has set for it.
    resting: none of its tasks starts, because it may leave memory.
    leaving: the store was asked whether it may leave memory.
    """

    __slots__ = (
        "_order",
        "account",
        "doubts",
        "health",
        "held",
        "hungry",
        "id",
        "keys",
        "latency",
        "leaving",
        "limiter",
        "name",
        "others",
        "out",
        "passed_at",
        "queues",
        "resting",
        "served",
        "shared",
        "since",
        "suspects",
    )

    def __init__(self, number: int, name: str, account: AccountQueue, limiter: Limiter, now: float) -> None:
        self.id, self.name = number, name
        self.since = now
        self.resting = False
        self.leaving = False
        self.account = account
        self.health = account.health
        self.limiter = limiter
        self.held: PauseNote | None = None
        self.queues: dict[int, RunQueue] = {}
        self.hungry: list[RunQueue] = []
        self._order: list[tuple[int, int, int]] = []  # (priority, served, run) of queues, once there are several
        self.keys: Keys = []
        self.name_keys()
        self.out = 0
        self.served = 0
        self.others = Others()
        self.doubts: list[Doubt] = []
        self.suspects: dict[int, Suspect] = {}
        self.passed_at = -math.inf
        self.latency = 0.0

    def name_keys(self) -> None:
        """Call when the limits of its account have changed."""
        limits = parse_limits(self.account.spec.of_bucket(self.name))
        self.keys = [(item, [self.account.name, self.name]) for item in limits]

    def queue(self, run: int) -> RunQueue:
        """The queue of a run, made at the first call."""
        queue = self.queues.get(run)
        if queue is None:
            if len(self.queues) == 1:
                self.place(*self.queues.values(), several=True)
            queue = self.queues[run] = RunQueue(run)
        return queue

    def place(self, queue: RunQueue, *, several: bool = False) -> None:
        """Puts the queue into its order among the others. Call after every change of its first task. A single queue
        needs no order. several: another queue is about to come."""
        if queue.heads and (several or len(self.queues) > 1):
            heappush(self._order, (queue.heads[-1].priority, queue.served, queue.run))

    @property
    def next(self) -> RunQueue | None:
        """The queue with the most urgent task; among equals, that of the run that was served longest ago."""
        if len(self.queues) == 1:
            (queue,) = self.queues.values()
            return queue if queue.heads else None
        while self._order:
            priority, served, run = self._order[0]
            found = self.queues.get(run)
            if found and found.heads and found.served == served and found.heads[-1].priority == priority:
                return found
            heappop(self._order)
        return None

    @property
    def more(self) -> bool:
        """Whether the frontier has tasks of it that are not in memory."""
        return any(queue.more for queue in self.queues.values())

    @property
    def heads(self) -> list[Task]:
        """All its tasks in memory."""
        return [task for queue in self.queues.values() for task in queue.heads]

    def take(self, most: int) -> tuple[RunQueue, list[Task]]:
        """Takes up to `most` tasks of the next queue, which must exist, the most urgent first. If there are other
        queues, all are of one priority. During an outage, takes a task that has not failed as a probe, if any."""
        if bad := self.health.bad:
            for each in self.queues.values():
                for place in range(len(each.heads) - 1, -1, -1):
                    if each.heads[place].seq not in bad:
                        return each, [each.heads.pop(place)]
        queue = self.next
        assert queue is not None  # noqa: S101 - the caller has checked this
        heads = queue.heads
        count = min(most, len(heads))
        if count > 1 and len(self.queues) > 1:
            first = heads[-1].priority
            count = next((n for n in range(1, count) if heads[-1 - n].priority != first), count)
        tasks = heads[-count:]
        tasks.reverse()
        del heads[-count:]
        return queue, tasks

    @property
    def tried(self) -> bool:
        """Whether, during an outage, all its tasks in memory have failed as probes."""
        bad = self.health.bad
        return bool(bad) and all(task.seq in bad for task in self.heads)

    def take_hungry(self) -> list[RunQueue]:
        """Returns the queues that still lack heads, and empties `hungry`."""
        hungry, self.hungry = self.hungry, []
        return [
            queue
            for queue in hungry
            if queue.more and not queue.asked and not queue.heads and self.queues.get(queue.run) is queue
        ]

    def tidy(self) -> None:
        """Drops empty queues."""
        for run in [run for run, queue in self.queues.items() if not (queue.heads or queue.more or queue.asked)]:
            del self.queues[run]
        if len(self.queues) < 2:
            self._order.clear()


class AccountQueue:
    """An account with ready tasks.

    guard: the check of its credentials, while it must pass before any task starts.
    question: a request that a person wants it to make.
    refused: why its credentials do not work, so that none of its tasks starts.
    rekeyed_at: when it got its present key; monotonic seconds.
    held: the pause that a person has set for it.
    turn: virtual time of its next lease, for fair shares by weight.
    latency: seconds that its quickest requests take, 0 before the first.
    counts: the counts of its source.
    permit: how many requests its limits have permitted.
    origin: where it usually sends requests.
    health: its health at the origin of its last check, or else at `origin`.
    crowded: it waits until its origin has fewer of the workers' threads.
    unevenness: the share of its answers that took markedly longer than the quickest.
    version: the version of its entries in the heaps; entries with an older version are ignored.
    """

    __slots__ = (
        "buckets",
        "counts",
        "crowded",
        "guard",
        "health",
        "held",
        "id",
        "keys",
        "latency",
        "limiter",
        "name",
        "origin",
        "permit",
        "question",
        "refused",
        "rekeyed_at",
        "shared",
        "spec",
        "turn",
        "unevenness",
        "version",
    )

    def __init__(
        self,
        number: int,
        name: str,
        spec: LimitSpec,
        limiter: Limiter,
        health: Health,
        counts: SourceCounts | None = None,
    ) -> None:
        self.id = number
        self.name = name
        self.counts = counts or SourceCounts()
        self.permit = Permit(self.counts)
        self.spec = spec
        self.limiter = limiter
        self.health = health
        self.rekeyed_at = -math.inf
        self.origin = health.origin.name
        self.buckets: dict[int, BucketQueue] = {}
        self.keys = [(item, [name]) for item in parse_limits(spec.limits)]
        self.shared: SharedWindow | None = None
        self.guard: Guard | None = None
        self.question: Question | None = None
        self.refused: str | None = None
        self.held: PauseNote | None = None
        self.crowded = False
        self.latency = 0.0
        self.turn = 0.0
        self.unevenness = 0.0
        self.version = 0

    def check(self, task: Task) -> None:
        """Starts only this check of its credentials, until `accept` or `refuse`."""
        self.guard, self.refused = Guard(task), None

    def refuse(self, reason: str) -> None:
        """Starts none of its tasks, until `accept` or `check`."""
        self.guard, self.refused = None, reason

    def accept(self) -> None:
        self.guard = self.refused = None

    def ask(self, task: Task, bucket: BucketQueue | None, confirms: bool, answer: Future[Outcome]) -> None:
        """Performs `task` as soon as limits permit. Callers that ask while one is under way share its answer."""
        if self.question is None:
            self.question = Question(task, bucket, confirms, answer)
        else:
            self.question.answers.append(answer)

    def forget(self, answer: Future[Outcome]) -> bool:
        """Drops the answer of a caller that has given up. Returns whether this ends the question: it was not sent, and
        no other caller waits for it."""
        question = self.question
        if question is None or answer not in question.answers:
            return False
        question.answers.remove(answer)
        if question.answers or question.leased:
            return False
        self.question = None
        return True

    @property
    def next_check(self) -> Guard | None:
        """The check that goes before all tasks: a question that was not sent yet, else the guard."""
        return self.guard if self.question is None or self.question.leased else self.question

    def check_of(self, task: Task) -> Guard | None:
        """The question or guard that `task` belongs to; None when another one has replaced it."""
        found = self.question if self.question is not None and self.question.task is task else self.guard
        return found if found is not None and found.task is task else None

    def hold(self, pauses: Pauses) -> None:
        """Takes over the pauses of it and its buckets."""
        self.held = pauses.of_account(self.name)
        for bucket in self.buckets.values():
            bucket.held = pauses.of_bucket(self.name, bucket.name)

    def give_back_quotas(self) -> None:
        """See `Workbench.give_back_quotas`."""
        for limiter in (self.limiter, *(bucket.limiter for bucket in self.buckets.values())):
            limiter.give_back()

    @property
    def stopped(self) -> bool:
        """Whether it starts nothing except a question."""
        return self.refused is not None or self.held is not None

    def granted(self, bucket: BucketQueue | None, cost: int, now: float) -> bool:
        """Whether the limits shared with other programs permit this start. Asks for it if that is not known yet."""
        if self.shared is None:
            return True
        number, keys = (0, self.keys) if bucket is None else (bucket.id, [*self.keys, *bucket.keys])
        if not keys or self.shared.granted_to(now) == number:
            return True
        self.shared.ask(number, keys, cost)
        return False

    def arrival(self, bucket: BucketQueue | None, sent_at: float, done_at: float) -> float:
        """The latest time at which the server may have received a request: the time it was sent, plus the time by which
        its answer was slower than the quickest ones. If most answers take equally long, a slow answer means that the
        request arrived late. Otherwise most of the time is the server's own, and only a little of it counts."""
        took = done_at - sent_at
        quickest = (bucket and bucket.latency) or self.latency  # before a bucket's first answer: that of its account
        excess = max(0.0, took - quickest)
        late = min(excess, LATE_ARRIVAL if self.unevenness > UNEVEN else LATEST_ARRIVAL)
        self.unevenness += ((excess > LATE_ARRIVAL) - self.unevenness) / 20
        self.latency = min(took, self.latency * 1.001 or took)
        if bucket is not None:
            bucket.latency = min(took, quickest * 1.001 or took)
        return sent_at + late


class Pick(msgspec.Struct, frozen=True):
    """Tasks that may start now: one if there are limits, else one or more.

    bucket: None for the account's guard, or a question.
    cost: how many requests each task counts as.
    limited: whether there are limits.
    origin: where their requests go, None when they make none.
    probe: the outage that this pick is the probe of, if any.
    """

    account: AccountQueue
    bucket: BucketQueue | None
    tasks: list[Task]
    cost: int = 1
    limited: bool = True
    origin: Origin | None = None
    probe: Outage | None = None

    @property
    def counted(self) -> BucketQueue | None:
        """The bucket whose limits the start counts against."""
        if self.bucket is None and type(check := self.account.check_of(self.tasks[0])) is Question:
            return check.bucket
        return self.bucket

    @property
    def limiters(self) -> list[Limiter]:
        """The limiters that the start counts against, the account's first."""
        bucket = self.bucket or self.counted
        return [self.account.limiter] if bucket is None else [self.account.limiter, bucket.limiter]

    def free_at(self, now: float) -> float:
        """When its limits permit it to start."""
        if not self.cost:
            return -math.inf
        at = self.account.limiter.free_at(now, self.cost)
        return at if self.bucket is None else max(at, self.bucket.limiter.free_at(now, self.cost))
