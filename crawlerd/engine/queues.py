"""What of accounts and buckets is in memory while tasks of them may start: queues of task heads, and what was taken."""

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

LATE_ARRIVAL, LATEST_ARRIVAL = 0.025, 0.250  # seconds of a slow answer that may have passed before the server's count
UNEVEN = 0.3  # share of answers later than that, from which on lateness is the server's own


class BucketQueue:
    """A bucket's limits, and the queues of the runs that have tasks in it.

    queues: by run.
    hungry: those that lack heads, though the frontier has some.
    out: tasks that were picked and may come back.
    served: when it was last picked from, as a count of picks.
    others: how often it refuses tasks that it has not refused before.
    doubts: refused tasks, while it is not known whether others pass.
    suspects: tasks that were refused and did not pay for it, by their numbers.
    passed_at: when the latest of the requests that got a good answer was sent.
    latency: seconds that its quickest requests take, 0 before the first.
    health: of its account at the origin of its last request.
    since: when it came into memory.
    held: a person's pause of it.
    resting: nothing of it starts, so that it may leave memory.
    leaving: the store was asked whether it may.
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
        """Call when its account has other limits."""
        limits = parse_limits(self.account.spec.of_bucket(self.name))
        self.keys = [(item, [self.account.name, self.name]) for item in limits]

    def queue(self, run: int) -> RunQueue:
        """The run's, made at the first call."""
        queue = self.queues.get(run)
        if queue is None:
            if len(self.queues) == 1:
                self.place(*self.queues.values(), several=True)
            queue = self.queues[run] = RunQueue(run)
        return queue

    def place(self, queue: RunQueue, *, several: bool = False) -> None:
        """Finds the queue's place among the others; call after whatever changes its first task. A single one needs
        none. several: another one is about to come."""
        if queue.heads and (several or len(self.queues) > 1):
            heappush(self._order, (queue.heads[-1].priority, queue.served, queue.run))

    @property
    def next(self) -> RunQueue | None:
        """The queue with the most urgent task; among equals, of the run that was served longest ago."""
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
        """The frontier has tasks of it that are not here."""
        return any(queue.more for queue in self.queues.values())

    @property
    def heads(self) -> list[Task]:
        """All tasks that are here."""
        return [task for queue in self.queues.values() for task in queue.heads]

    def take(self, most: int) -> tuple[RunQueue, list[Task]]:
        """Up to `most` tasks of the next queue, the most urgent first, of which there is one; beside other queues, of
        one priority. In an outage one that has not failed as a probe, if there is any."""
        if bad := self.health.bad:
            for each in self.queues.values():
                for place in range(len(each.heads) - 1, -1, -1):
                    if each.heads[place].seq not in bad:
                        return each, [each.heads.pop(place)]
        queue = self.next
        assert queue is not None  # noqa: S101 - the caller has seen it
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
        """In an outage: all that is here has failed as a probe."""
        bad = self.health.bad
        return bool(bad) and all(task.seq in bad for task in self.heads)

    def take_hungry(self) -> list[RunQueue]:
        """Those that still are; nothing is left of them here."""
        hungry, self.hungry = self.hungry, []
        return [
            queue
            for queue in hungry
            if queue.more and not queue.asked and not queue.heads and self.queues.get(queue.run) is queue
        ]

    def tidy(self) -> None:
        """Drops queues that have nothing."""
        for run in [run for run, queue in self.queues.items() if not (queue.heads or queue.more or queue.asked)]:
            del self.queues[run]
        if len(self.queues) < 2:
            self._order.clear()


