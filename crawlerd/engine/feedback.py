"""Applies the outcome of an attempt to its account: to its limits, its outages and the check of its credentials."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from crawlerd.core.log_events import Event, tell
from crawlerd.core.outcome import CRASHES, Bury, Complete, Crash, Defer, Pause, Retry
from crawlerd.core.wording import plain_error
from crawlerd.engine.checks import Question
from crawlerd.engine.refused import LONG_WAIT, RefusedTasks
from crawlerd.frontier.waiting_contract import Block

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.core.outcome import Made, Outcome, Result
    from crawlerd.core.task import Task
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.outages import Outages
    from crawlerd.engine.protocols import Credentials
    from crawlerd.engine.queues import AccountQueue, Pick
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.engine.workbench import Workbench
    from crawlerd.frontier.contract import Settled
    from crawlerd.ratelimit.limiter import Limiter
    from crawlerd.ratelimit.window import Stamp


class Feedback:
    """Applies the outcomes of attempts to accounts, limits and outages. Used by the dispatcher's thread alone.

    refused: tasks that a limit has refused.
    """

    def __init__(
        self,
        bench: Workbench,
        outages: Outages,
        store: StoreInbox,
        clock: Clock,
        credentials: Credentials,
        settle: Callable[[Settled], None],
    ) -> None:
        """settle: gets the final outcome of a refused task, which may be decided long after its attempt."""
        self._bench, self._outages, self._store, self._clock = bench, outages, store, clock
        self._credentials = credentials
        self.refused = RefusedTasks(settle, self._block)
        self._random = random.Random()  # noqa: S311 - jitter

    def heard(self, pick: Pick, task: Task, result: Result, outcome: Outcome, started_at: float, now: float) -> Outcome:
        """See `Outages.heard`. Call before `ended`."""
        return self._outages.heard(pick, task, result, outcome, started_at, now)

    def ended(
        self,
        pick: Pick,
        task: Task,
        stamp: Stamp,
        outcome: Outcome,
        now: float,
        sent_at: float,
        made: Made | None = None,
    ) -> None:
        """An attempt has ended. Times are monotonic seconds.

        stamp: the start that was charged to the limits.
        sent_at: when its request was sent; 0 when it sent none, or that is unknown.
        made: the requests that it made, if that is known.
        """
        account, bucket = pick.account, pick.bucket
        blocked_until: float | None = None
        if isinstance(outcome, Defer):
            blocked_until = self._throttle(pick, task, stamp, outcome, now, sent_at)
        elif isinstance(outcome, Complete | Bury) and sent_at:
            self._passed(pick, stamp, sent_at)
        else:
            self._failed(pick, stamp)
            if isinstance(outcome, Retry | Bury) and outcome.fault == "connection" and not sent_at:
                stamp.unsent(now)
        if isinstance(outcome, Pause) and bucket is not None:
            self._refused(account, outcome.error, now)
        # A task that made no request gives no evidence about the API's limits.
        known = outcome if sent_at or not isinstance(outcome, Complete) else None
        self._answered(pick, stamp, known, now, blocked_until)
        self._bench.finish(pick, now)
        if bucket is None:
            self._check_ended(account, task, outcome, now)
        elif isinstance(outcome, Defer):
            self.refused.refused(bucket, task, outcome, sent_at or now, now, blocked_until, made)
        elif isinstance(outcome, Pause):
            self._bench.put_back(pick, task, now)
        elif isinstance(outcome, Complete) and sent_at:
            self.refused.passed(bucket, task, sent_at, now)
        self._follow_outages(now)

    def unknown(self, pick: Pick, task: Task, stamp: Stamp, now: float) -> None:
        """A lease has ended without an outcome, and its task is not to blame: the task is leased again."""
        self._failed(pick, stamp)
        self._answered(pick, stamp, None, now, None)
        self._bench.finish(pick, now)
        self._bench.put_back(pick, task, now)
        self._follow_outages(now)

    def _follow_outages(self, now: float) -> None:
        """Calls `Workbench.place` for the accounts whose outages have begun or ended."""
        if self._outages.moved:
            moved, self._outages.moved = self._outages.moved, set()
            for number in moved:
                if account := self._bench.known(number):
                    self._bench.place(account, now)

    def _passed(self, pick: Pick, stamp: Stamp, sent_at: float) -> None:
        for limiter in pick.limiters:
            limiter.succeeded(stamp, sent_at)

    def _failed(self, pick: Pick, stamp: Stamp) -> None:
        for limiter in pick.limiters:
            limiter.failed(stamp)

    def _answered(
        self, pick: Pick, stamp: Stamp, outcome: Outcome | None, now: float, blocked_until: float | None
    ) -> None:
        """Reports the outcome to the adaptive limits that paced its start. Call before `Workbench.finish`.

        outcome: None when it is unknown.
        blocked_until: the result of `_throttle`.
        """
        for limiter in pick.limiters:
            limiter.ended(stamp)
        about_all = isinstance(outcome, Defer) and blocked_until is not None
        throttled = self._throttled_by(pick, outcome).law if about_all and isinstance(outcome, Defer) else None
        for law, sent in stamp.marks:
            if law is throttled and isinstance(outcome, Defer):
                law.throttled(
                    sent,
                    now,
                    retry_after=outcome.retry_after,
                    concurrency=outcome.concurrency,
                    pause=bool(blocked_until),
                )
            elif outcome is None or isinstance(outcome, Retry | Crash | Defer):
                law.failed(sent, now)
            else:
                law.accepted(sent, now)

    def _throttle(
        self, pick: Pick, task: Task, stamp: Stamp, outcome: Defer, now: float, sent_at: float
    ) -> float | None:
        """Blocks the bucket or account that a refusal concerns. Returns until when it is blocked (monotonic seconds), 0
        when the refusal blocks neither, and None when it is known to concern this task alone."""
        account, bucket = pick.account, pick.bucket
        limiter = self._throttled_by(pick, outcome)
        if bucket is not None:
            passing = limiter.refusals.passing and bucket.limiter.refusals.passing
            if outcome.scope == "task" or (passing and self.refused.suspected(bucket, task)):
                self._failed(pick, stamp)
                return None
        concerned = [limiter]
        if bucket is not None and limiter is not bucket.limiter and outcome.scope == "bucket" and outcome.retry_after:
            concerned.append(bucket.limiter)  # only the account has a pace, but the limit may be the bucket's
        until = 0.0
        for each in concerned:
            before = max(each.blocked_until, now)
            if not each.throttled(
                sent_at or now,
                now,
                outcome.retry_after,
                self._random.random(),
                stamp=stamp,
                least=outcome.least,
                certain=bucket is None,
            ):
                continue
            until = max(until, each.blocked_until)
            if (wait := each.blocked_until - before) >= LONG_WAIT:
                tell(
                    Event.THROTTLED,
                    "account %s: %s: waiting for %.0f s",
                    *(account.name, outcome.error, wait),
                    account=account.name,
                    bucket=bucket.name if bucket else None,
                    run=task.run or None,
                    kind=task.kind,
                    seconds=round(wait, 3),
                    error=outcome.error,
                )
                if task.run:
                    self._store.note_event(task.run, f"{account.name} is throttled for {wait:.0f} s: {outcome.error}")
            if each.blocked_until > now:
                counted = pick.counted
                of_bucket = counted is not None and each is counted.limiter
                for number in [counted.id] if counted is not None and of_bucket else account.buckets:
                    self._block(number, each.blocked_until)
        return until

    def _block(self, bucket: int, until: float) -> None:
        self._store.block(bucket, Block(until - time.monotonic() + self._clock.now()))

    def _throttled_by(self, pick: Pick, outcome: Defer) -> Limiter:
        """The limiter that a 429 concerns: the bucket's or the account's, as its scope says. When only the other one
        has a pace that can slow down, it is that one."""
        account, bucket = pick.account, pick.bucket
        if bucket is None:
            return pick.limiters[0 if outcome.scope == "account" else -1]
        first, second = bucket.limiter, account.limiter
        if outcome.scope == "account":
            first, second = second, first
        return second if first.law is None and second.law is not None else first

    def _check_ended(self, account: AccountQueue, task: Task, outcome: Outcome, now: float) -> None:
        guard = account.check_of(task)
        if guard is None:  # a newer check has replaced it, for example because the key was replaced
            return
        if isinstance(guard, Question):
            self._answer(account, guard, outcome, now)
            return
        match outcome:
            case Complete():
                # No task of the account starts before the answer to this.
                self._credentials.passed(account.id, outcome.identity)
            case Retry():
                guard.at = now + outcome.delay
                attempts = guard.failed(outcome.charged)
                if outcome.charged:
                    tell(
                        Event.CHECK_FAILED,
                        "account %s: %s (attempt %d)",
                        *(account.name, plain_error(outcome.error), attempts),
                        account=account.name,
                        attempt=attempts,
                        error=outcome.error,
                    )
            case Defer():
                guard.leased = False
            case Crash():
                if guard.failed() >= CRASHES:
                    self._refused(account, outcome.error, now)
            case Pause() | Bury():
                self._refused(account, outcome.error, now)
        self._bench.place(account, now)

    def _answer(self, account: AccountQueue, question: Question, outcome: Outcome, now: float) -> None:
        """Answers a question about an account. Its tasks may start again if the credentials work, and stop if not."""
        account.question = None
        if isinstance(outcome, Pause):
            self._refused(account, outcome.error, now)
        elif isinstance(outcome, Complete) and (
            question.confirms or account.refused is not None or outcome.identity is not None
        ):
            self._credentials.passed(account.id, outcome.identity)
        self._bench.place(account, now)
        question.answer(outcome)

    def _refused(self, account: AccountQueue, reason: str, now: float) -> None:
        if account.refused is None:
            account.refuse(reason)
            self._bench.place(account, now)
            self._credentials.refused(account.id, reason)
