"""Distinguishes an outage of an API from failures of single tasks, and finds out when it is over. Pure: times are
arguments."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawlerd.core.errors import Fault

IN_A_ROW = 10  # an outage begins after this many failures without a good answer between them …
SHARE_LEAST, SHARE_SECONDS = 20, 30  # … or when half of at least 20 answers within 30 seconds are failures
TASKS = 3  # this many tasks must fail with an answer (a 5xx, or too late) before the origin is taken to be the cause
ACCOUNTS = 3  # this many accounts must be without an answer before the whole origin is down
FIRST_PROBE, LONGEST_PROBE = 5.0, 300.0  # seconds between two probes; each failed probe doubles them
GOOD_PROBES = 3  # this many good probes in a row end the outage
ACTIVE_SECONDS = 60.0  # an account with an answer or failure within this time is in use
MOST_OWED = 10_000  # tasks of an account whose attempts are remembered; others are not charged
FIRST_RATE, STEP_SECONDS, STEPS = 2.0, 1.0, 10  # after an outage: starts per second, doubled with each step


class Outage:
    """An outage. While it lasts, one probe is sent at a time. Times are monotonic seconds.

    since: when the first of the failures was.
    error: the last failure.
    next_at: when the next probe may start.
    delay: seconds between the last two probes.
    probing: a probe is under way.
    bad: tasks that have failed as probes, and whether each had failed by itself before. Other tasks are used first.
    told: it was logged.
    tried: a request of this process has failed because of it, and not only one of an earlier process.
    """

    __slots__ = ("_good", "bad", "delay", "error", "next_at", "probing", "since", "told", "tried")

    def __init__(self, since: float, error: str, next_at: float, delay: float) -> None:
        self.since = since
        self.error = error
        self.next_at = next_at
        self.delay = delay
        self.probing = False
        self.bad: dict[int, bool] = {}
        self.told = False
        self.tried = True
        self._good = 0

    @property
    def over(self) -> bool:
        return self._good >= GOOD_PROBES

    def blames(self, task: int) -> bool:
        """Whether a failed answer to this probe is the fault of its task, and shows nothing about the origin: the same
        task was probed before, because there is no other, and too few fail that had never failed by themselves."""
        return task in self.bad and sum(not proven for proven in self.bad.values()) < TASKS

    def free_at(self) -> float:
        """When the next probe may start; infinity while one is under way."""
        return math.inf if self.probing else self.next_at

    def answered(self, now: float) -> None:
        """The probe got a good answer: the next one follows at once."""
        self.probing = False
        self._good += 1
        self.next_at = now

    def worse(self, error: str) -> None:
        """A request that was not a probe has failed: good answers to probes before it do not count."""
        self.error = error
        self._good = 0

    def failed(self, now: float, error: str) -> None:
        self.probing = False
        self.tried = True
        self.worse(error)
        self.delay = min(2 * self.delay, LONGEST_PROBE)
        self.next_at = now + self.delay

    def unknown(self, now: float) -> None:
        """The probe has ended without showing anything about the origin: its worker died, it made no request, or it was
        throttled."""
        self.probing = False
        self.next_at = now + self.delay


class Origin:
    """One scheme, host and port, or one AWS service, with the health of the accounts that use it.

    failing: tasks that have failed since the last good answer, and had never failed by themselves.
    out: how many requests are under way.
    heard_at: when the last result of any kind came; monotonic seconds.
    """

    __slots__ = ("accounts", "failing", "heard_at", "name", "out", "outage")

    def __init__(self, name: str) -> None:
        self.name = name
        self.accounts: dict[int, Health] = {}
        self.outage: Outage | None = None
        self.failing: set[int] = set()
        self.out = 0
        self.heard_at = -math.inf

    def health(self, account: int, give_up_seconds: float = math.inf) -> Health:
        health = self.accounts.get(account)
        if health is None:
            health = self.accounts[account] = Health(self, give_up_seconds)
        return health

    def consider(self, now: float) -> bool:
        """Call when an account's outage begins. Returns whether it is now an outage of the whole origin."""
        down = [each for each in self.accounts.values() if each.outage is not None]
        if self.outage is not None or not down:
            return False
        active = sum(each.outage is not None or now - each.heard_at < ACTIVE_SECONDS for each in self.accounts.values())
        if len(down) < min(ACCOUNTS, active):
            return False
        first = min((each.outage for each in down if each.outage), key=lambda each: each.since)
        self.suffer(Outage(first.since, first.error, now + FIRST_PROBE, FIRST_PROBE))
        return True

    def suffer(self, outage: Outage) -> None:
        """Begins an outage of the whole origin, or continues one after a restart."""
        self.outage = outage
        for each in self.accounts.values():
            each.calm = False

    def recover(self, now: float) -> None:
        """Ends the outage of the whole origin."""
        self.outage = None
        for each in self.accounts.values():
            each.recover(now)


