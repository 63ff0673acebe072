"""Questions to the dispatcher: answered from what is in memory, and never its end."""

from __future__ import annotations

import math
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from crawlerd.core.configuration import LimitSpec
from crawlerd.core.reasons import Reason, Waiting
from crawlerd.core.task import Task
from crawlerd.engine.account_waits import CURES, of_account
from crawlerd.engine.clock import Clock
from crawlerd.engine.dispatcher_inbox import DispatcherInbox
from crawlerd.engine.queues import AccountQueue, BucketQueue
from crawlerd.ratelimit.limiter import Limiter, parse_limits
from crawlerd.ratelimit.outage import Origin, Outage
from crawlerd.ratelimit.window import StartLog

if TYPE_CHECKING:
    from crawlerd.ratelimit.quota import Ask

NOW = 1_000.0


def limiter(*limits: str, **options: Any) -> Limiter:
    asked: list[Ask] = []
    return Limiter("1", parse_limits(limits), StartLog(), asked.append, **options)


def account(limits: Limiter, *tasks: Task) -> AccountQueue:
    queue = AccountQueue(1, "acme", LimitSpec(), limits, Origin("https://api.example.com").health(1))
    bucket = BucketQueue(1, "b", queue, limiter(), NOW)
    bucket.queue(1).add(tasks)
    queue.buckets[1] = bucket
    return queue


def told(queue: AccountQueue, cost: int = 1) -> Waiting | None:
    return of_account(queue, lambda bucket: cost, NOW, lambda at: at + 5)


def reason(queue: AccountQueue) -> Reason:
    waiting = told(queue)
    assert waiting is not None
    return waiting.reason


TASK = Task(1, 1, 5, 1, "shop.page", 0, "{}")


def test_the_first_reason_in_order_counts() -> None:
    queue = account(limiter("2/second", concurrency=1), TASK)
    assert reason(queue) is Reason.WORKERS
    queue.limiter.inflight = 1
    assert reason(queue) is Reason.LIMIT
    queue.limiter.blocked_until = NOW + 60
    assert told(queue) == Waiting(
        who="account acme", reason=Reason.THROTTLED, text="the API has asked to wait", until=NOW + 65
    )
    queue.health.suffer(Outage(NOW - 10, "refused", NOW + 30, 5.0))
    assert told(queue) == Waiting(
        who="account acme",
        reason=Reason.OUTAGE,
        text="https://api.example.com does not answer: refused",
        since=NOW - 5,
        until=NOW + 35,
        cure=CURES[Reason.OUTAGE],
    )
    queue.refuse("HTTP 401")
    assert reason(queue) is Reason.REFUSED
    queue.buckets[1].out = 1
    assert reason(queue) is Reason.IMPORTING


def test_nothing_is_said_of_what_has_nothing_to_start() -> None:
    assert told(account(limiter())) is None


def test_a_task_without_a_request_waits_for_no_limit() -> None:
    queue = account(limiter(concurrency=1), TASK)
    queue.limiter.inflight = 1
    waiting = told(queue, cost=0)
    assert waiting is not None
    assert waiting.reason is Reason.WORKERS


def test_a_wait_of_unknown_length_has_no_end() -> None:
    queue = account(limiter(concurrency=1), TASK)
    queue.limiter.inflight = 1
    assert queue.limiter.free_at(NOW) == math.inf
    waiting = told(queue)
    assert waiting is not None
    assert waiting.until is None


def test_a_question_that_fails_is_told_to_whoever_asked_and_ends_nothing() -> None:
    class Broken:
        def known(self, account: int) -> None:
            raise ZeroDivisionError("what nobody has thought of")

    inbox = DispatcherInbox(Clock())
    answer: Future[Waiting | None] = Future()
    inbox.explain(1, answer)
    inbox.act(Broken(), NOW)  # type: ignore[arg-type] # a workbench that fails
    inbox.close()
    with pytest.raises(ZeroDivisionError):
        answer.result(0)
