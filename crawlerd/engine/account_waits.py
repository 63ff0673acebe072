"""Explains to people why no task of an account starts. Answered on the dispatcher's thread, between two leases."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from crawlerd.core.reasons import ORDER, Reason, Waiting
from crawlerd.core.refused_accounts import refusal_cure
from crawlerd.core.wording import plain_error
from crawlerd.ratelimit.hold import Hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from crawlerd.engine.queues import AccountQueue, BucketQueue
    from crawlerd.ratelimit.limiter import Limiter
    from crawlerd.ratelimit.outage import Health

CURES = {
    Reason.QUOTA: "Nothing needs to be done, or set a higher limit: {limits}.",
    Reason.OUTAGE: "Nothing needs to be done: one request at a time asks whether it is over.",
    Reason.LIMIT: "It goes on by itself; the limit is at {limits}.",
}


def of_account(
    account: AccountQueue, cost: Callable[[BucketQueue], int], now: float, unix: Callable[[float], float]
) -> Waiting | None:
    """Why no task of the account starts; None when it has no ready tasks in memory.

    cost: how many requests a bucket's next task counts as.
    unix: converts monotonic to Unix seconds.
    """
    who = f"account {account.name}"
    checks = [check for check in (account.guard, account.question) if check is not None]
    if any(bucket.out for bucket in account.buckets.values()) or any(check.leased for check in checks):
        return Waiting(who=who, reason=Reason.IMPORTING, text="requests are under way")
    if account.refused is not None:
        besides = f"; besides, {account.held.text}" if account.held else ""
        cure = refusal_cure(account.refused, in_memory=True)
        return Waiting(who=who, reason=Reason.REFUSED, text=account.refused + besides, cure=cure)
    if account.held is not None:
        return account.held.waiting(who)
    if account.guard is not None:
        found = [
            *_holds(account.health, [account.limiter], 1, now),
            Hold(Reason.RETRY, "its next try", account.guard.at),
        ]
        return _told(who, account, account.health, found, now, unix, "the check of its credentials: ")
    queues = [bucket for bucket in account.buckets.values() if bucket.next]
    if not queues:
        return None
    free = [bucket for bucket in queues if not bucket.held]
    if not free:
        notes = [bucket.held for bucket in queues if bucket.held]
        first = min(notes, key=lambda note: note.until or math.inf)
        return first.waiting(f"{first.kind} {first.name}")
    held = [(list(_holds(each.health, [each.limiter, account.limiter], cost(each), now)), each) for each in free]
    holds, bucket = min(held, key=lambda each: max((hold.until for hold in each[0]), default=-math.inf))
    return _told(who, account, bucket.health, holds, now, unix)


def of_bucket(bucket: BucketQueue, cost: int, now: float) -> tuple[Reason, str]:
    """Why no task of a bucket that may leave memory starts, and what it waits for. cost: of its next task."""
    holds = [
        each for each in _holds(bucket.health, [bucket.limiter, bucket.account.limiter], cost, now) if each.until > now
    ]
    if not holds:  # it waits for an outage, which may end before its next probe
        return Reason.OUTAGE, f"{bucket.health.origin.name} was away"
    first = _first(holds)
    return first.reason, first.text


def _first(holds: Iterable[Hold]) -> Hold:
    return min(holds, key=lambda each: (ORDER[each.reason], -each.until))


def _holds(health: Health, limiters: Iterable[Limiter], cost: int, now: float) -> Iterator[Hold]:
    if not cost:
        return
    outage = health.origin.outage or health.outage
    if (until := health.free_at(now)) > now:
        text = (
            f"{health.origin.name} does not answer: {plain_error(outage.error)}"
            if outage
            else f"{health.origin.name} was away"
        )
        yield Hold(Reason.OUTAGE, text, until)
    for limiter in limiters:
        yield from limiter.holds(now, cost)


def _told(
    who: str,
    account: AccountQueue,
    health: Health,
    holds: Iterable[Hold],
    now: float,
    unix: Callable[[float], float],
    prefix: str = "",
) -> Waiting:
    there = [each for each in holds if each.until > now]
    if not there:
        return Waiting(who=who, reason=Reason.WORKERS, text=f"{prefix}a worker that is free")
    first = _first(there)
    outage = health.origin.outage or health.outage
    return Waiting(
        who=who,
        reason=first.reason,
        text=prefix + first.text,
        since=unix(outage.since) if outage and first.reason is Reason.OUTAGE else None,
        until=None if first.until == math.inf else unix(first.until),
        cure=CURES.get(first.reason, "").format(limits=f"accounts.{account.name}.limits"),
    )