class AccountQueue:
    """An account with ready tasks.

    guard: the check of its credentials, while it must pass before anything starts.
    question: what somebody wants it to be asked.
    refused: why its credentials do not work, so that nothing starts.
    rekeyed_at: when it got the key that it has now; monotonic.
    held: a person's pause of it.
    turn: virtual time of its next lease, for fair shares by weight.
    latency: as of a bucket.
    counts: of its source.
    permit: what its limits have permitted.
    origin: where it usually sends requests.
    health: of it at the origin of its last check, or at `origin`.
    crowded: it waits until others leave it some of the workers.
    unevenness: share of answers that took markedly longer.
    version: of its place in the heaps: older entries there are void.
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
        """Nothing but this check of its credentials starts, until `accept` or `refuse`."""
        self.guard, self.refused = Guard(task), None

    def refuse(self, reason: str) -> None:
        """Nothing starts, until `accept` or `check`."""
        self.guard, self.refused = None, reason

    def accept(self) -> None:
        self.guard = self.refused = None

    def ask(self, task: Task, bucket: BucketQueue | None, confirms: bool, answer: Future[Outcome]) -> None:
        """Has `task` performed as soon as limits permit. Those who ask while it is under way share the answer."""
        if self.question is None:
            self.question = Question(task, bucket, confirms, answer)
        else:
            self.question.answers.append(answer)

    def forget(self, answer: Future[Outcome]) -> bool:
        """Whoever waits for this answer waits no longer. Whether nothing is asked any more."""
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
        """What goes before all tasks: a question that is not out yet, else the guard."""
        return self.guard if self.question is None or self.question.leased else self.question

    def check_of(self, task: Task) -> Guard | None:
        """The question or guard whose task it is; None where another one has taken its place."""
        found = self.question if self.question is not None and self.question.task is task else self.guard
        return found if found is not None and found.task is task else None

    def hold(self, pauses: Pauses) -> None:
        """Takes over what people have paused of it."""
        self.held = pauses.of_account(self.name)
        for bucket in self.buckets.values():
            bucket.held = pauses.of_bucket(self.name, bucket.name)

    def give_back_quotas(self) -> None:
        """See `Workbench.give_back_quotas`."""
        for limiter in (self.limiter, *(bucket.limiter for bucket in self.buckets.values())):
            limiter.give_back()

    @property
    def stopped(self) -> bool:
        """Nothing of it starts but a question."""
        return self.refused is not None or self.held is not None

    def granted(self, bucket: BucketQueue | None, cost: int, now: float) -> bool:
        """Whether others' use of shared limits permits this start; asks, if that is not known yet."""
        if self.shared is None:
            return True
        number, keys = (0, self.keys) if bucket is None else (bucket.id, [*self.keys, *bucket.keys])
        if not keys or self.shared.granted_to(now) == number:
            return True
        self.shared.ask(number, keys, cost)
        return False

    def arrival(self, bucket: BucketQueue | None, sent_at: float, done_at: float) -> float:
        """When the server got a request, at the latest: not before it was sent, and later by what its answer was slower
        than the quickest ones. Where most answers take equally long, a late one means that it arrived late; elsewhere
        that is mostly the server's own time, and only a little of it counts."""
        took = done_at - sent_at
        quickest = (bucket and bucket.latency) or self.latency  # a bucket's first requests: as for its account
        excess = max(0.0, took - quickest)
        late = min(excess, LATE_ARRIVAL if self.unevenness > UNEVEN else LATEST_ARRIVAL)
        self.unevenness += ((excess > LATE_ARRIVAL) - self.unevenness) / 20
        self.latency = min(took, self.latency * 1.001 or took)
        if bucket is not None:
            bucket.latency = min(took, quickest * 1.001 or took)
        return sent_at + late


class Pick(msgspec.Struct, frozen=True):
    """Tasks that may start now: one where there are limits, else several.

    bucket: None for the account's guard, or a question.
    cost: what one task counts as against limits.
    limited: there are limits.
    origin: where their requests go, None when they make none.
    probe: it is the probe of this outage.
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
        """The bucket whose limits its start counts against."""
        if self.bucket is None and type(check := self.account.check_of(self.tasks[0])) is Question:
            return check.bucket
        return self.bucket

    @property
    def limiters(self) -> list[Limiter]:
        """Those that its start counts against, the account's first."""
        bucket = self.bucket or self.counted
        return [self.account.limiter] if bucket is None else [self.account.limiter, bucket.limiter]

    def free_at(self, now: float) -> float:
        """When its limits permit it to start."""
        if not self.cost:
            return -math.inf
        at = self.account.limiter.free_at(now, self.cost)
        return at if self.bucket is None else max(at, self.bucket.limiter.free_at(now, self.cost))
