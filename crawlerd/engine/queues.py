"""What of accounts and buckets is in memory while tasks of them may start: queues of task heads, and what was taken."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.task import Task
from crawlerd.ratelimit.limiter import Limiter, parse_limits
from crawlerd.ratelimit.outage import Origin, Outage
from crawlerd.ratelimit.refusals import Others

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.core.configuration import LimitSpec
    from crawlerd.engine.refused import Doubt, Suspect
    from crawlerd.ratelimit.outage import Health
    from crawlerd.ratelimit.shared import Keys, SharedWindow

LATE_ARRIVAL, LATEST_ARRIVAL = 0.025, 0.250  # seconds of a slow answer that may have passed before the server's count
UNEVEN = 0.3  # share of answers later than that, from which on lateness is the server's own
FIRST_WANT = 4  # task heads of a bucket that are asked for at first


class Guard:
    """The check of an account's credentials: while there is one, nothing else of the account starts."""

    __slots__ = ("at", "leased", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.at = 0.0
        self.leased = False

    def failed(self, charged: int = 1) -> int:
        """Counts attempts; returns how many there were."""
        self.task = msgspec.structs.replace(self.task, attempt=self.task.attempt + charged)
        self.leased = False
        return self.task.attempt


class BucketQueue:
    """A bucket's next tasks.

    heads: the most urgent one last.
    more: the frontier has others.
    asked: they are on their way.
    want: how many are asked for at once.
    out: tasks that were picked and may come back.
    served: when it was last picked from, as a count of picks.
    others: how often it refuses tasks that it has not refused before.
    doubts: refused tasks, while it is not known whether others pass.
    suspects: tasks that were refused and did not pay for it, by their numbers.
    passed_at: when the latest of the requests that got a good answer was sent.
    latency: seconds that its quickest requests take, 0 before the first.
    health: of its account at the origin of its last request.
    since: when it came into memory.
    resting: nothing of it starts, so that it may leave memory.
    leaving: the store was asked whether it may.
    """

    __slots__ = (
        "account",
        "asked",
        "asked_at",
        "doubts",
        "heads",
        "health",
        "id",
        "keys",
        "latency",
        "leaving",
        "limiter",
        "more",
        "others",
        "out",
        "passed_at",
        "resting",
        "served",
        "shared",
        "since",
        "suspects",
        "want",
    )

    def __init__(self, number: int, account: AccountQueue, limiter: Limiter, now: float) -> None:
        self.id = number
        self.since = now
        self.resting = False
        self.leaving = False
        self.account = account
        self.health = account.health
        self.limiter = limiter
        self.heads: list[Task] = []
        self.keys: Keys = ()
        self.more = True
        self.asked = False
        self.asked_at = -math.inf
        self.want = FIRST_WANT
        self.out = 0
        self.served = 0
        self.others = Others()
        self.doubts: list[Doubt] = []
        self.suspects: dict[int, Suspect] = {}
        self.passed_at = -math.inf
        self.latency = 0.0

    def add(self, tasks: Sequence[Task]) -> None:
        """Takes in tasks that come the most urgent first."""
        heads = self.heads
        if not tasks:
            return
        if not heads or _order(tasks[0]) > _order(heads[0]):  # from the frontier: behind all that are here
            heads[:0] = reversed(tasks)
        elif _order(tasks[-1]) < _order(heads[-1]):  # given back
            heads += reversed(tasks)
        else:
            heads += tasks
            heads.sort(key=_order, reverse=True)


def _order(task: Task) -> tuple[int, int]:
    return task.priority, task.seq


class AccountQueue:
    """An account with ready tasks.

    guard: the check of its credentials, while it must pass before anything starts.
    paused: why nothing starts.
    turn: virtual time of its next lease, for fair shares by weight.
    latency: as of a bucket.
    origin: where it usually sends requests.
    health: of it at the origin of its last check, or at `origin`.
    crowded: it waits until others leave it some of the workers.
    unevenness: share of answers that took markedly longer.
    version: of its place in the heaps: older entries there are void.
    """

    __slots__ = (
        "buckets",
        "crowded",
        "guard",
        "health",
        "id",
        "keys",
        "latency",
        "limiter",
        "name",
        "origin",
        "paused",
        "shared",
        "spec",
        "turn",
        "unevenness",
        "version",
    )

    def __init__(self, number: int, name: str, spec: LimitSpec, limiter: Limiter, health: Health) -> None:
        self.id = number
        self.name = name
        self.spec = spec
        self.limiter = limiter
        self.health = health
        self.origin = health.origin.name
        self.buckets: dict[int, BucketQueue] = {}
        self.keys = [(item, [name]) for item in parse_limits(spec.limits)]
        self.shared: SharedWindow | None = None
        self.guard: Guard | None = None
        self.paused: str | None = None
        self.crowded = False
        self.latency = 0.0
        self.turn = 0.0
        self.unevenness = 0.0
        self.version = 0

    def check(self, task: Task) -> None:
        """Nothing but this check of its credentials starts, until `resume` or `pause`."""
        self.guard, self.paused = Guard(task), None

    def pause(self, reason: str) -> None:
        """Nothing starts, until `resume` or `check`."""
        self.guard, self.paused = None, reason

    def resume(self) -> None:
        self.guard = self.paused = None

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

    bucket: None for the account's guard.
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

    def free_at(self, now: float) -> float:
        """When its limits permit it to start."""
        if not self.cost:
            return -math.inf
        at = self.account.limiter.free_at(now, self.cost)
        return at if self.bucket is None else max(at, self.bucket.limiter.free_at(now, self.cost))
