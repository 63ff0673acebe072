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
from crawlerd.engine.dispatcher_inbox import CENSUS_SLICE, DispatcherInbox
from crawlerd.engine.queues import AccountQueue, BucketQueue
from crawlerd.ratelimit.limiter import Limiter, parse_limits
from crawlerd.ratelimit.outage import Origin, Outage
from crawlerd.ratelimit.quota import Quota, used_text
from crawlerd.ratelimit.window import StartLog

if TYPE_CHECKING:
    from crawlerd.frontier.reports import Told
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


def test_all_accounts_are_asked_a_slice_between_two_leases() -> None:
    """However many there are, the dispatcher goes on with something else after each slice."""
    queues = {number: account(limiter(), TASK) for number in range(CENSUS_SLICE * 3 + 5)}
    for number, queue in queues.items():
        queue.id = number
    queues[3].refuse("HTTP 401")
    asked: list[int] = []

    class Bench:
        def accounts(self) -> list[AccountQueue]:
            return list(queues.values())

        def known(self, number: int) -> AccountQueue | None:
            asked.append(number)
            return queues.get(number)

        def cost(self, bucket: BucketQueue) -> int:
            return 1

    inbox = DispatcherInbox(Clock())
    answer: Future[list[Told]] = Future()
    inbox.census(answer)
    rounds = []
    while not answer.done():
        before = len(asked)
        inbox.act(Bench(), NOW)  # type: ignore[arg-type] # as much of a workbench as it takes
        rounds.append(len(asked) - before)
        queues.pop(0, None)  # it may leave meanwhile
    inbox.close()
    assert rounds == [CENSUS_SLICE, CENSUS_SLICE, CENSUS_SLICE, 5]
    found = {each.account: each.reason for each in answer.result(0)}
    assert found == {number: Reason.REFUSED if number == 3 else Reason.WORKERS for number in queues}


def test_a_limiter_that_is_blocked_says_what_it_was_blocked_for() -> None:
    blocked = limiter()
    blocked.block(NOW + 60, Reason.QUOTA, "400 of 400 requests of the day are used")
    blocked.block(NOW + 30, Reason.THROTTLED, "the API has asked to wait")  # a shorter one changes nothing
    waiting = told(account(blocked, TASK))
    assert waiting is not None
    assert (waiting.reason, waiting.text) == (Reason.QUOTA, "400 of 400 requests of the day are used")


@pytest.mark.parametrize(
    ("limit", "used", "text"),
    [
        ("400/day", 400, "400 of 400 requests of the day are used"),
        ("1/hour", 1, "1 of 1 request of the hour is used"),
        ("1000/2 hours", 999, "999 of 1,000 requests of 2 hours are used"),
    ],
)
def test_a_quota_says_how_much_of_it_is_used(limit: str, used: int, text: str) -> None:
    (item,) = parse_limits([limit])
    assert used_text(item, used) == text


@pytest.mark.parametrize(
    ("key", "account", "bucket"), [("7", 7, 0), ("7/31", 7, 31), ("7/lowered", 7, 0), ("7/31/lowered", 7, 31)]
)
def test_a_quota_knows_whose_it_is(key: str, account: int, bucket: int) -> None:
    (item,) = parse_limits(["5/hour"])
    quota = Quota(item, key)
    assert (quota.account, quota.bucket) == (account, bucket)