class Health:
    """Whether one origin answers one account. Times are monotonic seconds.

    A failed attempt is charged when the origin has answered another task since, and never while it answers no task. A
    task that was charged before is known to fail by itself. As long as only such tasks fail, each is charged at once.

    give_up_seconds: after an outage of this length attempts are charged again, so that runs end.
    outage: the outage of this account, alone or as a part of the origin's.
    heard_at: when the last answer or failure was.
    answered_at: when the last good answer was.
    calm: whether starts need no permission of this object.
    """

    __slots__ = (
        "_failed",
        "_free_at",
        "_fresh",
        "_owed",
        "_pending",
        "_recent",
        "_recovered_at",
        "_since",
        "_theirs",
        "answered_at",
        "calm",
        "give_up_seconds",
        "heard_at",
        "origin",
        "outage",
    )

    def __init__(self, origin: Origin, give_up_seconds: float) -> None:
        self.origin = origin
        self.give_up_seconds = give_up_seconds
        self.outage: Outage | None = None
        self.heard_at = self.answered_at = -math.inf
        self.calm = origin.outage is None
        self._failed = 0  # failures in a row
        self._theirs = False  # whether the last failure may be the origin's fault
        self._since = 0.0  # when the first of these failures was
        self._fresh: set[int] = set()  # the tasks of these failures that had never failed by themselves
        self._pending: dict[int, int] = {}  # attempts not charged yet, by task, since the last good answer
        self._owed: dict[int, int] = {}  # attempts to charge with the next failure of each task
        self._recent: deque[list[int]] = deque()  # [second, good, failed]
        self._recovered_at = -math.inf
        self._free_at = -math.inf

    # starts

    @property
    def bad(self) -> dict[int, bool]:
        """The tasks that have failed as probes, see `Outage`; empty without an outage."""
        outage = self.origin.outage or self.outage
        return {} if outage is None else outage.bad

    def free_at(self, now: float) -> float:
        """When the next request may start; infinity while a probe is under way."""
        outage = self.origin.outage or self.outage
        if outage is not None:
            given_up_at = outage.since + self.give_up_seconds
            return -math.inf if now >= given_up_at else min(outage.free_at(), given_up_at)
        if self.calm:
            return -math.inf
        if now - self._recovered_at >= STEPS * STEP_SECONDS:
            self.calm = True
            return -math.inf
        return self._free_at

    def start(self, now: float) -> Outage | None:
        """A request starts, as `free_at` has permitted. Returns the outage that it is the probe of, if any."""
        outage = self.origin.outage or self.outage
        if outage is not None:
            if self._given_up(outage, now):
                return None
            outage.probing = True
            return outage
        rate = FIRST_RATE * 2 ** ((now - self._recovered_at) // STEP_SECONDS)
        self._free_at = max(self._free_at, now) + 1 / rate
        return None

    def given_up(self, now: float) -> Outage | None:
        """The outage, if it has lasted for `give_up_seconds`, so that the account does not wait for its end."""
        outage = self.origin.outage or self.outage
        return outage if outage is not None and self._given_up(outage, now) else None

    def _given_up(self, outage: Outage, now: float) -> bool:
        return now >= outage.since + self.give_up_seconds

    # answers

    def answered(self, task: int, now: float) -> None:
        """A task got an answer which shows that the origin works, even if the task cannot use it."""
        self.heard_at = self.answered_at = self.origin.heard_at = now
        self._count(now, 1)
        if self.origin.failing:
            self.origin.failing.clear()
        if self._failed:
            for other, count in self._pending.items():
                if other != task and len(self._owed) < MOST_OWED:
                    self._owed[other] = self._owed.get(other, 0) + count
            self._forget()
        self.ended(task)

    def failed(self, task: int, attempt: int, fault: Fault, *, sent: bool, started_at: float, now: float) -> int:
        """A task has failed. Returns how many attempts to charge it now. Call `lost` next.

        attempt: how many attempts it was charged so far.
        sent: whether its request was sent.
        started_at: when its attempt began.
        """
        self.heard_at = self.origin.heard_at = now
        self._theirs = False
        owed = self._owed.pop(task, 0)
        outage = self.origin.outage or self.outage
        if outage is not None:
            return owed + 1 if self._given_up(outage, now) else owed
        if fault == "task":
            return owed + 1
        if not attempt + owed:
            self._fresh.add(task)
            self.origin.failing.add(task)
        elif sent and not self._fresh:
            return owed + 1  # all tasks that fail now have failed before while others got answers
        if not self._failed:
            self._since = now
        self._failed += 1
        self._theirs = fault == "connection" or max(len(self._fresh), len(self.origin.failing)) >= TASKS
        if self._theirs:
            self._count(now, 2)
        if not self._theirs or self.answered_at >= started_at:
            return owed + 1
        self._pending[task] = self._pending.get(task, 0) + 1
        return owed

    def lost(self, now: float, error: str) -> bool:
        """Whether an outage has begun with the last failure."""
        if not self._theirs or self.outage is not None or self.origin.outage is not None:
            return False
        if self._failed < IN_A_ROW and not self._half_lost(now):
            return False
        self.suffer(Outage(self._since, error, now + FIRST_PROBE, FIRST_PROBE))
        return True

    def suffer(self, outage: Outage) -> None:
        """Begins the account's outage, or continues one after a restart. The failures so far are not charged."""
        self.outage = outage
        self.calm = False
        self._forget()

    def recover(self, now: float) -> None:
        """Ends the outage: the rate returns to its old value in steps."""
        self.outage = None
        self._recovered_at = now
        self._free_at = now
        self._recent.clear()
        self.origin.failing.clear()
        self._forget()

    def ended(self, task: int) -> None:
        """The task has ended, or waits for something else: forgets the attempts that it owes."""
        if self._owed:
            self._owed.pop(task, None)

    def _forget(self) -> None:
        self._failed = 0
        self._fresh.clear()
        self._pending.clear()

    def _count(self, now: float, column: int) -> None:
        second, recent = int(now), self._recent
        if not recent or recent[-1][0] != second:
            while recent and recent[0][0] <= second - SHARE_SECONDS:
                recent.popleft()
            recent.append([second, 0, 0])
        recent[-1][column] += 1

    def _half_lost(self, now: float) -> bool:
        rows = [each for each in self._recent if each[0] > int(now) - SHARE_SECONDS]
        good, failed = sum(each[1] for each in rows), sum(each[2] for each in rows)
        return good + failed >= SHARE_LEAST and failed >= good
