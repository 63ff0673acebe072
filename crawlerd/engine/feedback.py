"""What the outcome of an attempt means for its account: for its pace, its check of credentials, its pause."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING

from crawlerd.core.outcome import CRASHES, Bury, Complete, Crash, Defer, Pause, Retry

if TYPE_CHECKING:
    from crawlerd.core.outcome import Outcome, Result
    from crawlerd.core.task import Task
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.outages import Outages
    from crawlerd.engine.queues import AccountQueue, Pick
    from crawlerd.engine.roles import Credentials
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.engine.workbench import Workbench
    from crawlerd.ratelimit.limiter import Limiter
    from crawlerd.ratelimit.window import Stamp

log = logging.getLogger(__name__)

LONG_WAIT = 60.0  # seconds; longer waits that an API asks for are logged: they look like a hang


class Feedback:
    """Used by the dispatcher's thread alone."""

    def __init__(
        self, bench: Workbench, outages: Outages, store: StoreInbox, clock: Clock, credentials: Credentials
    ) -> None:
        self._bench, self._outages, self._store, self._clock = bench, outages, store, clock
        self._credentials = credentials
        self._random = random.Random()  # noqa: S311 - jitter

    def heard(self, pick: Pick, task: Task, result: Result, outcome: Outcome, started_at: float, now: float) -> Outcome:
        """See `Outages.heard`. Call before `ended`."""
        return self._outages.heard(pick, task, result, outcome, started_at, now)

    def ended(self, pick: Pick, task: Task, stamp: Stamp, outcome: Outcome, now: float, sent_at: float) -> None:
        """An attempt has ended. sent_at: when its request was sent, 0 when it sent none or nobody knows."""
        account, bucket = pick.account, pick.bucket
        if isinstance(outcome, Complete):
            if pick.limited:
                account.limiter.succeeded()
                if bucket is not None:
                    bucket.limiter.succeeded()
        elif isinstance(outcome, Defer):
            self._throttle(pick, outcome, now, sent_at)
        elif isinstance(outcome, Pause) and bucket is not None:
            self._paused(account, outcome.error, now)
        # A task that made no request shows nothing of what the API permits.
        self._answered(pick, stamp, outcome if sent_at or not isinstance(outcome, Complete) else None, now)
        self._bench.finish(pick, now)
        if bucket is None:
            self._guard_ended(account, outcome, now)
        elif isinstance(outcome, Defer | Pause):
            self._bench.put_back(pick, task, now)
        self._follow_outages(now)

    def unknown(self, pick: Pick, task: Task, stamp: Stamp, now: float) -> None:
        """The lease ends through no fault of its task, which is given out again; nobody knows what came of it."""
        self._answered(pick, stamp, None, now)
        self._bench.finish(pick, now)
        self._bench.put_back(pick, task, now)
        self._follow_outages(now)

    def _follow_outages(self, now: float) -> None:
        """Accounts may start something at another time than before."""
        if self._outages.moved:
            moved, self._outages.moved = self._outages.moved, set()
            for number in moved:
                if account := self._bench.known(number):
                    self._bench.place(account, now)

    def _answered(self, pick: Pick, stamp: Stamp, outcome: Outcome | None, now: float) -> None:
        """Tells the laws that paced a start what came of it; None: nobody knows. Call before `Workbench.finish`."""
        throttled = self._throttled_by(pick, outcome).law if isinstance(outcome, Defer) else None
        for law, sent in stamp.marks:
            if law is throttled and isinstance(outcome, Defer):
                law.throttled(sent, now, retry_after=outcome.retry_after, concurrency=outcome.concurrency)
            elif outcome is None or isinstance(outcome, Retry | Crash | Defer):
                law.failed(sent, now)
            else:
                law.accepted(sent, now)

    def _throttle(self, pick: Pick, outcome: Defer, now: float, sent_at: float) -> None:
        limiter = self._throttled_by(pick, outcome)
        before = max(limiter.blocked_until, now)
        limiter.throttled(sent_at, now, outcome.retry_after, self._random.random())
        if (wait := limiter.blocked_until - before) >= LONG_WAIT:
            log.warning("account %s: %s: waiting for %.0f s", pick.account.name, outcome.error, wait)
        if limiter.blocked_until > now:
            bucket, until = pick.bucket, limiter.blocked_until - now + self._clock.now()
            blocks_one = bucket is not None and limiter is bucket.limiter
            for number in [bucket.id] if bucket is not None and blocks_one else pick.account.buckets:
                self._store.block(number, until)

    def _throttled_by(self, pick: Pick, outcome: Defer) -> Limiter:
        """The limiter that a 429 concerns: the bucket's or the account's as it says, unless only the other one has a
        pace to slow."""
        account, bucket = pick.account, pick.bucket
        if bucket is None:
            return account.limiter
        first, second = bucket.limiter, account.limiter
        if outcome.scope == "account":
            first, second = second, first
        return second if first.law is None and second.law is not None else first

    def _guard_ended(self, account: AccountQueue, outcome: Outcome, now: float) -> None:
        guard = account.guard
        if guard is None:
            return
        match outcome:
            case Complete():
                self._credentials.passed(account.id, outcome.identity)  # nothing starts before its answer
            case Retry():
                guard.at = now + outcome.delay
                attempts = guard.failed(outcome.charged)
                if outcome.charged:
                    log.warning("account %s: %s (attempt %d)", account.name, outcome.error, attempts)
            case Defer():
                guard.leased = False
            case Crash():
                if guard.failed() >= CRASHES:
                    self._paused(account, outcome.error, now)
            case Pause() | Bury():
                self._paused(account, outcome.error, now)
        self._bench.place(account, now)

    def _paused(self, account: AccountQueue, reason: str, now: float) -> None:
        if account.paused is None:
            log.error("account %s is paused: %s", account.name, reason)
            account.pause(reason)
            self._bench.place(account, now)
            self._credentials.refused(account.id, reason)
