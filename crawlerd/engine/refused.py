"""Tasks that an API has refused because of a limit. Each is delayed. It is charged an attempt only if requests of other
tasks, sent later, have passed: then the refusal concerns this task, and not the limit of all."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from crawlerd.core.backoff import backoff
from crawlerd.core.log_events import Event, tell
from crawlerd.core.outcome import ERROR_LIMIT, Bury
from crawlerd.frontier.contract import Settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.core.outcome import Defer, Made
    from crawlerd.core.task import Task
    from crawlerd.engine.queues import BucketQueue

FIRST_WAIT, MOST_WAIT = 0.5, 30.0  # seconds of a task's own backoff, when the API does not say how long to wait
SUSPECTS = 1_000  # most suspects of a bucket that are remembered
LONG_WAIT = 60.0  # seconds; longer waits that an API asks for are logged: they look like a hang


class Doubt(NamedTuple):
    """A refused task, while it is not known whether other tasks of its bucket pass. Times are monotonic seconds.

    sent_at: when its request was sent.
    own_at: when the wait of the task itself is over.
    due_at: when the wait of its bucket is over as well.
    made: the requests that the attempt made.
    """

    task: Task
    outcome: Defer
    sent_at: float
    own_at: float
    due_at: float
    made: Made | None = None


class Suspect(NamedTuple):
    """A task that was refused and not charged for it, since no other task passed meanwhile.

    sent_at: when its first request was sent; monotonic seconds.
    times: how often it was refused in this way.
    """

    sent_at: float
    times: int


class RefusedTasks:
    """Decides what happens to refused tasks. Used by the dispatcher's thread alone. Times are monotonic seconds.

    While a task is in doubt, it is still ready in the frontier, and its bucket is blocked there, but not in memory. If
    the process dies, the next one therefore waits as long as the API asked, and does the task again without charging
    it.
    """

    def __init__(self, settle: Callable[[Settled], None], block: Callable[[int, float], None]) -> None:
        """
        settle: called with the final outcome of each task.
        block: blocks a bucket, by its number, in the frontier until a time.
        """
        self._settle, self._block = settle, block
        self._random = random.Random()  # noqa: S311 - jitter
        self._doubtful: dict[int, BucketQueue] = {}
        self._told_at: dict[int, float] = {}  # when to log a long wait of an account again, by account

    def suspected(self, bucket: BucketQueue, task: Task) -> bool:
        """Whether other tasks have passed since this task was refused before."""
        suspect = bucket.suspects.get(task.seq)
        return task.refused > 0 or (suspect is not None and bucket.passed_at > suspect.sent_at)

    def refused(
        self,
        bucket: BucketQueue,
        task: Task,
        outcome: Defer,
        sent_at: float,
        now: float,
        blocked_until: float | None,
        made: Made | None = None,
    ) -> None:
        """An attempt was refused.

        sent_at: when its request was sent.
        blocked_until: until when the bucket is blocked; 0 when the refusal did not block it, None when it is known to
            concern the task alone.
        made: the requests that the attempt made.
        """
        if not task.refused and task.seq not in bucket.suspects:
            bucket.others.refused()
        own_at = now + self._wait(task, outcome)
        doubt = Doubt(task, outcome, sent_at, own_at, max(own_at, blocked_until or 0.0), made)
        if own_at - now >= LONG_WAIT and not blocked_until:
            self._tell(bucket, task, outcome, own_at - now, now)
        if outcome.concurrency:
            self._delay(bucket, doubt, own_at - now)
        elif (blocked_until is None and self.suspected(bucket, task)) or bucket.passed_at > sent_at:
            self._charge(bucket, doubt, now)
        else:
            bucket.doubts.append(doubt)
            self._doubtful[bucket.id] = bucket
            self._block(bucket.id, doubt.due_at)

    def passed(self, bucket: BucketQueue, task: Task, sent_at: float, now: float) -> None:
        """A task got a good answer. Refused tasks that were sent before this one are charged an attempt."""
        if not task.refused and (not bucket.suspects or bucket.suspects.pop(task.seq, None) is None):
            bucket.others.passed()
        bucket.passed_at = max(bucket.passed_at, sent_at)
        if bucket.doubts:
            doubts = bucket.doubts
            bucket.doubts = [doubt for doubt in doubts if doubt.sent_at >= sent_at]
            for doubt in doubts:
                if doubt.sent_at < sent_at:
                    self._charge(bucket, doubt, now)
            if not bucket.doubts:
                self._clear(bucket, now)

    def look(self, now: float) -> None:
        """Delays the tasks in doubt about which no more can be learned. Call it every few seconds.

        No more can be learned when the whole bucket waits for a limit, and when the bucket has no other tasks and the
        refused task is due. If the bucket has other tasks, they go first: otherwise the refused task would start next
        again.
        """
        for bucket in list(self._doubtful.values()):
            if bucket.out:
                continue
            blocked_until = max(bucket.limiter.blocked_until, bucket.account.limiter.blocked_until)
            others = bucket.heads or bucket.more
            if blocked_until > now or (not others and any(doubt.due_at <= now for doubt in bucket.doubts)):
                for doubt in self._take(bucket, now):
                    due_at = max(doubt.due_at, blocked_until)
                    times = self._suspect(bucket, doubt)
                    if others and times > 1:  # otherwise it would start first again, and block the others again
                        wait = FIRST_WAIT + due_at - now
                        due_at += backoff(times - 1, base=wait, cap=max(wait, MOST_WAIT), jitter=1.0)
                    self._delay(bucket, doubt, due_at - now)

    def let_go(self, now: float) -> None:
        """Delays all tasks in doubt, before an orderly end."""
        for bucket in list(self._doubtful.values()):
            for doubt in self._take(bucket, now):
                self._delay(bucket, doubt, doubt.due_at - now)

    def _suspect(self, bucket: BucketQueue, doubt: Doubt) -> int:
        """Remembers that the task was refused and not charged. It will be charged if it is refused again and others
        have passed meanwhile. Returns how often this has happened."""
        known = bucket.suspects.get(doubt.task.seq)
        suspect = Suspect(known.sent_at, known.times + 1) if known else Suspect(doubt.sent_at, 1)
        bucket.suspects[doubt.task.seq] = suspect
        if len(bucket.suspects) > SUSPECTS:
            del bucket.suspects[next(iter(bucket.suspects))]
        return suspect.times

    def _take(self, bucket: BucketQueue, now: float) -> list[Doubt]:
        doubts, bucket.doubts = bucket.doubts, []
        if doubts:
            self._clear(bucket, now)
        return doubts

    def _clear(self, bucket: BucketQueue, now: float) -> None:
        del self._doubtful[bucket.id]
        self._block(bucket.id, max(now, bucket.limiter.blocked_until, bucket.account.limiter.blocked_until))

    def _wait(self, task: Task, outcome: Defer) -> float:
        """Seconds that the task itself must wait, more with each refusal."""
        if outcome.retry_after is not None and not task.refused:
            return max(outcome.retry_after, outcome.least)
        longest = backoff(task.refused or 1, base=FIRST_WAIT, cap=MOST_WAIT, jitter=1.0)
        return max(outcome.retry_after or 0.0, outcome.least, longest * (0.5 + self._random.random() / 2))

    def _charge(self, bucket: BucketQueue, doubt: Doubt, now: float) -> None:
        task, outcome, others = doubt.task, doubt.outcome, bucket.others
        bucket.suspects.pop(task.seq, None)
        if not others.mostly_pass:
            self._delay(bucket, doubt, doubt.due_at - now)
        elif task.attempt + 1 < outcome.attempts or others.could_be_chance(task.refused + 1):
            self._delay(bucket, doubt, doubt.own_at - now, charged=1)
        else:
            times = task.refused + 1
            text = f"refused {times} times while others passed: {outcome.error}"
            if task.attempt > task.refused:
                text = f"gave up after {task.attempt + 1} attempts, {text}"
            bury = Bury(text[:ERROR_LIMIT], stream=outcome.stream, tried=outcome.tried)
            self._settle(Settled(task, bucket.account.id, bury, doubt.made))

    def _delay(self, bucket: BucketQueue, doubt: Doubt, seconds: float, *, charged: int = 0) -> None:
        outcome = msgspec.structs.replace(doubt.outcome, delay=max(0.0, seconds), charged=charged)
        self._settle(Settled(doubt.task, bucket.account.id, outcome, doubt.made))

    def _tell(self, bucket: BucketQueue, task: Task, outcome: Defer, seconds: float, now: float) -> None:
        """Logs a long wait, at most once a minute for each account."""
        account = bucket.account
        if now >= self._told_at.get(account.id, 0.0):
            self._told_at[account.id] = now + LONG_WAIT
            text = "account %s: %s: one task is waiting for %.0f s"
            tell(
                Event.TASK_THROTTLED,
                text,
                *(account.name, outcome.error, seconds),
                account=account.name,
                run=task.run or None,
                kind=task.kind,
                task=task.seq,
                seconds=round(seconds, 3),
                error=outcome.error,
            )
